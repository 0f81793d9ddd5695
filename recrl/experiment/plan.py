"""From settings to stages: what has to be made in which order, and what each evaluation is of."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recrl.experiment.arms import KINDS, STANDARD, Arm, settings_name
from recrl.experiment.config import PaperConfig
from recrl.experiment.making import Place, measured, tiny_encoder
from recrl.experiment.stages import Stage

if TYPE_CHECKING:
    from recrl.evaluation.result_types import Result


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One evaluation of one arm.

    Attributes:
        stage: that makes it; its name is that of the result's file.
        seed: of training; None for an arm without.
        steps: the limit; None for a ceiling, which plays nothing.
        made_by: the stages that led to the arm, the first ones first.
        own: those of them that the arm's start does not have.
    """

    stage: str
    arm: Arm
    seed: int | None
    split_by: str
    steps: int | None
    wording: str
    made_by: tuple[str, ...]
    own: tuple[str, ...]


@dataclass
class Plan:
    """The stages of an experiment by name, each after those that it needs, and the measurements."""

    stages: dict[str, Stage] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)

    def leading_to(self, name: str) -> tuple[str, ...]:
        """A stage and all that it needs, directly or through others, in the order in which they are made."""
        wanted = {name}
        for stage in reversed(self.stages.values()):
            if stage.name in wanted:
                wanted.update(stage.needs)
        return tuple(one for one in self.stages if one in wanted)


def make_plan(config: PaperConfig, folder: Path) -> Plan:
    """The plan of an experiment; nothing is made yet.

    Args:
        config: as `PaperConfig.sized` gives it; folder: of the experiment.

    Raises:
        ConfigError: an arm is unknown.
    """
    planner = _Planner(config, folder)
    arms = config.find_arms()
    for split_by in config.split_by:
        for arm in arms:
            if not arm.seeded:
                planner.add_measurements(arm, split_by, None)
        for seed in config.seeds:
            for arm in arms:
                if arm.seeded:
                    planner.add_measurements(arm, split_by, seed)
    return planner.plan


class _Planner:
    def __init__(self, config: PaperConfig, folder: Path) -> None:
        self.config, self.folder, self.plan = config, folder, Plan()

    def place(self, split_by: str, seed: int) -> Place:
        config = self.config
        made = config.tiny and config.model_name_or_path is None
        encoder = tiny_encoder(self.folder) if made else config.model_name_or_path
        return Place(catalog=config.catalog, split_by=split_by, seed=seed, encoder=encoder, bf16=config.bf16)

    def add_stage(self, kind: str, arm: Arm, split_by: str, seed: int) -> str:
        """Adds a stage of a kind with all that it needs, unless they are there; returns its name."""
        how = KINDS[kind]
        needs = {role: self.add_stage(one, arm, split_by, seed) for role, one in how.takes.items()}
        shared = f"{split_by}/seed_{seed}"
        varied = kind in arm.changes or any(need.startswith(f"{shared}/{arm.name}/") for need in needs.values())
        name = f"{shared}/{arm.name}/{kind}" if varied else f"{shared}/{kind}"
        if name in self.plan.stages:
            return name
        changes = arm.changes.get(kind, {})
        settings = {**getattr(self.config, settings_name(kind)), **changes}
        folders = {role: how.written_as.get(role, "{}").format(self.folder / need) for role, need in needs.items()}

        def make() -> None:
            how.make(self.folder / name, self.place(split_by, seed), {**settings, **folders, **changes})

        self.plan.stages[name] = Stage(
            name=name,
            kind=kind,
            marker=how.marker,
            needs=tuple(needs.values()),
            settings=settings,
            make=make,
        )
        return name

    def add_measurements(self, arm: Arm, split_by: str, seed: int | None) -> None:
        """Adds the stages of an arm, and its evaluations in every wording with every step limit."""
        config, trained = self.config, None
        if arm.kind is not None and seed is not None:
            trained = self.add_stage(arm.kind, arm, split_by, seed)
        made_by = () if trained is None else self.plan.leading_to(trained)
        start = f"{split_by}/seed_{seed}/{STANDARD[arm.start].kind}" if arm.start else ""
        of_start = self.plan.leading_to(start) if start in self.plan.stages else ()
        limits: Iterable[int | None] = config.steps if arm.policy else [None]
        for wording in config.wordings:
            for steps in limits:
                where = "no_steps" if steps is None else f"{steps}_steps"
                who = "rules" if seed is None else f"seed_{seed}"
                name = f"{split_by}/{who}/evaluation/{config.split}_{where}_{wording}/{arm.name}.json"
                self.plan.stages[name] = Stage(
                    name=name,
                    kind=f"evaluation of {arm.name}, {where}",
                    marker="",
                    needs=() if trained is None else (trained,),
                    settings={"num_episodes": config.num_eval_episodes},
                    make=self._evaluation(name, arm, trained, split_by, seed or 0, steps, wording),
                )
                self.plan.measurements.append(
                    Measurement(
                        stage=name,
                        arm=arm,
                        seed=seed,
                        split_by=split_by,
                        steps=steps,
                        wording=wording,
                        made_by=made_by,
                        own=tuple(one for one in made_by if one not in of_start),
                    )
                )

    def _evaluation(
        self, name: str, arm: Arm, trained: str | None, split_by: str, seed: int, steps: int | None, wording: str
    ) -> Any:
        def measure() -> "Result":
            from recrl.evaluation.measure import evaluate, evaluate_ceiling
            from recrl.policies.forgetting import Forgetting
            from recrl.policies.loading import load_policy
            from recrl.webshop.catalog import load_catalog

            config = self.config
            catalog = load_catalog(config.catalog, wording=wording)
            goals: dict[str, Any] = {
                "split": config.split,
                "split_by": split_by,
                "num_episodes": config.num_eval_episodes,
            }
            if arm.num_hits is not None:
                return evaluate_ceiling(catalog, num_hits=arm.num_hits, **goals)
            policy = load_policy(arm.policy.format("" if trained is None else self.folder / trained))
            return evaluate(
                Forgetting(policy) if arm.forgets else policy,
                catalog,
                seed=seed,
                max_steps=steps or 0,
                explain_failures=True,
                allow_seen_goals=config.allow_seen_goals,
                **goals,
            )

        return lambda: measured(self.folder / name, measure)
