"""The plan: which stages an arm needs, what variants share, and what is refused before anything is made."""

from pathlib import Path
from typing import Any

import pytest

from recrl.errors import ConfigError
from recrl.experiment.arms import KINDS, SETTINGS, STANDARD, find_arms
from recrl.experiment.config import DEFAULTS, TINY, PaperConfig
from recrl.experiment.plan import Plan, make_plan
from recrl.policies.loading import RULES

READING = ("judgement", "reading_demonstrations", "first_imitation", "taught", "reading_imitation")


def plan_of(**settings: Any) -> Plan:
    config = PaperConfig(seeds=[0], steps=[15], wordings=["template"], **settings)
    config.check_stages()
    return make_plan(config.sized(), Path("run"))


def trainings(plan: Plan) -> list[str]:
    return [name for name, stage in plan.stages.items() if stage.kind in KINDS]


def test_every_kind_has_settings_that_its_recipe_knows() -> None:
    assert set(SETTINGS) == set(DEFAULTS) == set(TINY)
    for kinds in (DEFAULTS, TINY):
        PaperConfig(**kinds).check_stages()  # type: ignore[arg-type]


def test_all_rules_and_every_kind_are_among_the_default_arms() -> None:
    assert [*RULES] == [name for name in STANDARD if name in RULES]
    assert {stage.kind for stage in plan_of().stages.values()} >= set(KINDS)


def test_stages_come_after_what_they_need() -> None:
    plan = plan_of()
    places = {name: place for place, name in enumerate(plan.stages)}
    for name, stage in plan.stages.items():
        assert all(places[need] < places[name] for need in stage.needs), name


def test_an_arm_brings_its_stages_and_no_others() -> None:
    assert trainings(plan_of(arms=["rules", "ceilings"])) == []
    assert trainings(plan_of(arms=["planner-judged"])) == ["product/seed_0/judgement"]
    plan = plan_of(arms=["dpo-generated"])
    reading = [f"product/seed_0/{kind}" for kind in READING]
    assert trainings(plan) == [*reading, "product/seed_0/generated", "product/seed_0/dpo_generated"]
    [measurement] = plan.measurements
    assert measurement.made_by == tuple(trainings(plan))
    assert measurement.own == ("product/seed_0/generated", "product/seed_0/dpo_generated")
    assert len(plan_of(arms=["plain-imitation"], split_by=["product", "goal"]).stages) == 2 * 3


def test_a_variant_makes_anew_what_it_changes_and_what_needs_that() -> None:
    plan = plan_of(arms=["efficiency-25", "reading-imitation"])
    own = [f"product/seed_0/efficiency-25/{kind}" for kind in READING[1:]]
    shared = [f"product/seed_0/{kind}" for kind in READING]
    assert sorted(trainings(plan)) == sorted([*own, *shared])
    assert [plan.stages[own[place]].settings["num_trajectories"] for place in (0, 2)] == [13, 12]
    assert plan.stages[own[0]].needs == ("product/seed_0/judgement",)
    assert plan.stages[own[1]].needs == (own[0], "product/seed_0/judgement")
    fewer = plan_of(arms=["products-50"])
    assert trainings(fewer) == [f"product/seed_0/products-50/{kind}" for kind in READING]
    settings = [fewer.stages[f"product/seed_0/products-50/{kind}"].settings for kind in READING]
    assert [one.get("num_products") for one in settings] == [50, 50, None, 50, None]
    assert trainings(plan_of(arms=["ablation-without-notes"])) == shared
    tuned = trainings(plan_of(arms=["ablation-tuned-encoder"]))
    assert tuned == [*shared[:-1], "product/seed_0/ablation-tuned-encoder/reading_imitation"]


def test_own_play_begins_with_the_untrained_scorer_and_imitates_all_rounds_so_far() -> None:
    plan = plan_of(arms=["own-play", "untrained"])
    [last] = [one for one in plan.stages.values() if one.kind == "own_imitation_3"]
    assert last.needs == tuple(
        f"product/seed_0/{kind}" for kind in ("own_play_1", "own_play_2", "own_play_3", "judgement")
    )
    assert plan.stages["product/seed_0/own_play_1"].needs == ("product/seed_0/judgement",)
    assert plan.stages["product/seed_0/own_play_3"].needs == ("product/seed_0/own_imitation_2",)
    [trained] = [one for one in plan.measurements if one.arm.name == "own-play"]
    assert len(trained.own) == 6  # its start is the judgement alone


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("redding-imitation", "reading-imitation"),
        ("dpo-genarated", "dpo-generated"),
        ("ablation-without-note", "ablation-without-notes"),
        ("efficiency", "efficiency-N"),
        ("efficiency-0", "efficiency-N"),
    ],
)
def test_an_unknown_arm_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown arm '{name}'; did you mean '{meant}'"):
        find_arms(["rules", name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ppo": {"num_update": 3}}, "ppo: unknown setting 'num_update'; did you mean 'num_updates'"),
        ({"dpo_generated": {"seed": 3}}, "dpo_generated: seed is set by the experiment; leave it out"),
        ({"ppo": {"model_name_or_path": "x"}}, "ppo: model_name_or_path is set by the experiment; leave it out"),
    ],
)
def test_a_setting_that_no_stage_has_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PaperConfig(**settings).check_stages()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": []}, r"seeds=\[\], expected at least one number of 0 or more"),
        ({"steps": [15, 15]}, "steps=.*, each once"),
        ({"split_by": ["goals"]}, "split_by=goals, expected at least one of"),
        ({"expected_minutes": {"pppo": 3}}, "expected_minutes: unknown kind 'pppo'; did you mean 'ppo'"),
        ({"expected_minutes": {"ppo": "3 h"}}, "expected_minutes: ppo='3 h', expected a number"),
        ({"budget_minutes": -1.0}, "budget_minutes=-1.0, expected at least 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PaperConfig(**settings)
