"""What `recrl report` does: reads runs, plays their episodes again, and writes one page."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError, RecrlError
from recrl.evaluation.legend import marked
from recrl.evaluation.measure import check_result_path
from recrl.evaluation.result_types import Result
from recrl.files import write_text
from recrl.progress import tracked
from recrl.reports import sections, training_sections
from recrl.reports.config import ReportConfig
from recrl.reports.finding import CATALOG_SETTINGS, Run, find_run
from recrl.reports.naming import over_seeds, spoken, viewing_order
from recrl.reports.page import render_page
from recrl.reports.played import Played, can_be_played_again, explained, play_again
from recrl.reports.sections import some
from recrl.reports.showing import catalog_for
from recrl.reports.viewer_data import kind_of, viewer_data
from recrl.rollouts.config import CatalogSettings
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import REWORDED_SUFFIX

REPORT_FILE = "report.html"


def make_report(config: ReportConfig, *, found: Sequence[Run] | None = None) -> Path:
    """Writes the page of some runs.

    Args:
        found: instead of what ``config.sources`` name.

    Returns:
        where it is.

    Raises:
        DatasetError: a run holds nothing that can be shown.
        StorageError: the page cannot be written.
    """
    runs = [find_run(path) for path in config.sources] if found is None else list(found)
    output = Path(config.output) if config.output else _place_of(runs[0])
    check_result_path(output)
    notes = [line for run in runs for line in run.damaged]
    played = _Player(config, notes)
    by_policy: dict[str, list[Played]] = {}
    results: dict[str, Result] = {}
    for run in runs:
        results |= {
            _name(run, marked(name, knows_goal=one.knows_goal), results): one for name, one in run.results.items()
        }
        by_policy |= {_name(run, name, by_policy): of for name, of in played.of_run(run)}
    played.note_what_is_left_out()
    averaged = over_seeds(results)
    trainings = [one for run in runs for one in run.trainings]
    comparisons = {name: one for run in runs for name, one in run.comparisons.items()}
    page = render_page(
        title=", ".join(run.name for run in runs),
        headline=sections.headline(averaged),
        notes=notes,
        sections=[
            sections.results_section(averaged),
            sections.failure_section(*_kinds(by_policy)),
            sections.reward_section(averaged),
            sections.bandit_section(comparisons),
            training_sections.curves_section(trainings),
            training_sections.health_section(trainings),
            training_sections.data_section(trainings, averaged, [row for run in runs for row in run.rows]),
        ],
        episodes=viewer_data(by_policy),
        no_episodes="what was done is not recorded here; `recrl evaluate --output_json` of this version records it.",
        fingerprints=sections.fingerprints(results),
        settings=_settings(runs),
    )
    write_text(output, page)
    return output


def end_with_report(folder: str | Path, say: Callable[[str], None], *, catalog: CatalogSettings | None = None) -> None:
    """Ends a command with the page of the folder that it made, and says where that is, or why there is none.

    Args:
        catalog: the settings that name the catalogue, where the folder does not.
    """
    try:
        said = {} if catalog is None else {name: getattr(catalog, name) for name in CATALOG_SETTINGS}
        say(f"the report is {make_report(ReportConfig(sources=(str(folder),), **said))}; open it in a browser")
    except RecrlError as error:  # what the command made stands
        say(f"no report was made: {error}")


def _place_of(run: Run) -> Path:
    return run.path.with_suffix(".html") if run.path.is_file() else run.path / REPORT_FILE


def _name(run: Run, name: str, taken: Mapping[str, Any]) -> str:
    """The name of a policy of a run, with the run's where another run has the same."""
    return f"{run.name}: {name}" if name in taken else name


class _Player:
    """Plays the episodes of runs again, as many as the page may hold.

    Attributes:
        notes: what cannot be shown, and why; left: how many more episodes the page may hold.
        unknown: names of results that do not hold what was done; cut: name -> how many of its episodes are left out.
    """

    def __init__(self, config: ReportConfig, notes: list[str]) -> None:
        self.config, self.notes, self.left = config, notes, config.most_episodes
        self.unknown: list[str] = []
        self.cut: dict[str, int] = {}
        self.asked = 0

    def of_run(self, run: Run) -> Iterator[tuple[str, list[Played]]]:
        """Name and episodes of every policy, as far as the page has room; see `viewing_order`."""
        if run.episodes:
            yield run.name, self._explained(run.name, run.episodes, self._catalog(run), len(run.episodes))
        for name in viewing_order(run.results):
            result = run.results[name]
            label = marked(spoken(name, result, run.results.values()), knows_goal=result.knows_goal)
            if not can_be_played_again(result):
                self.unknown.append(label)
                continue
            if not self.left:
                self._cut(label, result.num_episodes, result.num_episodes)
                continue
            catalog = self._catalog(run, reworded=result.protocol.endswith(REWORDED_SUFFIX))
            if catalog is None:
                continue
            try:
                yield label, self._explained(label, play_again(result, catalog), catalog, result.num_episodes)
            except DatasetError as error:
                self.notes.append(f"{label}: {error}")

    def _cut(self, name: str, left_out: int, total: int) -> None:
        self.asked += total
        if left_out:
            self.cut[name] = left_out

    def note_what_is_left_out(self) -> None:
        """Notes, in one line each, the results that cannot be shown and the episodes for which there was no room."""
        if self.unknown:
            count = len(self.unknown)
            these = "1 result does" if count == 1 else f"{count} results do"
            self.notes.append(f"{these} not hold what was done, so these episodes are not shown: {some(self.unknown)}")
        if self.cut:
            self.notes.append(
                f"{sum(self.cut.values())} of {self.asked} episodes are left out, to keep the page small "
                f"({some(list(self.cut))}); --most_episodes shows more"
            )

    def _catalog(self, run: Run, *, reworded: bool = False) -> Catalog | None:
        """The catalogue of a run, in the wording of the goals that were played; None, with a note, if there is none."""
        config = replace(self.config, wording="reworded") if reworded else self.config
        try:
            return catalog_for(config, run)
        except RecrlError as error:
            if self.config.catalog is not None:
                raise
            note = f"{run.name}: its catalogue cannot be opened ({error}); name it with --catalog"
            self.notes += [] if note in self.notes else [note]
            return None

    def _explained(self, name: str, episodes: Any, catalog: Catalog | None, total: int) -> list[Played]:
        shown = min(total, self.left)
        found = [
            explained(episode, catalog)
            for episode in tracked(itertools.islice(episodes, shown), f"playing {name} again", shown)
        ]
        self.left -= shown
        self._cut(name, total - shown, total)
        return found


def _kinds(by_policy: Mapping[str, Sequence[Played]]) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    """Policy -> kind -> episodes, of the policies whose failures are explained; policy -> episodes."""
    known = {
        name: played
        for name, played in by_policy.items()
        if played and all(one.failure is not None or one.episode.success for one in played)
    }
    return {name: Counter(map(kind_of, played)) for name, played in known.items()}, {
        name: len(played) for name, played in known.items()
    }


def _settings(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Name -> its settings, line by line, for each run and training."""
    found = [(run.name, _lines(run.settings)) for run in runs]
    found += [(one.name, _lines(one.settings)) for run in runs for one in run.trainings if one.settings != run.settings]
    return [(name, lines) for name, lines in found if lines]


def _lines(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _lines(value, f"{prefix}{name}.")
        elif value is not None:
            lines.append((f"{prefix}{name}", str(value)))
    return lines
