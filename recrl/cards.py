"""True cards for what is published: what it was made from, how, what it reached, and how to load it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recrl.training import CONFIG_FILE, training_metrics
from recrl.version import __version__

METHODS = {
    "imitation": "imitation of demonstrations (cross-entropy on the demonstrated action of each page)",
    "dpo": "step-level direct preference optimisation (arXiv:2305.18290) through TRL's DPOTrainer",
}
DATA_COUNTS = ("num_demonstrations", "num_decisions", "num_pairs")
SHOWN_SETTINGS = (
    "learning_rate", "head_learning_rate", "num_train_epochs", "per_device_train_batch_size", "beta", "loss_type",
    "loss_weights", "use_peft", "lora_r", "freeze_embeddings", "num_frozen_layers", "seed", "bf16", "fp16",
)  # fmt: skip


def model_card(folder: Path, *, repo_id: str, results: Sequence[dict[str, Any]] = ()) -> str:
    """The README of a trained scorer's folder.

    Args:
        folder: a complete run, see `recrl.training`.
        repo_id: its name on the Hub, for the lines that load it.
        results: of `recrl evaluate` for this model; without any, the card says that it was not evaluated.

    Raises:
        CheckpointError: the run is not complete.
    """
    from huggingface_hub import EvalResult, ModelCardData

    metrics = training_metrics(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    base_model = config.get("base_model")
    evaluated = [
        EvalResult(
            task_type="reinforcement-learning",
            dataset_type="recrl/WebShop-v0",
            dataset_name=result["protocol"],
            metric_type=name,
            metric_value=round(result[name], 2),
        )
        for result in results
        for name in ("success_rate", "score")
    ]
    data = ModelCardData(
        base_model=base_model if base_model and "/" in base_model else None,
        library_name="recrl",
        license="apache-2.0",
        tags=["webshop", "recommendation", "choice-scoring", metrics["method"]],
        model_name=repo_id.split("/")[-1],
        eval_results=evaluated or None,
    )
    flat = {name: value for fields in settings.values() for name, value in fields.items()}
    counts = [f"- {name.removeprefix('num_')}: {metrics[name]}" for name in DATA_COUNTS if name in metrics]
    shown = [f"- {name}: {flat[name]}" for name in SHOWN_SETTINGS if flat.get(name) is not None]
    return "\n".join(
        [
            f"---\n{data.to_yaml()}\n---",
            f"# {repo_id}",
            "",
            "An agent that shops: it scores the valid actions of a WebShop page (search, products, options, buy).",
            "",
            f"- method: {METHODS[metrics['method']]}",
            f"- base model: {base_model}",
            f"- action features: {', '.join(config['action_features']) or 'none'}; state: {config['state_form']}",
            "",
            "## Data",
            *counts,
            f"- protocol: {metrics['protocol']}",
            f"- catalogue (sha256): {metrics['catalog_sha256']}",
            f"- goals (sha256): {metrics['goals_sha256']}",
            "",
            "## Settings",
            *shown,
            f"- optimiser steps: {metrics['global_step']}, processes: {metrics['num_processes']}, recrl {__version__}",
            "",
            "## Results",
            *(_result_lines(results) or ["Not evaluated. Run `recrl evaluate` on a test split."]),
            "",
            "## Use",
            "```python",
            "from recrl.policies import load_policy",
            "from recrl.webshop.catalog import load_catalog",
            "from recrl.rollouts import rollout",
            f'print(next(rollout(load_policy("{repo_id}"), load_catalog(), [0], seed=0, greedy=True)).reward)',
            "```",
            "",
            "## Limits",
            "Trained and measured in a simulated shop with English product texts. It reads the first page of results, "
            "has no notion of a person beyond one instruction, and was not tested with real customers.",
            "",
        ]
    )


def _result_lines(results: Sequence[dict[str, Any]]) -> list[str]:
    if not results:
        return []
    lines = [
        "| protocol | goals (products) | decoding | success % [95% CI] | score [95% CI] |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        success, score = result["success_ci"], result["score_ci"]
        lines.append(
            f"| {result['protocol']} | {result['num_episodes']} ({result['num_products']}) | {result['decoding']} | "
            f"{result['success_rate']:.1f} [{success[0]:.1f}, {success[1]:.1f}] | "
            f"{result['score']:.1f} [{score[0]:.1f}, {score[1]:.1f}] |"
        )
    return [*lines, "", "Intervals: bootstrap over target products."]


def dataset_card(folder: Path, *, repo_id: str) -> str:
    """The README of a trajectory dataset's folder."""
    from huggingface_hub import DatasetCardData

    from recrl.trajectories import SUMMARY_FILE

    summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    config = summary["config"]
    data = DatasetCardData(
        license="apache-2.0",
        tags=["webshop", "trajectories", "recrl"],
        pretty_name=repo_id.split("/")[-1],
        configs=[{"config_name": "default", "data_files": "*.arrow"}],
    )
    return "\n".join(
        [
            f"---\n{data.to_yaml()}\n---",
            f"# {repo_id}",
            "",
            f"{summary['num_trajectories']} trajectories of the policy `{summary['policy']}` in `recrl/WebShop-v0`, "
            f"kept out of {summary['num_episodes']} episodes because their reward was at least {config['min_reward']}.",
            "",
            f"- protocol: {summary['protocol']}, split: {config['split']} by {config['split_by']}",
            f"- success of all episodes: {summary['success_rate']:.1f}%, score {summary['score']:.1f}",
            f"- seed {config['seed']}, temperature {config['temperature']}, loops pruned: {config['prune']}",
            f"- catalogue (sha256): {summary['catalog_sha256']}",
            f"- goals (sha256): {summary['goals_sha256']}",
            "",
            "A row is an episode; `steps` holds each page, its valid actions, the action and its log-probability.",
            "",
            "```python",
            "from recrl.episodes import load_episodes",
            f'episodes = load_episodes("{repo_id}")',
            "```",
            "",
        ]
    )
