"""Finished episodes, and the `datasets` rows in which they are kept."""

from recrl.episodes.data import (
    Episode,
    Step,
    dataset_to_episodes,
    episode_features,
    episode_to_row,
    episodes_to_dataset,
    load_episodes,
    row_to_episode,
)
from recrl.episodes.decisions import Decision, LabelledDecision
from recrl.episodes.notes import Notes

__all__ = [
    "Decision",
    "Episode",
    "LabelledDecision",
    "Notes",
    "Step",
    "dataset_to_episodes",
    "episode_features",
    "episode_to_row",
    "episodes_to_dataset",
    "load_episodes",
    "row_to_episode",
]
