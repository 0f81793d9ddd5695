"""DPO on pairs of whole episodes: the loss against a plain loop, learning, recorded log-probabilities."""

from dataclasses import replace
from pathlib import Path

import pytest
from dpo_settings import arguments, plain_loss, settings, trainer_away_from_its_start

from decision_data import colour_episode
from recrl.episodes.data import Episode, episodes_to_dataset
from recrl.preferences.building import PairingConfig, write_pairs
from recrl.preferences.data import load_preferences
from recrl.training.dpo import train_dpo
from recrl.training.runs import training_metrics
from recrl.training.tuning import TuningArguments


def two_ways(number: int) -> list[Episode]:
    """The episode of a goal that clicks the wanted colour and buys, and one that clicks another first."""
    won = colour_episode(number)
    search, page, bought = won.steps
    wrong = next(
        place for place, action in enumerate(page.valid_actions) if place > 5 and place != page.action_index
    )  # behind the six buttons
    lost = (search, replace(page, action_index=wrong), replace(bought, observation=page.observation, reward=0.5))
    return [won, replace(won, steps=lost, reward=0.5, success=False)]


@pytest.fixture(scope="module")
def episode_pairs(tiny_scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Trajectories with two ways to each goal, and the pairs of them."""
    folder = tmp_path_factory.mktemp("two_ways")
    episodes = [episode for number in range(24) for episode in two_ways(number)]
    episodes_to_dataset(episodes).save_to_disk(str(folder / "episodes"))
    write_pairs(
        PairingConfig(trajectories=str(folder / "episodes"), policy=str(tiny_scorer), pairs=("trajectories",)),
        folder / "preferences",
    )
    return folder / "episodes", folder / "preferences"


def test_the_loss_of_two_episodes_sums_over_their_decisions(
    episode_pairs: tuple[Path, Path], tiny_scorer: Path, tmp_path: Path
) -> None:
    """Against a plain loop over the moves of each side, one page at a time."""
    rows = load_preferences(episode_pairs[1]).to_list()[:4]
    rows[0]["rejected_moves"] = rows[0]["rejected_moves"][:1]  # sides of unequal length
    dataset = load_preferences(episode_pairs[1])
    trainer = trainer_away_from_its_start(dataset, tiny_scorer, tmp_path / "run", beta=0.3)
    batch = trainer.data_collator(rows)
    assert batch["valid_mask"].shape[0] == 12 - 1  # a shared first page, and two second ones but for the cut side
    loss = float(trainer.compute_loss(trainer.model, batch).detach())
    assert loss == pytest.approx(plain_loss(trainer, rows, beta=0.3), abs=1e-5)


def test_it_learns_from_pairs_of_episodes(episode_pairs: tuple[Path, Path], tiny_scorer: Path, tmp_path: Path) -> None:
    config = settings(tmp_path / "run", num_train_epochs=8, precompute_ref_log_probs=True)
    train_dpo(
        arguments(tiny_scorer, trajectories=str(episode_pairs[0]), pairs=["trajectories"]), TuningArguments(), config
    )
    metrics = training_metrics(tmp_path / "run")
    assert metrics["num_pairs"] == 24
    assert metrics["last_accuracy"] >= 0.95, metrics["log_history"]


@pytest.mark.parametrize("ld_alpha", [None, 0.5])
def test_recorded_log_probs_of_episodes_equal_precomputed_ones(
    episode_pairs: tuple[Path, Path], tiny_scorer: Path, tmp_path: Path, ld_alpha: float | None
) -> None:
    """Pairs made of trajectories bring the reference's sums along, unless ``ld_alpha`` weighs their tails."""
    logs = []
    for name, source in (("made", {"trajectories": str(episode_pairs[0]), "pairs": ["trajectories"]}),
                         ("ready", {"preferences": str(episode_pairs[1])})):  # fmt: skip
        config = settings(
            tmp_path / name, max_steps=2, logging_steps=1, precompute_ref_log_probs=True, ld_alpha=ld_alpha
        )
        train_dpo(arguments(tiny_scorer, **source), TuningArguments(), config)
        logs.append([entry["loss"] for entry in training_metrics(tmp_path / name)["log_history"] if "loss" in entry])
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)
