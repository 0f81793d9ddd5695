"""True cards for what is published: what it was made from, how, what it reached, and how to load it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recrl.errors import DatasetError
from recrl.evaluation.result_types import Result
from recrl.publishing.search_card import search_card_lines
from recrl.training.runs import CONFIG_FILE, training_metrics
from recrl.version import __version__

METHODS = {
    "imitation": "imitation of demonstrations (cross-entropy on the demonstrated action of each page)",
    "dpo": "direct preference optimisation (arXiv:2305.18290) of actions or episodes through TRL's DPOTrainer",
    "ppo": "proximal policy optimisation (arXiv:1707.06347) in the environment",
    "self-improvement": "rounds of own episodes and direct preference optimisation on pairs of them",
    "search": "cross-entropy on the queries that people typed for instructions, after a phase of copying content words",
}
DATA_COUNTS = (
    "num_demonstrations", "num_decisions", "num_rounds", "num_episodes", "num_pairs", "num_environment_steps",
)  # fmt: skip
SHOWN_SETTINGS = (
    "pairs", "min_reward", "learning_rate", "head_learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay",
    "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "beta", "loss_type",
    "loss_weights", "freeze_embeddings", "num_frozen_layers", "use_peft", "seed", "bf16", "fp16",
)  # fmt: skip
LORA_SETTINGS = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
# A trained model comes under its encoder's licence; of other encoders the card names none.
LICENSES = {"sentence-transformers/all-MiniLM-L6-v2": "apache-2.0"}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def model_card(folder: Path, *, repo_id: str, results: Sequence[Result] = ()) -> str:
    """The README of the folder of a trained scorer or query model.

    Args:
        folder: a complete run, see `recrl.training.tuning`.
        repo_id: its name on the Hub, for the lines that load it.
        results: of `recrl evaluate` for this model; without any, the card says that it was not evaluated.

    Raises:
        CheckpointError: the run is not complete.
    """
    from huggingface_hub import ModelCard, ModelCardData

    metrics = training_metrics(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    base_model = config.get("base_model")
    flat = {name: value for fields in settings.values() for name, value in fields.items()}
    if metrics["method"] == "search":
        data = ModelCardData(
            base_model=base_model if base_model and "/" in base_model else None,
            library_name="transformers",
            language="en",
            license=LICENSES.get(base_model),
            tags=["webshop", "recommendation", "query-generation", "recrl"],
            model_name=repo_id.split("/")[-1],
        )
        text = search_card_lines(repo_id, METHODS["search"], metrics, base_model, flat)
        return str(ModelCard(_with_header(data, text)))
    data = ModelCardData(
        base_model=base_model if base_model and "/" in base_model else None,
        library_name="recrl",
        language="en",
        license=LICENSES.get(base_model),
        tags=["webshop", "recommendation", "choice-scoring", metrics["method"]],
        model_name=repo_id.split("/")[-1],
        eval_results=_model_index(results) or None,
    )
    shown = (*SHOWN_SETTINGS, *(LORA_SETTINGS if flat.get("use_peft") else ()))
    text = [
        f"# {repo_id}",
        "",
        "An agent that shops: it scores the valid actions of a WebShop page (search, products, options, buy).",
        "",
        f"- method: {METHODS[metrics['method']]}",
        *_start_lines(settings),
        f"- base model: {base_model}",
        f"- action features: {', '.join(config['action_features']) or 'none'}; state: {config['state_form']}",
        "",
        "## Training data",
        *(f"- {name.removeprefix('num_')}: {metrics[name]}" for name in DATA_COUNTS if name in metrics),
        *(_pair_lines(folder) if metrics["method"] == "dpo" else ()),
        f"- protocol: {metrics['protocol']}",
        f"- catalogue (sha256): {metrics['catalog_sha256']}",
        f"- goals (sha256): {metrics['goals_sha256']}",
        "",
        "## Settings",
        *(f"- {name}: {flat[name]}" for name in shown if flat.get(name) is not None),
        f"- optimiser steps: {metrics['global_step']}, processes: {metrics['num_processes']}, recrl {__version__}",
        "",
        "## Results",
        *(_result_lines(results, metrics) or ["Not evaluated. Run `recrl evaluate` on a test split."]),
        "",
        "## Use",
        *_python(
            "from recrl.evaluation import evaluate",
            "from recrl.policies import load_policy",
            "from recrl.webshop.catalog import load_catalog",
            f'print(evaluate(load_policy("{repo_id}"), load_catalog(), num_episodes=10).score)',
        ),
        "`load_catalog()` is the package's own catalogue; give it a folder for another. The bare model:",
        *_python(
            "from recrl.scoring import BertForChoiceScoring",
            f'model = BertForChoiceScoring.from_pretrained("{repo_id}")',
        ),
        "## Limits",
        "It was trained in a simulated shop with English product texts and was not tested with real customers. An "
        "instruction is all it knows of a person. It does not write search queries of its own: it chooses among those "
        "that the environment proposes. On products, page layouts or languages unlike its training data nothing is "
        "known beyond the results above.",
        "",
    ]
    return str(ModelCard(_with_header(data, text)))


def dataset_card(folder: Path, *, repo_id: str) -> str:
    """The README of a dataset's folder: trajectories of `recrl generate-trajectories`, or preference pairs.

    Raises:
        DatasetError: the folder holds neither.
    """
    from recrl.rollouts.collecting import SUMMARY_FILE

    if not (folder / SUMMARY_FILE).exists():
        return _preference_card(folder, repo_id)
    try:
        summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
        return _trajectory_card(summary, repo_id)
    except (ValueError, KeyError) as error:
        raise DatasetError(f"{folder / SUMMARY_FILE} is corrupt ({error!r}); collect the trajectories again") from error


def _trajectory_card(summary: dict[str, Any], repo_id: str) -> str:
    config = summary["config"]
    loops = "cut out" if config["prune"] else "kept"
    text = [
        f"{summary['num_trajectories']} trajectories of the policy `{summary['policy']}` in `recrl/WebShop-v0`, "
        f"kept out of {summary['num_episodes']} episodes because their reward was at least {config['min_reward']}.",
        "",
        f"- protocol: {summary['protocol']}, split: {config['split']} by {config['split_by']}",
        f"- of all {summary['num_episodes']} episodes: success {summary['success_rate']:.1f}%, "
        f"score {summary['score']:.1f}",
        f"- seed {config['seed']}, temperature {config['temperature']}, at most {config['max_steps']} steps, "
        f"loops {loops}",
        f"- catalogue (sha256): {summary['catalog_sha256']}",
        f"- goals (sha256): {summary['goals_sha256']}",
        "",
        "A row is an episode. Its `steps` hold each page, its valid actions, the action, the log-probability that the "
        "collecting policy gave it, and the reward.",
        *_python("from recrl.episodes import load_episodes", f'episodes = load_episodes("{repo_id}")'),
    ]
    return _dataset_card(repo_id, "trajectories", summary["protocol"], summary["num_trajectories"], text)


def _preference_card(folder: Path, repo_id: str) -> str:
    from recrl.preferences.building import read_pairs
    from recrl.preferences.counts import HEADER, statistics_rows
    from recrl.preferences.data import load_preferences

    pairs, summary = load_preferences(folder), read_pairs(folder)
    protocol, catalogs, goals = (
        "+".join(sorted(set(pairs[name]))) for name in ("protocol", "catalog_sha256", "goals_sha256")
    )
    text = [
        f"{len(pairs)} preference pairs on {summary['num_goals']} goals of `recrl/WebShop-v0`: of two actions on the "
        "same page, or two ways to a purchase for the same goal, `chosen` is preferred to `rejected`.",
        "",
        f"- protocol: {protocol}",
        f"- catalogue (sha256): {catalogs}",
        f"- goals (sha256): {goals}",
        "",
        "Probabilities are the reference policy's, from when the pairs were made:",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * len(HEADER)}",
        *(f"| {' | '.join(row)} |" for row in statistics_rows(summary)),
        "",
        *_python("from datasets import load_dataset", f'pairs = load_dataset("{repo_id}", split="train")'),
        f"To train on them: `hf download {repo_id} --repo-type dataset --local-dir pairs`, then `recipes/dpo.py "
        "--preferences pairs`.",
    ]
    return _dataset_card(repo_id, "preferences", protocol, len(pairs), text)


def _dataset_card(repo_id: str, kind: str, protocol: str, num_rows: int, text: Sequence[str]) -> str:
    from huggingface_hub import DatasetCard, DatasetCardData

    own_products = all(name.startswith("embedded") for name in protocol.split("+"))
    data = DatasetCardData(
        language="en",
        license="apache-2.0" if own_products else None,
        task_categories=["reinforcement-learning"],
        size_categories=next((name for most, name in SIZES if num_rows < most), "n>1M"),
        tags=["webshop", kind, "recrl"],
        pretty_name=repo_id.split("/")[-1],
        configs=[{"config_name": "default", "data_files": "*.arrow"}],
    )
    source = (
        "All products are made up."
        if own_products
        else "The pages hold product texts of the catalogue named above, whose terms apply to them."
    )
    return str(DatasetCard(_with_header(data, [f"# {repo_id}", "", *text, "", source, ""])))


def _with_header(data: Any, lines: Sequence[str]) -> str:
    return "\n".join([f"---\n{data.to_yaml()}\n---", *lines])


def _python(*lines: str) -> list[str]:
    return ["", "```python", *lines, "```", ""]


def _start_lines(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The scorer that training started from, if it started from one; without a machine's folders."""
    arguments = settings.get("arguments", {})
    start = arguments["model_name_or_path"] if "pairs" in arguments else arguments.get("start_from")
    return [f"- start: the scorer `{Path(start).name if Path(start).is_absolute() else start}`"] if start else []


def _pair_lines(folder: Path) -> list[str]:
    """Counts of a DPO run's pairs."""
    from recrl.preferences.building import read_pairs

    summary = read_pairs(folder / "preferences")
    origins = ", ".join(f"{group['num_pairs']} {name}" for name, group in summary["by_origin"].items())
    return [
        f"- goals with pairs: {summary['num_goals']}; pairs by origin: {origins}",
        f"- mean probability of the chosen side under the reference: {summary['mean_chosen_probability']:.2f}",
    ]


def _model_index(results: Sequence[Result]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="reinforcement-learning",
            dataset_type="recrl/WebShop-v0",
            dataset_name=result.protocol,
            dataset_split=result.split,
            metric_type=name,
            metric_name=f"{title}, {result.decoding} decoding, {result.max_steps} steps",
            metric_value=round(getattr(result, name), 2),
        )
        for result in results
        for name, title in (("success_rate", "success (%)"), ("score", "score (0-100)"))
    ]


def _result_lines(results: Sequence[Result], metrics: Mapping[str, Any]) -> list[str]:
    if not results:
        return []
    lines = [
        "| protocol, split | goals (products) | decoding, steps | success % [95% CI] | score [95% CI] | targets |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        success, score = result.success_ci, result.score_ci
        lines.append(
            f"| {result.protocol}, {result.split} | {result.num_episodes} ({result.num_products}) | "
            f"{result.decoding}, {result.max_steps} | "
            f"{result.success_rate:.1f} [{success[0]:.1f}, {success[1]:.1f}] | "
            f"{result.score:.1f} [{score[0]:.1f}, {score[1]:.1f}] | {_targets(result, metrics)} |"
        )
    return [
        *lines,
        "",
        "Intervals: bootstrap over target products. Success is a reward of exactly 1. Targets: as far as the training "
        "described above goes; a start had data of its own.",
    ]


def _targets(result: Result, metrics: Mapping[str, Any]) -> str:
    """What training can have known of the products to be bought."""
    if result.catalog_sha256 not in metrics["catalog_sha256"].split("+"):
        return "of another catalogue than in training"
    if result.protocol not in metrics["protocol"].split("+"):
        return "may have been in training, which used another protocol"
    if result.split not in ("test", "dev"):
        return "may have been in training, which used this split"
    if result.split_by == "product":
        return "products that are no targets in training"
    return "other goals than in training, products may be the same"
