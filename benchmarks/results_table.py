"""One table and one picture from quickstart runs that differ in their seed only.

    python benchmarks/results_table.py runs/a_seed0 runs/a_seed1 runs/a_seed2 --output_dir docs/results --name a

Learned policies are averaged over the seeds goal by goal; intervals count target products and seeds. A policy that
`recrl evaluate --output_json` has measured into the ``evaluation`` folder of every run gets a row of its own, under the
file's name. Writes NAME.md, NAME.json (without episodes) and, with matplotlib installed, NAME.svg.
"""

import argparse
from pathlib import Path

from recrl.errors import ConfigError
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import aggregate_seeds, load_result
from recrl.evaluation.tables import markdown_table
from recrl.files import write_json, write_text
from recrl.policies.loading import RULES
from recrl.quickstart import START, TEACHER
from recrl.training.recipe import run_recipe

NAMES = {"ceiling_10": "page-1 ceiling", "ceiling_50": "50-hit ceiling"}


def policies_of(runs: list[Path]) -> list[str]:
    """Rules, the teacher if there is one, the start, DPO, by name whatever else every run's folder holds, ceilings."""
    there = set.intersection(*({path.stem for path in (run / "evaluation").glob("*.json")} for run in runs))
    named = {name.replace("_", " ") for name in there - set(NAMES)}
    first = [*RULES, *({TEACHER} & named), START, "DPO"]
    return [*first, *sorted(named - set(first)), *NAMES]


def collect(runs: list[Path], policies: list[str]) -> dict[str, Result]:
    """Policy -> its result, averaged over the runs where it depends on the seed."""
    results = {}
    for name in policies:
        found = [load_result(run / "evaluation" / f"{name.replace(' ', '_')}.json") for run in runs]
        averaged = name not in (*RULES, *NAMES) and len(found) > 1
        results[NAMES.get(name, name)] = aggregate_seeds(found) if averaged else found[0]
    return results


def draw(results: dict[str, Result], path: Path) -> None:
    """Success of each policy with its interval, as a horizontal bar chart."""
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("the picture needs matplotlib; install it with `pip install matplotlib`") from error

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "recrl"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 0.5 + 0.3 * len(results)), layout="constrained")
    for row, (name, result) in enumerate(reversed(results.items())):
        low, high = result.success_ci
        rate = result.success_rate
        color = "#8a9aa8" if name in RULES else "#c9c9c9" if "ceiling" in name else "#2a78b5"
        axes.barh(row, rate, color=color)
        axes.errorbar(rate, row, xerr=[[rate - low], [high - rate]], color="black", capsize=2, linewidth=1)
    axes.set_yticks(range(len(results)), list(reversed(results)))
    first = next(iter(results.values()))
    axes.set_xlabel(f"success % with 95% interval - {first.protocol}, {first.num_episodes} test goals")
    axes.set_xlim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parses and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of `recrl quickstart`, one per seed")
    parser.add_argument("--output_dir", type=Path, required=True, help="takes NAME.md, NAME.json and NAME.svg")
    parser.add_argument("--name", required=True, help="name of the files")
    parser.add_argument("--policies", nargs="+", help="rows, as the files are named; without it all")
    parser.add_argument("--baseline", default=START, help="row that the others are compared with")
    arguments = parser.parse_args()
    results = collect(arguments.runs, arguments.policies or policies_of(arguments.runs))
    if arguments.baseline not in results:
        raise ConfigError(f"--baseline {arguments.baseline!r} is no row; choose among {', '.join(results)}")
    table = markdown_table(results, baseline=arguments.baseline)
    write_text(arguments.output_dir / f"{arguments.name}.md", table)
    headlines = {name: result.headline() for name, result in results.items()}
    write_json(arguments.output_dir / f"{arguments.name}.json", headlines)
    draw(results, arguments.output_dir / f"{arguments.name}.svg")
    print(table)


if __name__ == "__main__":
    run_recipe(main)
