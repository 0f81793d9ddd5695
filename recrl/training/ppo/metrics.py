"""What PPO's log says, each number explained once."""

from collections.abc import Sequence

import numpy as np

from recrl.training.ppo.collector import FinishedEpisode

METRICS = {
    "policy/ratio_first": "mean probability ratio in the first minibatch of the update: 1 but for rounding",
    "policy/clip_fraction": "share of choices whose ratio left the clip range, last pass",
    "policy/kl_old": "exact KL, in nats, from the collecting policy to the new one over each page's actions, last pass",
    "policy/kl_reference": "exact KL, in nats, from the new policy to the start, last pass",
    "policy/entropy": "mean entropy of the choices divided by log(actions): 1 is uniform",
    "policy/passes": "passes over the steps before target_kl ended the update; value_warmup_passes in the warm-up",
    "value/explained_variance": "1 - Var(return - value) / Var(return) of the collection: 1 is perfect, 0 a constant",
    "value/mean": "mean value of the pages of the collection, as they were when it was made",
    "value/return": "mean return to which the values are fitted",
    "loss/policy": "clipped surrogate, negated; its size means nothing, its trend does",
    "loss/value": "clipped squared error of the values, halved",
    "loss/imitation": "cross-entropy of the demonstrations' right actions",
    "episode/success": "% with reward 1 of the episodes that ended in this collection (sampled, training goals)",
    "episode/score": "100 x their mean reward",
    "episode/steps": "their mean number of actions",
    "episode/truncated": "% of them that the step limit cut off",
    "episode/invalid_actions": "their mean number of actions that the environment did not accept",
    "episode/count": "how many they are",
    "reward/r_type": "mean over purchases: the right kind of product",
    "reward/r_att": "mean over purchases: share of the wanted attributes",
    "reward/r_option": "mean over purchases: share of the wanted options",
    "reward/r_price": "share of purchases within the price bound",
    "dev/success": "% success on the first dev goals",
    "dev/score": "100 x mean reward on the first dev goals",
    "dev/episodes": "how many they are, each played once",
    "train/learning_rate": "of the encoder (of the heads, where it is not trained), after the update",
    "train/gradient_norm": "mean norm of the gradients before they are clipped",
    "train/steps": "environment steps so far, all processes",
    "train/steps_per_second": "environment steps per second of the collection, all processes",
    "train/minutes": "minutes of the run so far, dev goals included; after an interruption from the checkpoint on",
}


def episode_metrics(episodes: Sequence[FinishedEpisode]) -> dict[str, float]:
    """What the log says of the episodes that ended in a collection; of none only the number."""
    metrics = {"episode/count": float(len(episodes))}
    if episodes:
        rewards = np.array([episode.reward for episode in episodes])
        metrics |= {
            "episode/success": 100 * float((rewards == 1).mean()),
            "episode/score": 100 * float(rewards.mean()),
            "episode/steps": float(np.mean([episode.num_steps for episode in episodes])),
            "episode/truncated": 100 * float(np.mean([episode.truncated for episode in episodes])),
            "episode/invalid_actions": float(np.mean([episode.num_invalid for episode in episodes])),
        }
    for part in ("r_type", "r_att", "r_option", "r_price"):
        found = [episode.reward_parts[part] for episode in episodes if part in episode.reward_parts]
        if found:
            metrics[f"reward/{part}"] = float(np.mean(found))
    return metrics
