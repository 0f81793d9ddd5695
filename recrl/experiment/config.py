"""The settings of the experiment: what is compared, on which goals, and the settings of every kind of stage."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recrl.errors import ConfigError
from recrl.evaluation.config import ALLOW_SEEN_GOALS_HELP
from recrl.experiment.arms import KINDS, STANDARD, Arm, find_arms, settings_name
from recrl.experiment.making import fields_of, unknown_setting
from recrl.rollouts.config import CATALOG_HELP, SPLIT_HELP
from recrl.settings import check_at_least, check_values, nearest
from recrl.tables import TableSettings
from recrl.webshop.goals import DEFAULT_SPLIT_BY, SPLIT_BY, WORDINGS

# What the experiment itself sets in every stage.
OURS = frozenset("seed catalog split_by output_dir bf16 use_cpu disable_tqdm push_to_hub pairs_seed".split())

ALL_LAYERS = {"num_frozen_layers": 6}  # of MiniLM's: the heads alone, whose encodings are kept
TOGETHER = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 1.0], "precompute_ref_log_probs": True}
MIXED = {"wordings": list(WORDINGS), "step_limits": [15, 100]}
READING = ALL_LAYERS | {"num_train_epochs": 1.0, "per_device_train_batch_size": 32}
DEFAULTS: dict[str, dict[str, Any]] = {
    "plain_demonstrations": {"policy": "demonstrator", "num_trajectories": 400},
    "plain_imitation": {"num_frozen_layers": 3},
    "judgement": {"made_goals_per_product": 4},
    "reading_demonstrations": MIXED | {"num_trajectories": 200, "goal_draw": "product"},
    "first_imitation": READING,
    "taught": MIXED | {"num_trajectories": 200, "min_reward": 0.0, "prune": False, "goal_draw": "product"},
    "reading_imitation": READING,
    "more_demonstrations": {"num_trajectories": 1200, "goal_draw": "product"},
    "dpo_demonstrations": ALL_LAYERS | TOGETHER,
    "generated": {"num_trajectories": 100, "goal_draw": "product"},
    "dpo_generated": ALL_LAYERS | TOGETHER,
    "ppo": ALL_LAYERS | {"goal_draw": "product"},
    "self_improvement": ALL_LAYERS | TOGETHER | {"goal_draw": "product"},
    "own_play": MIXED | {"num_trajectories": 132, "goal_draw": "product"},
    "own_imitation": READING,
    "own_ppo": ALL_LAYERS | {"goal_draw": "product"},
}

TINY_LAYERS = {"num_frozen_layers": 2}
TINY_PPO = TINY_LAYERS | {
    "num_updates": 2,
    "num_envs": 2,
    "num_steps": 8,
    "num_minibatches": 2,
    "num_passes": 1,
    "value_warmup": 1,
    "value_warmup_passes": 1,
    "eval_every": 1,
    "num_dev_episodes": 2,
}
TINY: dict[str, dict[str, Any]] = {
    "plain_demonstrations": {"num_trajectories": 4},
    "plain_imitation": TINY_LAYERS | {"num_train_epochs": 1.0},
    "judgement": {"goals_per_product": 1, "variants": 1, "num_train_epochs": 1.0},
    "reading_demonstrations": {"num_trajectories": 4, "min_reward": 0.0, "step_limits": [5, 8]},
    "first_imitation": TINY_LAYERS | {"num_train_epochs": 1.0},
    "taught": {"num_trajectories": 4, "step_limits": [5, 8]},
    "reading_imitation": TINY_LAYERS | {"num_train_epochs": 1.0},
    "more_demonstrations": {"num_trajectories": 6, "min_reward": 0.0},
    "dpo_demonstrations": TINY_LAYERS | {"num_train_epochs": 1.0, "min_reward": 0.0},
    "generated": {"num_trajectories": 2, "min_reward": 0.0},
    "dpo_generated": TINY_LAYERS | {"num_train_epochs": 1.0, "min_reward": 0.0},
    "ppo": TINY_PPO | {"imitation_coef": 0.1, "demonstration_batch_size": 2},
    "self_improvement": TINY_LAYERS
    | {
        "num_rounds": 1,
        "num_episodes": 4,
        "rollouts_per_goal": 2,
        "num_train_epochs": 1.0,
        "num_dev_episodes": 2,
        "min_reward": 0.0,
    },
    "own_play": {"num_trajectories": 4, "min_reward": 0.0, "step_limits": [5, 8]},
    "own_imitation": TINY_LAYERS | {"num_train_epochs": 1.0},
    "own_ppo": TINY_PPO,
}
TINY_EVALUATION: dict[str, Any] = {"steps": [5, 8], "num_eval_episodes": 4}


@dataclass(frozen=True, kw_only=True)
class PaperConfig(TableSettings):
    """The experiment. A mapping is for the stages of one kind: names and values as in the YAML file of its recipe,
    which win over `DEFAULTS`.
    """

    output_dir: str = field(
        default="runs/paper", metadata={"help": "The experiment's folder; repeat the command to go on in it."}
    )
    arms: list[str] = field(
        default_factory=lambda: list(STANDARD),
        metadata={
            "help": "What is compared; beside the default arms there are ablation-NAME, efficiency-N and products-N."
        },
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Seeds of training."})
    catalog: str | None = field(default=None, metadata=CATALOG_HELP)
    split_by: list[str] = field(
        default_factory=lambda: [DEFAULT_SPLIT_BY],
        metadata={"help": "What the splits must not share: product, goal, or both; all is trained anew for each."},
    )
    split: str = field(default="test", metadata=SPLIT_HELP)
    steps: list[int] = field(default_factory=lambda: [15, 100], metadata={"help": "Step limits of the evaluations."})
    wordings: list[str] = field(
        default_factory=lambda: list(WORDINGS), metadata={"help": "Wordings of the goals that are evaluated."}
    )
    num_eval_episodes: int | None = field(
        default=None, metadata={"help": "First N goals of the split; without it all of them."}
    )
    allow_seen_goals: bool = field(default=False, metadata=ALLOW_SEEN_GOALS_HELP)
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Encoder, by Hub id or folder; without it MiniLM-L6, or with --tiny a random one."},
    )
    bf16: bool = field(default=False, metadata={"help": "Train in bf16 mixed precision."})
    budget_minutes: float | None = field(
        default=None,
        metadata={"help": "End before a stage that would not fit into so many minutes; the next call goes on."},
    )
    expected_minutes: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "Kind of stage -> minutes that one takes, for the first of its kind in this folder."},
    )
    tiny: bool = field(
        default=False,
        metadata={"help": "Make a run of two minutes, with few episodes and a model that knows nothing."},
    )
    write_docs: str | None = field(
        default=None,
        metadata={"help": "Make nothing; write what is there into results.json and results.md of this folder."},
    )
    plain_demonstrations: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "Episodes of the demonstrator, which knows the goal."}
    )
    plain_imitation: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "The paper's model, which imitates them."}
    )
    judgement: dict[str, Any] = field(default_factory=dict, metadata={"help": "The judgement of products."})
    reading_demonstrations: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "Episodes of the planner with that judgement."}
    )
    first_imitation: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "The scorer that imitates them, whose own pages are then labelled."}
    )
    taught: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "Its own episodes, with the planner's right actions on the pages that it comes to (DAgger)."},
    )
    reading_imitation: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "The reading agent, which learns from both, from the judgement's scorer."},
    )
    more_demonstrations: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "More episodes of the planner, as many as the paper's human ones."}
    )
    dpo_demonstrations: dict[str, Any] = field(default_factory=dict, metadata={"help": "DPO on them."})
    generated: dict[str, Any] = field(default_factory=dict, metadata={"help": "Episodes of the reading agent itself."})
    dpo_generated: dict[str, Any] = field(default_factory=dict, metadata={"help": "DPO on them."})
    ppo: dict[str, Any] = field(default_factory=dict, metadata={"help": "PPO."})
    self_improvement: dict[str, Any] = field(default_factory=dict, metadata={"help": "Self-improvement."})
    own_play: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "Successes of the scorer so far, at first the untrained one; of each of three rounds."},
    )
    own_imitation: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "The scorer that imitates those of all rounds so far."}
    )
    own_ppo: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "PPO on the scorer of the last round, without demonstrations."}
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_at_least(self, 1, "num_eval_episodes")
        check_at_least(self, 0, "budget_minutes")
        _check_list("split_by", self.split_by, SPLIT_BY)
        _check_list("wordings", self.wordings, WORDINGS)
        for name, least in (("seeds", 0), ("steps", 1)):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or min(values) < least:
                raise ConfigError(f"{name}={values}, expected at least one number of {least} or more, each once")
        for kind, minutes in self.expected_minutes.items():
            if not isinstance(minutes, int | float) or minutes < 0:
                raise ConfigError(f"expected_minutes: {kind}={minutes!r}, expected a number of at least 0")
            if kind not in (*KINDS, "evaluation"):
                meant = nearest(str(kind), (*KINDS, "evaluation"))
                raise ConfigError(
                    f"expected_minutes: unknown kind {kind!r}" + (f"; did you mean {meant!r}?" if meant else "")
                )
        self.find_arms()

    def find_arms(self) -> list[Arm]:
        """The arms.

        Raises:
            ConfigError: a name is unknown.
        """
        return find_arms(self.arms)

    def sized(self) -> "PaperConfig":
        """The same experiment with the sizes that are played and trained: those of `TINY` if it is tiny."""
        kinds = {kind: DEFAULTS[kind] | getattr(self, kind) | (TINY[kind] if self.tiny else {}) for kind in DEFAULTS}
        return replace(self, **kinds, **(TINY_EVALUATION if self.tiny else {}))

    def check_stages(self) -> None:
        """Raises ConfigError if a setting of a kind of stage does not exist, or is the experiment's own."""
        for kind, how in KINDS.items():
            known = {name: hint for one in how.classes() for name, hint in fields_of(one).items()}
            known = {name: hint for name, hint in known.items() if name not in OURS and name not in how.takes}
            of_kind = settings_name(kind)
            for name in getattr(self, of_kind):
                if name in OURS or name in how.takes:
                    raise ConfigError(f"{of_kind}: {name} is set by the experiment; leave it out")
                if name not in known:
                    raise unknown_setting(of_kind, name, known)

    def recorded(self) -> dict[str, Any]:
        """What the whole folder has in common; settings of stages are recorded with each stage."""
        names = "catalog split num_eval_episodes model_name_or_path bf16 tiny".split()
        return {name: value for name, value in asdict(self).items() if name in names}


def _check_list(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown or not values or len(set(values)) < len(values):
        raise ConfigError(f"{name}={', '.join(values)}, expected at least one of {', '.join(known)}, each once")
