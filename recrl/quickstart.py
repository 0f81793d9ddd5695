"""The whole road on one page: demonstrations, imitation start, own trajectories, pairs, DPO, evaluation, table.

Each stage writes a folder or file of its own inside the run's folder and is passed over when that is complete; a stage
that was interrupted goes on where it stopped. So the run's folder holds everything that led to its table.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recrl.experiment.making import TINY_ENCODER, Place, collect, imitate, measured, prefer, tiny_encoder
from recrl.files import write_text
from recrl.policies.loading import RULES
from recrl.rollouts.config import CATALOG_HELP, GOAL_DRAW_HELP, MAX_STEPS_HELP, SPLIT_BY_HELP
from recrl.runs import RunFolder
from recrl.settings import check_at_least, check_values, to_seed
from recrl.webshop.goals import DEFAULT_SPLIT_BY

if TYPE_CHECKING:
    from recrl.evaluation.result_types import Result

logger = logging.getLogger(__name__)

CONFIG_FILE = "quickstart.json"
START = "imitation start"
FILES = {
    CONFIG_FILE: "all settings",
    "demonstrations": "episodes of the demonstrator, which knows the goal",
    "imitation": "the agent that learned from them",
    "trajectories": "its own successful episodes",
    "dpo": "the agent that learned from these, with the preference pairs",
    "evaluation": "the results of every agent and ceiling on test goals, with all episodes",
    "table.json": "the results without their episodes; written last",
    "table.md": "the table alone",
}


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """The run."""

    output_dir: str = field(
        default="runs/quickstart", metadata={"help": "The run's folder; repeat the command to go on in it."}
    )
    catalog: str | None = field(default=None, metadata=CATALOG_HELP)
    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    goal_draw: str = field(default="weight", metadata=GOAL_DRAW_HELP)
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Encoder, by Hub id or folder; without it MiniLM-L6, or with --tiny a random one."},
    )
    seed: int = field(
        default=0,
        metadata={"help": "Seed of goals, new heads, actions, pairs and the order of the data.", "type": to_seed},
    )
    num_demonstrations: int = field(default=100, metadata={"help": "Demonstrations that imitation learns from."})
    num_trajectories: int = field(default=100, metadata={"help": "Episodes of the agent's own that DPO learns from."})
    num_eval_episodes: int | None = field(
        default=None,
        metadata={"help": "Test goals of the evaluation; without it 200, or with --catalog the whole split."},
    )
    imitation_epochs: float = field(default=3.0, metadata={"help": "Passes over the demonstrations."})
    dpo_epochs: float = field(default=2.0, metadata={"help": "Passes over the preference pairs."})
    num_frozen_layers: int = field(
        default=3,
        metadata={"help": "Lowest encoder layers that are left untrained; half of them halves a CPU's time."},
    )
    bf16: bool = field(
        default=False, metadata={"help": "Train in bf16 mixed precision, which is faster where the hardware has it."}
    )
    max_steps: int = field(default=15, metadata=MAX_STEPS_HELP)
    tiny: bool = field(
        default=False,
        metadata={"help": "Make a run of under a minute, with few episodes and a model that knows nothing."},
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_at_least(self, 1, "num_demonstrations", "num_trajectories", "num_eval_episodes", "max_steps")


EMBEDDED_EVAL_EPISODES = 200
TINY: dict[str, Any] = {
    "num_demonstrations": 12,
    "num_trajectories": 4,
    "num_eval_episodes": 8,
    "imitation_epochs": 1.0,
    "dpo_epochs": 1.0,
    "num_frozen_layers": 0,
}
# The imitation term at full weight: with less of it the paper's pairs push down all options of a group with the
# rejected one, and the agent buys too early (docs/results.md).
DPO_DEFAULTS: dict[str, Any] = {
    "loss_type": ["sigmoid", "sft"],
    "loss_weights": [1.0, 1.0],
    "precompute_ref_log_probs": True,
}


def run_quickstart(config: QuickstartConfig, say: Callable[[str], None] = logger.info) -> str:
    """Runs every stage that is not complete yet.

    Args:
        say: called with a line for each stage and for its progress.

    Returns:
        the table as Markdown, which is also written to ``table.md``.

    Raises:
        ConfigError: the folder holds a run with another configuration.
        RecrlError: see the stages.
    """
    if config.tiny:
        config = replace(config, **TINY)
    elif config.num_eval_episodes is None and config.catalog is None:
        config = replace(config, num_eval_episodes=EMBEDDED_EVAL_EPISODES)
    from recrl.evaluation.tables import markdown_table
    from recrl.publishing.cards import write_results

    run = _run_folder(config)
    folder = run.path
    with run.claim():
        made = config.tiny and config.model_name_or_path is None
        place = _place(config, tiny_encoder(folder) if made else config.model_name_or_path)
        say("1/6 demonstrations: the demonstrator knows the goal and shows how to buy it")
        shown = _episodes(config, "demonstrator", config.num_demonstrations)
        collect(folder / "demonstrations", place, shown, say)
        say("2/6 imitation start: the scorer learns the demonstrated actions")
        imitate(
            folder / "imitation",
            place,
            {
                "demonstrations": str(folder / "demonstrations"),
                "num_frozen_layers": config.num_frozen_layers,
                "num_train_epochs": config.imitation_epochs,
            },
            say,
        )
        say("3/6 own trajectories: the start's successful episodes, without loops")
        own = _episodes(config, str(folder / "imitation"), config.num_trajectories)
        collect(folder / "trajectories", place, own, say)
        say("4/6 preference pairs and 5/6 DPO: the trajectory's action against one drawn from the start")
        prefer(
            folder / "dpo",
            place,
            {
                "model_name_or_path": str(folder / "imitation"),
                "trajectories": str(folder / "trajectories"),
                "min_reward": _min_reward(config),
                "num_frozen_layers": config.num_frozen_layers,
                "num_train_epochs": config.dpo_epochs,
                **DPO_DEFAULTS,
            },
            say,
        )
        say("6/6 evaluation on test goals")
        results = _evaluate(config, folder, say)
        for stage, name in (("imitation", START), ("dpo", "DPO")):
            write_results(folder / stage, repo_id=f"user/{stage}", results=[results[name]])
        table = markdown_table(results, baseline=START)
        write_text(folder / "table.md", table)
        run.complete({name: result.headline() for name, result in results.items()}, table)
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


def _episodes(config: QuickstartConfig, policy: str, count: int) -> dict[str, Any]:
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
