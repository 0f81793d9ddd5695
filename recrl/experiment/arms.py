"""The arms of the experiment: what is trained for each, in which stages, and how it plays.

A stage is named by its kind, and a kind's settings are those of its recipe. An arm that varies another one says which
settings of which kinds it changes: then those stages, and all that need them, are made anew for it, and the rest is
shared. So an ablation, or a point of a curve over the number of trajectories, is a line in `VARIANTS` or `VARIED`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError
from recrl.experiment import making
from recrl.experiment.making import Place, Settings
from recrl.policies.loading import RULES
from recrl.scoring.inputs import PLAIN_FEATURES, READING_FEATURES
from recrl.settings import nearest


@dataclass(frozen=True)
class Kind:
    """How stages of one kind are made.

    Attributes:
        make: folder, place and settings -> makes the stage in the folder.
        classes: -> the dataclasses whose fields its settings are.
        takes: a setting -> the kind of the stage whose folder is its value.
        written_as: of such a setting, how the folder is written; without it the folder alone.
        marker: the file that a stage writes last.
        settings: the name of its settings, if it shares them with others; None for that of the kind.
    """

    make: Callable[[Path, Place, Settings], None]
    classes: Callable[[], tuple[type, ...]]
    takes: Mapping[str, str] = field(default_factory=dict)
    written_as: Mapping[str, str] = field(default_factory=dict)
    marker: str = "training_metrics.json"
    settings: str | None = None

    @property
    def collects(self) -> bool:
        """Whether it plays episodes and keeps some, and trains nothing."""
        return self.marker in (COLLECTED, making.COLLECTIONS)


COLLECTED = "trajectories.json"
PLANS = {"policy": "planner:{}"}
START = {"model_name_or_path": "reading_imitation"}
KINDS: dict[str, Kind] = {
    "plain_demonstrations": Kind(making.collect, making.collecting_classes, marker=COLLECTED),
    "plain_imitation": Kind(making.imitate, making.imitation_classes, {"demonstrations": "plain_demonstrations"}),
    "judgement": Kind(making.judge, making.judgement_classes),
    "reading_demonstrations": Kind(
        making.collect_mixed, making.mixing_classes, {"policy": "judgement"}, PLANS, marker=making.COLLECTIONS
    ),
    "first_imitation": Kind(
        making.imitate,
        making.imitation_classes,
        {"demonstrations": "reading_demonstrations", "start_from": "judgement"},
    ),
    "taught": Kind(
        making.collect_mixed,
        making.mixing_classes,
        {"policy": "first_imitation", "teacher": "judgement"},
        {"teacher": "planner:{}"},
        marker=making.COLLECTIONS,
    ),
    "reading_imitation": Kind(
        making.imitate,
        making.imitation_classes,
        {"demonstrations": "reading_demonstrations", "taught": "taught", "start_from": "judgement"},
    ),
    "more_demonstrations": Kind(
        making.collect, making.collecting_classes, {"policy": "judgement"}, PLANS, marker=COLLECTED
    ),
    "dpo_demonstrations": Kind(
        making.prefer, making.preference_classes, START | {"trajectories": "more_demonstrations"}
    ),
    "generated": Kind(making.collect, making.collecting_classes, {"policy": "reading_imitation"}, marker=COLLECTED),
    "dpo_generated": Kind(making.prefer, making.preference_classes, START | {"trajectories": "generated"}),
    "ppo": Kind(making.reinforce, making.reinforcement_classes, START | {"demonstrations": "reading_demonstrations"}),
    "self_improvement": Kind(making.self_improve, making.self_improvement_classes, START),
}
OWN_PLAY_ROUNDS = 3
for _round in range(
    1, OWN_PLAY_ROUNDS + 1
):  # successes of the scorer so far, and a scorer that imitates all until then
    KINDS[f"own_play_{_round}"] = Kind(
        making.collect_mixed,
        making.mixing_classes,
        {"policy": f"own_imitation_{_round - 1}" if _round > 1 else "judgement"},
        marker=making.COLLECTIONS,
        settings="own_play",
    )
    KINDS[f"own_imitation_{_round}"] = Kind(
        making.imitate,
        making.imitation_classes,
        {f"demonstrations_{number}": f"own_play_{number}" for number in range(1, _round + 1)}
        | {"start_from": "judgement"},
        settings="own_imitation",
    )
KINDS["own_ppo"] = Kind(
    making.reinforce, making.reinforcement_classes, {"model_name_or_path": f"own_imitation_{OWN_PLAY_ROUNDS}"}
)


def settings_name(kind: str) -> str:
    """The name of a kind's settings in `recrl.experiment.config`."""
    return KINDS[kind].settings or kind


SETTINGS = tuple(dict.fromkeys(map(settings_name, KINDS)))


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is evaluated.

    Attributes:
        name: in tables, and on the command line.
        kind: of the stage whose folder plays; None for what needs no training.
        policy: as `recrl.policies.loading.load_policy` takes it, {} standing for that folder; empty for a ceiling.
        start: the arm from which its training went on, or that it varies.
        num_hits: of a ceiling.
        changes: of a variant, a kind -> settings that differ; they win over folders of other stages too.
        forgets: whether it plays without notes of earlier pages.
    """

    name: str
    kind: str | None = None
    policy: str = "{}"
    start: str | None = None
    num_hits: int | None = None
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forgets: bool = False

    @property
    def seeded(self) -> bool:
        """Whether there is one for each seed."""
        return self.kind is not None


READING, UNTRAINED = "reading-imitation", "untrained"
RULE_ARMS = [Arm(name=name, policy=name) for name in RULES]
CEILINGS = [
    Arm(name="page-1-ceiling", policy="", num_hits=10),
    Arm(name="50-hit-ceiling", policy="", num_hits=50),
]
TRAINED = [
    Arm(name="plain-imitation", kind="plain_imitation"),
    Arm(name="planner-judged", kind="judgement", policy="planner:{}"),
    Arm(name=READING, kind="reading_imitation", start="planner-judged"),
    Arm(name="dpo-demonstrations", kind="dpo_demonstrations", start=READING),
    Arm(name="dpo-generated", kind="dpo_generated", start=READING),
    Arm(name="ppo", kind="ppo", start=READING),
    Arm(name="self-improvement", kind="self_improvement", start=READING),
    Arm(name=UNTRAINED, kind="judgement"),
    Arm(name="own-play", kind=f"own_imitation_{OWN_PLAY_ROUNDS}", start=UNTRAINED),
    Arm(name="own-play-ppo", kind="own_ppo", start="own-play"),
]
NEW = {"start_from": None}  # a new scorer, which has no judgement
VARIANTS: dict[str, dict[str, Any]] = {  # name -> what differs from the reading imitation
    "ablation-without-notes": {"forgets": True},
    "ablation-without-judgement": {
        "changes": {"reading_imitation": NEW | {"action_features": [*PLAIN_FEATURES, *READING_FEATURES]}}
    },
    "ablation-plain-scorer": {"changes": {"reading_imitation": NEW}},
    "ablation-tuned-encoder": {"changes": {"reading_imitation": {"num_frozen_layers": 0}}},
    "ablation-loops-by-page": {"changes": {"reading_demonstrations": {"loops": "pages"}}},
    "ablation-no-labelled-pages": {"changes": {"reading_imitation": {"taught": None}}},
    "ablation-no-made-goals": {"changes": {"judgement": {"made_goals_per_product": 0}}},
    "ablation-weighted-goals": {"changes": {"reading_demonstrations": {"goal_draw": "weight"}}},
}
VARIED: dict[str, Callable[[int], dict[str, Any]]] = {  # name before a number -> the same for that number
    "efficiency": lambda number: {
        "changes": {
            "reading_demonstrations": {"num_trajectories": number - number // 2},
            "taught": {"num_trajectories": number // 2},
        }
    },
    "products": lambda number: {
        "changes": {kind: {"num_products": number} for kind in ("judgement", "reading_demonstrations", "taught")}
    },
}
STANDARD = {arm.name: arm for arm in (*RULE_ARMS, *TRAINED, *CEILINGS)}
GROUPS = {"rules": [arm.name for arm in RULE_ARMS], "ceilings": [arm.name for arm in CEILINGS]}


def find_arms(names: list[str]) -> list[Arm]:
    """The arms of these names, of which `GROUPS` stand for several, in the order of `STANDARD`, variants last.

    Raises:
        ConfigError: a name is unknown; the message names the nearest.
    """
    wanted = dict.fromkeys(one for name in names for one in GROUPS.get(name, [name]))
    return sorted(map(_find, wanted), key=lambda arm: place_of(arm.name))


def place_of(name: str) -> tuple[int, str, int]:
    """The place of an arm in tables: in the order of `STANDARD`, then of `VARIANTS`, then of the numbers."""
    order = [*STANDARD, *VARIANTS]
    family, number = numbered(name) or ("", 0)
    return order.index(name) if name in order else len(order), family, number


def numbered(name: str) -> tuple[str, int] | None:
    """The name before the number and the number, of an arm of `VARIED`; None of others."""
    found = re.fullmatch(r"([a-z-]+)-([1-9][0-9]*)", name)
    return (found[1], int(found[2])) if found and found[1] in VARIED else None


def _find(name: str) -> Arm:
    if name in STANDARD:
        return STANDARD[name]
    if name in VARIANTS:
        settings = VARIANTS[name]
    elif found := numbered(name):
        family, number = found
        settings = VARIED[family](number)
    else:
        known = [*STANDARD, *GROUPS, *VARIANTS, *(f"{one}-N" for one in VARIED)]
        meant = nearest(name, known)
        hint = f"; did you mean {meant!r}? Expected" if meant else "; expected"
        raise ConfigError(f"unknown arm {name!r}{hint} one of {', '.join(known)}")
    return Arm(name=name, kind="reading_imitation", start=READING, **settings)
