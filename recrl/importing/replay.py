"""From a recording to an episode: replayed in its catalogue, or, where the record shows the pages, as they are."""

from dataclasses import dataclass, field

from recrl.episodes.data import Episode, Step
from recrl.errors import CatalogError, DatasetError, PolicyError
from recrl.importing.demonstrations import without_price_clause
from recrl.importing.recordings import PEOPLE, MisfitError, RecordedStep, Recording
from recrl.webshop import actions
from recrl.webshop.catalog import Catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.pages import RESULTS_BUTTONS, Page
from recrl.webshop.reading import read_page

REWARD_DIGITS = 6  # to which a recorded and a rebuilt reward must agree
UNKNOWN = "unknown"  # the fingerprint of a catalogue that is not at hand


@dataclass
class Replayer:
    """Replays recordings in their catalogue.

    Attributes:
        catalog: with the goals that the recordings are about; split_by: names the protocol that episodes record.
        max_steps: the step limit.
        num_other_results: results pages that list other products than the record says, so far.
        num_other_bounds: episodes whose goal has another price bound than the record says, so far.
    """

    catalog: Catalog
    split_by: str
    max_steps: int
    num_other_results: int = 0
    num_other_bounds: int = 0
    _by_words: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_words = {}
        for index, goal in enumerate(self.catalog.goals):
            self._by_words.setdefault(_words(goal.instruction_without_price), []).append(index)
        self._env = WebShopEnv(self.catalog, split="all", max_steps=self.max_steps)

    def goal_of(self, recording: Recording) -> int:
        """The goal that a recording is about.

        Raises:
            MisfitError: the catalogue has none with these words, and with this target if the record names it.
        """
        if recording.goal_index is not None:
            return recording.goal_index
        if recording.target_asin is not None:
            self._check_product(recording.target_asin, "its target", None)
        same = self._by_words.get(_words(without_price_clause(recording.instruction)), [])
        target = recording.target_asin
        same = [index for index in same if target is None or self.catalog.goals[index].asin == target]
        if not same:
            kind = "human" if self.catalog.human_goals else "synthetic"
            advice = "" if self.catalog.human_goals else "; for goals that people wrote say --human_goals"
            raise MisfitError(
                "the catalogue has no such goal",
                f"none of its {len(self.catalog.goals)} {kind} goals says {recording.instruction!r:.100}{advice}",
            )
        return max(same, key=lambda index: self._likeness(index, recording))  # the first of equally alike ones

    def _likeness(self, goal_index: int, recording: Recording) -> tuple[bool, bool]:
        """What tells goals with the same words apart: the price bound, and whether their target was bought."""
        goal = self.catalog.goals[goal_index]
        return goal.instruction == recording.instruction, goal.asin == recording.bought_asin

    def replay(self, recording: Recording, goal_index: int) -> Episode:
        """The episode; its pages, valid actions and reward are the environment's, its searches are offered as queries.

        Raises:
            MisfitError: an action is not on its page, or the purchase earns another reward than recorded.
        """
        env, goal = self._env, self.catalog.goals[goal_index]
        typed = _searches(recording)
        env.queries = lambda instruction: typed
        observation, info = env.reset(options={"goal_index": goal_index})
        steps: list[Step] = []
        others, terminated, reward = 0, False, 0.0
        for number, recorded in enumerate(recording.steps):
            if number == self.max_steps:
                raise MisfitError(
                    "it takes more steps than allowed", f"{len(recording.steps)}, max_steps is {self.max_steps}"
                )
            before, valid = (observation, info["page"]), info["valid_actions"]
            index = self._index(recorded, info["page"], valid)
            observation, reward, terminated, _, info = env.step(valid[index])
            steps.append(Step(*before, valid, self.max_steps - number, index, None, float(reward)))
            listed = tuple(one.asin for one in info["page"].listing)
            others += recorded.results is not None and listed != recorded.results
        if not terminated:
            raise MisfitError("it ends without a purchase", step=recording.steps[-1].record)
        if recording.reward is not None and round(recording.reward - reward, REWARD_DIGITS):
            raise MisfitError(
                "its purchase earns another reward here",
                f"{reward:g}, recorded is {recording.reward:g}; prices and bounds may have been drawn otherwise",
                step=recording.steps[-1].record,
            )
        self.num_other_results += others
        self.num_other_bounds += goal.instruction != recording.instruction
        return Episode(
            goal_index=goal_index,
            instruction=goal.instruction,
            protocol=self.catalog.protocol(self.split_by),
            catalog_sha256=self.catalog.sha256,
            goals_sha256=self.catalog.goals_sha256,
            policy=PEOPLE,
            seed=0,
            steps=tuple(steps),
            reward=float(reward),
            success=reward == 1.0,
            terminated=True,
            truncated=False,
            reward_parts=dict(info["reward_parts"]),
            target_asin=goal.asin,
            bought_asin=env.screen.state.asin,
            bought_options=dict(env.screen.state.options),
        )

    def _index(self, recorded: RecordedStep, page: Page, valid: tuple[str, ...]) -> int:
        """The place of the recorded action among the valid ones of its page."""
        wanted = recorded.action.lower()
        index = next((place for place, action in enumerate(valid) if action.lower() == wanted), None)
        if index is not None:
            return index
        name = str(getattr(actions.parse(wanted), "argument", wanted))
        if page.kind == "results" and name not in RESULTS_BUTTONS:
            self._check_product(name.upper(), "a product", recorded.record)
        raise MisfitError(
            "an action is not on its page", f"{recorded.action!r} among {len(valid)} actions", step=recorded.record
        )

    def _check_product(self, asin: str, what: str, step: int | None) -> None:
        try:
            self.catalog.position(asin)
        except CatalogError:
            raise MisfitError(f"{what} is not in the catalogue", f"asin {asin}", step=step) from None


def _words(instruction: str) -> str:
    """What instructions are compared by: their words in lower case, without a last full stop or quotation marks."""
    return " ".join(instruction.lower().replace('"', "").replace("'", "").strip(" .").split())


def _searches(recording: Recording) -> tuple[str, ...]:
    """The words that were searched for, each once."""
    found: dict[str, None] = {}
    for step in recording.steps:
        parsed = actions.parse(step.action)
        if parsed is not None and parsed.verb == actions.SEARCH:
            if not actions.is_query(parsed.argument):
                raise MisfitError("its search cannot be typed", repr(parsed.argument), step=step.record)
            found[parsed.argument] = None
    return tuple(found)


def as_recorded(recording: Recording, goal_index: int, *, goals_sha256: str, reward: float, max_steps: int) -> Episode:
    """The episode of a recording that shows its pages, read from their texts.

    Args:
        goal_index: of its instruction among those of the file; goals_sha256: of these.
        reward: where the record says none.

    Raises:
        MisfitError: a step shows no page, or is longer than the limit.
    """
    if len(recording.steps) > max_steps:
        raise MisfitError("it takes more steps than allowed", f"{len(recording.steps)}, max_steps is {max_steps}")
    reward = recording.reward if recording.reward is not None else reward
    steps = []
    for number, recorded in enumerate(recording.steps):
        if recorded.observation is None or recorded.valid_actions is None:
            raise MisfitError("it shows no pages", step=recorded.record)
        index = recorded.valid_actions.index(recorded.action)
        try:
            page = read_page(recorded.observation)
        except (PolicyError, ValueError) as error:
            raise MisfitError("a state cannot be read as a page", str(error), step=recorded.record) from error
        here = reward if number == len(recording.steps) - 1 else 0.0
        steps.append(Step(recorded.observation, page, recorded.valid_actions, max_steps - number, index, None, here))
    try:
        return Episode(
            goal_index=goal_index,
            instruction=recording.instruction,
            protocol=f"imported-{goals_sha256[:8]}",
            catalog_sha256=UNKNOWN,
            goals_sha256=goals_sha256,
            policy=PEOPLE,
            seed=0,
            steps=tuple(steps),
            reward=reward,
            success=reward == 1.0,
            terminated=True,
            truncated=False,
            reward_parts={},
            target_asin=recording.target_asin,
            bought_asin=recording.bought_asin,
        )
    except DatasetError as error:
        raise MisfitError("it makes no episode", str(error)) from error
