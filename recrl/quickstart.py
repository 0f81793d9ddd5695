"""The whole road on one page: judgement, demonstrations, imitation, own trajectories, pairs, DPO, evaluation, table.

The reading agent learns a judgement of products first, then imitates the planner that plays by it. The plain agent is
the paper's (arXiv:2408.16032): it imitates a demonstrator that knows the goal.
Each stage writes a folder or file of its own inside the run's folder and is passed over when that is complete; a stage
that was interrupted goes on where it stopped. So the run's folder holds everything that led to its table.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recrl.errors import ConfigError
from recrl.experiment.making import TINY_ENCODER, Place, collect, imitate, judge, measured, prefer, tiny_encoder
from recrl.files import write_text
from recrl.policies.loading import RULES
from recrl.rollouts.config import CATALOG_HELP, GOAL_DRAW_HELP, MAX_STEPS_HELP, SPLIT_BY_HELP
from recrl.runs import RunFolder
from recrl.settings import check_at_least, check_values, to_seed
from recrl.webshop.goals import DEFAULT_SPLIT_BY

if TYPE_CHECKING:
    from recrl.evaluation.result_types import Result
    from recrl.tables import Table

logger = logging.getLogger(__name__)

CONFIG_FILE = "quickstart.json"
START, TEACHER = "imitation start", "judging planner"
FILES = {
    CONFIG_FILE: "all settings",
    "judgement": "the scorer that judges products, from which the reading agent's imitation starts",
    "demonstrations": "episodes of the planner that plays by it, or of the demonstrator, which knows the goal",
    "imitation": "the agent that learned from them",
    "trajectories": "its own episodes",
    "dpo": "the agent that learned from these, with the preference pairs",
    "evaluation": "the results of every agent and ceiling on test goals, with all episodes",
    "table.json": "the results without their episodes; written last",
    "table.md": "the table alone",
    "report.html": "one page for a browser: results, curves, failures, every episode to step through",
}


EMBEDDED_EVAL_EPISODES = 200
# DPO with the imitation term at full weight. With less of it the paper's pairs push down all options of a group with
# the rejected one, and the plain agent buys too early (docs/results_without_reading.md); without it, at high learning
# rates, the reading agent forgets to look (docs/training.md).
TOGETHER: dict[str, Any] = {
    "loss_type": ["sigmoid", "sft"],
    "loss_weights": [1.0, 1.0],
    "precompute_ref_log_probs": True,
}
TINY: dict[str, Any] = {
    "num_demonstrations": 12,
    "num_trajectories": 4,
    "num_eval_episodes": 8,
    "imitation_epochs": 1.0,
    "dpo_epochs": 1.0,
    "num_frozen_layers": 0,
}
TINY_PAIRS = ["steps", "contrasts"]  # so few episodes may hold no contrast


@dataclass(frozen=True, kw_only=True)
class Agent:
    """How an agent is trained.

    Attributes:
        sizes: a setting -> its value where the command leaves it open; tiny: its value in a tiny run.
        judgement, imitation, own: of these stages, what differs from the defaults of the recipe or command.
        pairs: the kinds of preference pairs.
    """

    sizes: dict[str, Any]
    tiny: dict[str, Any] = field(default_factory=lambda: TINY)
    judgement: dict[str, Any] | None = None
    imitation: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    pairs: list[str]


AGENTS = {
    "reading": Agent(
        sizes={
            "goals_per_product": 12,
            "num_demonstrations": 150,
            "num_trajectories": 400,
            "imitation_epochs": 1.0,
            "dpo_epochs": 5.0,
            "num_frozen_layers": 6,
            "goal_draw": "uniform",
        },
        tiny=TINY | {"goals_per_product": 1},
        judgement={"variants": 2},
        imitation={"per_device_train_batch_size": 32},
        own={"rollouts_per_goal": 4, "temperature": 2.0, "min_reward": 0.0},
        pairs=["contrasts"],
    ),
    "plain": Agent(
        sizes={
            "num_demonstrations": 100,
            "num_trajectories": 100,
            "imitation_epochs": 3.0,
            "dpo_epochs": 2.0,
            "num_frozen_layers": 3,
            "goal_draw": "weight",
        },
        pairs=["steps"],
    ),
}


def _left_open(name: str, metadata: Mapping[str, Any]) -> Any:
    """The field of a setting that is the agent's own where the command does not say it."""
    sizes = (f"{agent.sizes[name]} for {one}" for one, agent in AGENTS.items() if name in agent.sizes)
    return field(default=None, metadata={**metadata, "help": f"{metadata['help']} Default: {', '.join(sizes)}."})


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """The run."""

    output_dir: str = field(
        default="runs/quickstart", metadata={"help": "The run's folder; repeat the command to go on in it."}
    )
    catalog: str | None = field(default=None, metadata=CATALOG_HELP)
    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    agent: str = field(
        default="reading",
        metadata={
            "help": "What is trained: the reading agent, which keeps notes of what it has seen and judges products by "
            "them, or the plain one, the paper's, which knows the page alone.",
            "choices": tuple(AGENTS),
        },
    )
    goal_draw: str | None = _left_open("goal_draw", GOAL_DRAW_HELP)
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Encoder, by Hub id or folder; without it MiniLM-L6, or with --tiny a random one."},
    )
    seed: int = field(
        default=0,
        metadata={"help": "Seed of goals, new heads, actions, pairs and the order of the data.", "type": to_seed},
    )
    goals_per_product: int | None = _left_open(
        "goals_per_product", {"help": "Training goals of one product, at most, that the judgement learns from."}
    )
    num_demonstrations: int | None = _left_open(
        "num_demonstrations", {"help": "Demonstrations that imitation learns from."}
    )
    num_trajectories: int | None = _left_open(
        "num_trajectories", {"help": "Episodes of the agent's own that DPO learns from."}
    )
    num_eval_episodes: int | None = field(
        default=None,
        metadata={"help": "Test goals of the evaluation; without it 200, or with --catalog the whole split."},
    )
    imitation_epochs: float | None = _left_open("imitation_epochs", {"help": "Passes over the demonstrations."})
    dpo_epochs: float | None = _left_open("dpo_epochs", {"help": "Passes over the preference pairs."})
    num_frozen_layers: int | None = _left_open(
        "num_frozen_layers", {"help": "Lowest encoder layers that are left untrained; MiniLM has 6."}
    )
    bf16: bool = field(
        default=False, metadata={"help": "Train in bf16 mixed precision, which is faster where the hardware has it."}
    )
    max_steps: int = field(default=15, metadata=MAX_STEPS_HELP)
    tiny: bool = field(
        default=False,
        metadata={"help": "Make a run of under a minute, with few episodes and a random encoder."},
    )

    def __post_init__(self) -> None:
        check_values(self)
        names = ("goals_per_product", "num_demonstrations", "num_trajectories", "num_eval_episodes", "max_steps")
        check_at_least(self, 1, *names)
        if AGENTS[self.agent].judgement is None and self.goals_per_product is not None:
            raise ConfigError(
                f"goals_per_product={self.goals_per_product} is of the judgement, and the {self.agent} agent has none; "
                "leave it out, or train the reading agent"
            )

    def sized(self) -> "QuickstartConfig":
        """The same run with every size that was left open; a tiny one has its own."""
        left_open = {name: size for name, size in AGENTS[self.agent].sizes.items() if getattr(self, name) is None}
        if self.num_eval_episodes is None and self.catalog is None:
            left_open["num_eval_episodes"] = EMBEDDED_EVAL_EPISODES
        return replace(self, **(left_open | (AGENTS[self.agent].tiny if self.tiny else {})))


def run_quickstart(config: QuickstartConfig, say: Callable[[str], None] = logger.info) -> "Table":
    """Runs every stage that is not complete yet.

    Args:
        say: called with a line for each stage.

    Returns:
        the table, which is also written to ``table.md``.

    Raises:
        ConfigError: the folder holds a run with another configuration.
        RecrlError: see the stages.
    """
    config = config.sized()
    agent = AGENTS[config.agent]
    from recrl.evaluation.tables import result_table
    from recrl.publishing.cards import write_results
    from recrl.reports.making import end_with_report

    number, last = itertools.count(1), 5 if agent.judgement is None else 6

    def begin(stage: str) -> None:
        say(f"{next(number)}/{last} {stage}")

    run = _run_folder(config)
    folder = run.path
    with run.claim():
        made = config.tiny and config.model_name_or_path is None
        place = _place(config, tiny_encoder(folder) if made else config.model_name_or_path)
        teacher, learner = "demonstrator", {}
        if agent.judgement is not None:
            begin("judgement: how probable is it that buying a product, as far as it is known, is perfect?")
            judge(folder / "judgement", place, _judged(config, agent.judgement))
            teacher, learner = _teacher(folder), {"start_from": str(folder / "judgement")}
            begin("demonstrations: the planner looks and buys by that judgement")
        else:
            begin("demonstrations: the demonstrator knows the goal and shows how to buy it")
        collect(folder / "demonstrations", place, _episodes(config, teacher, config.num_demonstrations))
        begin("imitation start: the scorer learns the demonstrated actions")
        learned = {
            "demonstrations": str(folder / "demonstrations"),
            "num_frozen_layers": config.num_frozen_layers,
            "num_train_epochs": config.imitation_epochs,
        }
        imitate(folder / "imitation", place, learned | learner | agent.imitation)
        begin("own trajectories: episodes of the start, without loops")
        own = _episodes(config, str(folder / "imitation"), config.num_trajectories)
        collect(folder / "trajectories", place, own | agent.own)
        begin("preference pairs and DPO: the better action of a page against a worse one")
        preferred = {
            "model_name_or_path": str(folder / "imitation"),
            "trajectories": str(folder / "trajectories"),
            "min_reward": _min_reward(config),
            "num_frozen_layers": config.num_frozen_layers,
            "num_train_epochs": config.dpo_epochs,
            "pairs": TINY_PAIRS if config.tiny else agent.pairs,
            **TOGETHER,
        }
        prefer(folder / "dpo", place, preferred)
        begin("evaluation on test goals")
        results = _evaluate(config, folder, say)
        for stage, name in (("imitation", START), ("dpo", "DPO")):
            write_results(folder / stage, repo_id=f"user/{stage}", results=[results[name]])
        table = result_table(results, baseline=START)
        write_text(folder / "table.md", table.markdown())
        run.complete({name: result.headline() for name, result in results.items()}, table.markdown())
        end_with_report(folder, say)
    return table


def _run_folder(config: QuickstartConfig) -> RunFolder:
    return RunFolder(
        path=Path(config.output_dir),
        kind="quickstart run",
        command="recrl quickstart",
        settings=asdict(config),
        settings_file=CONFIG_FILE,
        result_file="table.json",
        files=FILES,
        free=("output_dir",),
        scratch=(TINY_ENCODER,),
    )


def _place(config: QuickstartConfig, encoder: str | None) -> Place:
    return Place(catalog=config.catalog, split_by=config.split_by, seed=config.seed, encoder=encoder, bf16=config.bf16)


def _judged(config: QuickstartConfig, judgement: dict[str, Any]) -> dict[str, Any]:
    """The settings of the judgement."""
    least = {"variants": 1, "num_train_epochs": 1.0} if config.tiny else {}
    return {"goals_per_product": config.goals_per_product, **judgement, **least}


def _teacher(folder: Path) -> str:
    """The planner that plays by the run's judgement."""
    return f"planner:{folder / 'judgement'}"


def _episodes(config: QuickstartConfig, policy: str, count: int | None) -> dict[str, Any]:
    """The settings of a collection."""
    return {
        "policy": policy,
        "num_trajectories": count,
        "min_reward": _min_reward(config),
        "goal_draw": config.goal_draw,
        "max_steps": config.max_steps,
    }


def _min_reward(config: QuickstartConfig) -> float:
    """A random model never succeeds, so the tiny run keeps every episode."""
    return 0.0 if config.tiny else 1.0


def _evaluate(config: QuickstartConfig, folder: Path, say: Callable[[str], None]) -> dict[str, "Result"]:
    """Evaluates every policy on the same goals, one file each."""
    from recrl.evaluation.measure import evaluate, evaluate_ceiling
    from recrl.policies.loading import load_policy
    from recrl.webshop.catalog import load_catalog

    catalog = load_catalog(config.catalog)
    goals: dict[str, Any] = {"split_by": config.split_by, "num_episodes": config.num_eval_episodes}
    policies = {name: name for name in RULES}
    if AGENTS[config.agent].judgement is not None:
        policies[TEACHER] = _teacher(folder)
    policies |= {START: str(folder / "imitation"), "DPO": str(folder / "dpo")}

    def play(name: str, spec: str) -> "Result":
        say(f"- {name}")
        return evaluate(load_policy(spec), catalog, seed=config.seed, max_steps=config.max_steps, **goals)

    results = {
        name: measured(folder / "evaluation" / f"{name.replace(' ', '_')}.json", functools.partial(play, name, spec))
        for name, spec in policies.items()
    }
    for num_hits, name in ((10, "page-1 ceiling"), (50, "50-hit ceiling")):
        reach = functools.partial(evaluate_ceiling, catalog, num_hits=num_hits, **goals)
        results[name] = measured(folder / "evaluation" / f"ceiling_{num_hits}.json", reach)
    return results
