"""Finished episodes, and the `datasets` rows in which they are kept."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recrl.episodes.decisions import Decision, check_action_index, check_probabilities, check_right_actions, stored_page
from recrl.episodes.notes import Notes
from recrl.episodes.stored import open_dataset
from recrl.errors import DatasetError
from recrl.webshop.goals import DEFAULT_MAX_STEPS
from recrl.webshop.pages import Page, page_features, page_to_row

if TYPE_CHECKING:
    from datasets import Dataset

REWARD_PARTS = (
    "r_type", "r_att", "w_att", "query_match", "category_match", "title_score", "r_option", "w_option", "r_price",
    "w_price",
)  # fmt: skip
LATER_COLUMNS = ("target_asin", "bought_asin", "bought_options")  # that older datasets lack


@dataclass(frozen=True, slots=True)
class Step:
    """One decision and what came of it.

    Attributes:
        observation: the page before the action, mode ``text_rich``; page: the same as a typed value.
        valid_actions: what could be done there; steps_left: actions that could still be taken, this one included.
        action_index: what was done.
        log_prob: of the action under the policy that took it; 0.0 for a deterministic one, None where it is not known,
            as of people.
        reward: for this action.
        right_actions: ascending indices of the actions that a teacher holds equally right here; empty where none said
            so. The action taken need not be among them: a teacher may label what a learner did.
        probabilities: (actions,) of every valid action under the policy that took it; empty where it had none.
        value: the return that this policy expected; None where it had learned no values.
        written: whether the policy wrote the action, which the page does not offer; it is then the last of the valid
            actions. accepted: whether the environment took it; a written one that it refused changed nothing.
    """

    observation: str
    page: Page
    valid_actions: tuple[str, ...]
    steps_left: int
    action_index: int
    log_prob: float | None
    reward: float
    right_actions: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    value: float | None = None
    written: bool = False
    accepted: bool = True

    def __post_init__(self) -> None:
        if not self.accepted and not self.written:
            raise DatasetError("accepted=False is for actions that the policy wrote, and written=False")
        if self.written and self.action_index != len(self.valid_actions) - 1:
            raise DatasetError(f"action_index={self.action_index}, expected a written action last among the valid ones")
        check_action_index(self.action_index, self.valid_actions)
        check_probabilities(self.probabilities, self.valid_actions)
        check_right_actions(self.right_actions, self.valid_actions)
        if self.steps_left < 1:
            raise DatasetError(f"steps_left={self.steps_left}, expected at least 1: the step was taken")
        if self.log_prob is not None and (not self.log_prob <= 0 or math.isinf(self.log_prob)):
            raise DatasetError(f"log_prob={self.log_prob}, expected a finite number of at most 0")
        if not 0 <= self.reward <= 1:
            raise DatasetError(f"reward={self.reward}, expected a number from 0 to 1")
        if self.value is not None and not math.isfinite(self.value):
            raise DatasetError(f"value={self.value}, expected a finite number, or none")

    @property
    def action(self) -> str:
        """The action's text."""
        return self.valid_actions[self.action_index]

    @property
    def offered_actions(self) -> tuple[str, ...]:
        """The valid actions that the page offers."""
        return self.valid_actions[:-1] if self.written else self.valid_actions


@dataclass(frozen=True, slots=True)
class Episode:
    """One finished episode.

    Attributes:
        goal_index: into the catalogue's goals; instruction: the goal's text.
        protocol, catalog_sha256, goals_sha256: what the goal index refers to.
        policy: who acted; seed: of the collection.
        steps: at least one; reward: of the last step, the purchase's, or 0.0.
        success: reward exactly 1; terminated: bought; truncated: the step limit came first.
        reward_parts: as the environment gives them at the purchase; empty without one.
        target_asin: of the product that the goal asks for; None in episodes from before this was kept.
        bought_asin: of the product that was bought; None without a purchase, and as above.
        bought_options: group -> value, as chosen of it.
    """

    goal_index: int
    instruction: str
    protocol: str
    catalog_sha256: str
    goals_sha256: str
    policy: str
    seed: int
    steps: tuple[Step, ...]
    reward: float
    success: bool
    terminated: bool
    truncated: bool
    reward_parts: dict[str, float | bool]
    target_asin: str | None = None
    bought_asin: str | None = None
    bought_options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.steps:
            raise DatasetError(f"the episode of goal {self.goal_index} has no steps")
        if self.goal_index < 0:
            raise DatasetError(f"goal_index={self.goal_index}, expected 0 or more")
        if self.terminated == self.truncated:
            raise DatasetError(f"terminated={self.terminated} and truncated={self.truncated}: expected exactly one")
        if self.reward != self.steps[-1].reward or any(step.reward for step in self.steps[:-1]):
            raise DatasetError(f"reward={self.reward} must be the last step's, and the earlier steps' must be 0")
        if self.success != (self.reward == 1.0):
            raise DatasetError(f"success={self.success} contradicts reward={self.reward}")
        if self.truncated and (self.bought_asin is not None or self.bought_options):
            raise DatasetError(f"truncated, but bought_asin={self.bought_asin!r}, bought_options={self.bought_options}")

    @property
    def num_steps(self) -> int:
        """The number of actions."""
        return len(self.steps)

    def decisions(self) -> Iterator[Decision]:
        """What the policy saw, step after step."""
        previous: tuple[str, ...] = ()
        notes = Notes.first(self.steps[0].page)
        for step, following in itertools.zip_longest(self.steps, self.steps[1:]):
            yield Decision(step.observation, step.page, step.valid_actions, previous, step.steps_left, notes)
            if following is not None:
                previous = (*previous, step.action)
                notes = notes.after(step.page, step.action, following.page)


def episode_features() -> Any:
    """The `datasets.Features` of a trajectory dataset; rows are episodes."""
    from datasets import Features, List, Value

    step = {
        "observation": Value("string"),
        "page": page_features(),
        "valid_actions": List(Value("string")),
        "steps_left": Value("int64"),
        "action": Value("string"),
        "log_prob": Value("float64"),  # None where it is not known
        "reward": Value("float64"),
        # What follows is absent from older datasets, which are read alike.
        "right_actions": List(Value("string")),  # empty where no teacher said so
        "probabilities": List(Value("float64")),  # of the valid actions; empty where the policy has none
        "value": Value("float64"),  # None where the policy has learned none
        "written": Value("bool"),  # the policy wrote the action; the page does not offer it
        "accepted": Value("bool"),  # the environment took it
    }
    return Features(
        {
            "goal_index": Value("int64"),
            "instruction": Value("string"),
            "protocol": Value("string"),
            "catalog_sha256": Value("string"),
            "goals_sha256": Value("string"),
            "policy": Value("string"),
            "seed": Value("int64"),
            "steps": List(step),
            "reward": Value("float64"),
            "success": Value("bool"),
            "terminated": Value("bool"),
            "truncated": Value("bool"),
            "reward_parts": {name: Value("float64") for name in REWARD_PARTS},  # None where there is none
            "num_steps": Value("int64"),
            "target_asin": Value("string"),
            "bought_asin": Value("string"),  # None without a purchase
            "bought_options": List({"group": Value("string"), "value": Value("string")}),
        }
    )


def episode_to_row(episode: Episode) -> dict[str, Any]:
    """An episode as a row of plain JSON values."""
    parts = {name: episode.reward_parts.get(name) for name in REWARD_PARTS}
    return {
        "goal_index": episode.goal_index,
        "instruction": episode.instruction,
        "protocol": episode.protocol,
        "catalog_sha256": episode.catalog_sha256,
        "goals_sha256": episode.goals_sha256,
        "policy": episode.policy,
        "seed": episode.seed,
        "steps": [
            {
                "observation": step.observation,
                "page": page_to_row(step.page),
                "valid_actions": list(step.valid_actions),
                "steps_left": step.steps_left,
                "action": step.action,
                "log_prob": step.log_prob,
                "reward": step.reward,
                "right_actions": [step.valid_actions[index] for index in step.right_actions],
                "probabilities": list(step.probabilities),
                "value": step.value,
                "written": step.written,
                "accepted": step.accepted,
            }
            for step in episode.steps
        ],
        "reward": episode.reward,
        "success": episode.success,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "reward_parts": {name: None if value is None else float(value) for name, value in parts.items()},
        "num_steps": episode.num_steps,
        "target_asin": episode.target_asin,
        "bought_asin": episode.bought_asin,
        "bought_options": [{"group": group, "value": value} for group, value in episode.bought_options.items()],
    }


def row_to_episode(row: dict[str, Any]) -> Episode:
    """The episode of a row. Of rows that hold neither pages nor the steps left, pages are read back from the texts, and
    the step limit is taken to be `DEFAULT_MAX_STEPS`, or the episode's length if that is more. Of rows that hold no
    right actions, probabilities, values, target or purchase, nothing is known of these.

    Raises:
        DatasetError: a value is missing or impossible.
    """
    if not shows_pages(row):
        raise DatasetError(f"an episode holds no pages; {NO_PAGES_ADVICE}")
    try:
        limit = max(DEFAULT_MAX_STEPS, len(row["steps"]))
        steps = tuple(
            Step(
                observation=step["observation"],
                page=stored_page(step),
                valid_actions=tuple(step["valid_actions"]),
                steps_left=limit - place if step.get("steps_left") is None else step["steps_left"],
                action_index=_action_index(step),
                log_prob=step["log_prob"],
                reward=step["reward"],
                right_actions=_right_actions(step),
                probabilities=tuple(step.get("probabilities") or ()),
                value=step.get("value"),
                written=bool(step.get("written")),
                accepted=step.get("accepted") is not False,
            )
            for place, step in enumerate(row["steps"])
        )
        parts = {name: value for name, value in row["reward_parts"].items() if value is not None}
        names = (
            "goal_index", "instruction", "protocol", "catalog_sha256", "goals_sha256", "policy", "seed", "reward",
            "success", "terminated", "truncated",
        )  # fmt: skip
        return Episode(
            steps=steps,
            reward_parts=parts,
            target_asin=row.get("target_asin"),
            bought_asin=row.get("bought_asin"),
            bought_options={one["group"]: one["value"] for one in row.get("bought_options") or ()},
            **{name: row[name] for name in names},
        )
    except KeyError as error:
        raise DatasetError(f"an episode lacks {error}; expected the columns of a trajectory dataset") from error
    except ValueError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"an action is not among its page's valid actions ({error})") from error


NO_PAGES_ADVICE = "import it with its catalogue, which rebuilds them: recrl import-trajectories ... --catalog C"


def shows_pages(row: dict[str, Any]) -> bool:
    """Whether a row holds the pages of its steps; sessions that were imported without their catalogue do not."""
    return all(step.get("observation") is not None for step in row.get("steps") or ())


def _action_index(step: dict[str, Any]) -> int:
    return len(step["valid_actions"]) - 1 if step.get("written") else step["valid_actions"].index(step["action"])


def _right_actions(step: dict[str, Any]) -> tuple[int, ...]:
    return tuple(sorted(step["valid_actions"].index(action) for action in step.get("right_actions") or ()))


def episodes_to_dataset(episodes: Iterable[Episode]) -> "Dataset":
    """Episodes -> a dataset with the columns of `episode_features`."""
    from datasets import Dataset

    rows, features = [episode_to_row(episode) for episode in episodes], episode_features()
    return Dataset.from_dict({name: [row[name] for row in rows] for name in features}, features=features)


def dataset_to_episodes(dataset: Iterable[dict[str, Any]]) -> Iterator[Episode]:
    """The episodes of a dataset's rows, one after the other."""
    return (row_to_episode(row) for row in dataset)


def load_episodes(source: str | Path) -> list[Episode]:
    """Opens a trajectory dataset: a folder of `recrl generate-trajectories`, or a dataset's Hub id.

    Raises:
        DatasetError: it is missing, empty, corrupt or of another kind.
    """
    needed = [name for name in episode_features() if name not in LATER_COLUMNS]
    dataset = open_dataset(
        source, needed, "a trajectory dataset (a folder of `recrl generate-trajectories`, or a Hub id)"
    )
    rows = list(dataset)
    without = sum(not shows_pages(row) for row in rows)
    if without:
        raise DatasetError(
            f"{source}: {without} of {len(rows)} episodes hold no pages, from which nothing can be learned; "
            f"{NO_PAGES_ADVICE}"
        )
    return list(dataset_to_episodes(rows))
