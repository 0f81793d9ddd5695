"""What was imported is learned from like anything else: the imitation file at the paper's size, imitation, DPO."""

import json
from pathlib import Path

import pytest
from test_import import demonstration

from recrl.episodes.data import load_episodes
from recrl.importing.config import ImportConfig
from recrl.importing.trajectories import import_trajectories
from recrl.policies.loading import load_policy
from recrl.rollouts.collecting import goal_stream
from recrl.rollouts.rollout import rollout
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments, train_dpo
from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
from recrl.training.runs import training_metrics
from recrl.training.tuning import TuningArguments
from recrl.webshop.catalog import load_catalog

NUM_DEMONSTRATIONS = 1200  # as in arXiv:2408.16032


@pytest.mark.slow
def test_the_imitation_file_feeds_imitation_and_dpo(tiny_encoder: Path, tmp_path: Path) -> None:
    catalog = load_catalog()
    stream = goal_stream(catalog, "train", "product", 0)
    goals = [next(stream) for _ in range(NUM_DEMONSTRATIONS)]
    with open(tmp_path / "il.jsonl", "w", encoding="utf-8") as file:
        played = list(rollout(load_policy("demonstrator"), catalog, goals, seed=0))
        for episode in played:
            file.write(json.dumps(demonstration(episode)) + "\n")
    output = tmp_path / "people"
    summary = import_trajectories(
        ImportConfig(
            source=str(tmp_path / "il.jsonl"), format="webshop_il", catalog="embedded", split="train",
            output_dir=str(output), max_steps=15,
        )
    )  # fmt: skip
    assert summary["num_left_out"] == {}, summary["left_out"]
    assert (summary["num_found"], summary["num_trajectories"]) == (NUM_DEMONSTRATIONS, NUM_DEMONSTRATIONS)
    found = [(episode.goal_index, episode.reward) for episode in load_episodes(output)]
    assert found == [(episode.goal_index, episode.reward) for episode in played]

    common = {"use_cpu": True, "disable_tqdm": True, "report_to": "none"}
    start = train_imitation(
        ImitationArguments([str(output)], model_name_or_path=str(tiny_encoder), linear_probe=False),
        TuningArguments(),
        ImitationConfig(output_dir=str(tmp_path / "imitation"), max_steps=2, **common),
    )
    assert training_metrics(start)["num_demonstrations"] == NUM_DEMONSTRATIONS
    agent = train_dpo(
        DPOArguments(str(start), trajectories=str(output), num_trajectories=200),
        TuningArguments(),
        ChoiceDPOConfig(output_dir=str(tmp_path / "dpo"), max_steps=2, **common),
    )
    assert training_metrics(agent)["num_pairs"] > 200
    [learned] = load_policy(str(agent)).trained_on
    assert set(goals) == set(learned.goal_indices)
