"""True cards for what is published: what it was made from, how, what it reached, and how to load it.

What a card says stands in `templates`, one template for each kind of thing; here are the facts that it is filled with.
Every text that comes from elsewhere is escaped, see `recrl.publishing.markdown`.
"""

import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError, DatasetError, RecrlError
from recrl.files import read_json, write_text
from recrl.publishing.markdown import code_span, escaped, one_line, python_string
from recrl.runs import README_FILE, README_MARK
from recrl.seals import read_sealed_json
from recrl.training.runs import CONFIG_FILE, training_metrics
from recrl.version import __version__

RESULTS_BEGIN, RESULTS_END = "<!-- results -->", "<!-- end of results -->"
SCORER_METHODS = ("imitation", "judgement", "dpo", "self-improvement", "ppo")  # each has a block in its template
LANGUAGE_METHODS = ("sft", "dpo-language", "grpo")  # likewise
# A trained model comes under its encoder's licence; of other encoders the card names none.
LICENSES = {"sentence-transformers/all-MiniLM-L6-v2": "apache-2.0"}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
RESULT_FIELDS = (
    "protocol", "split", "split_by", "decoding", "max_steps", "num_episodes", "num_products", "success_rate",
    "success_ci", "score", "score_ci", "catalog_sha256",
)  # fmt: skip
REPORT_FIELDS = ("protocol", "split", "typed", "retrieval")


def model_card(folder: Path, *, repo_id: str, results: Sequence[Any] = ()) -> str:
    """The README of the folder of a trained scorer, language model or query model.

    Args:
        folder: a complete run, see `recrl.training.runs`.
        repo_id: its name on the Hub, for the lines that load it.
        results: of `recrl evaluate` for this policy, or reports of `recrl evaluate-search` for this query model;
            without any, the card says that it was not evaluated.

    Raises:
        CheckpointError: the run is not complete, a file of it is corrupt, or its method is unknown.
    """
    metrics = training_metrics(folder)
    try:
        settings = read_sealed_json(folder / CONFIG_FILE)
        if metrics.get("method") in LANGUAGE_METHODS:
            return _language_card(folder, repo_id, results, metrics, settings)
        config = read_json(folder / "config.json")
        make = _query_model_card if metrics.get("method") == "search" else _scorer_card
        return make(folder, repo_id, results, metrics, config, settings)
    except RecrlError:
        raise
    except (ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"no card can be made of {folder}: {error}; run the recipe again") from error


def write_results(folder: Path, *, repo_id: str, results: Sequence[Any]) -> None:
    """Puts results into the card of a finished run, in place of those that it has or of "Not evaluated".

    The rest of the card stays as it is. A folder without a card, or with the README of `recrl.runs` in its place, gets
    a new one; a card without a place for results gets them at its end.

    Args:
        folder, repo_id, results: see `model_card`.

    Raises:
        CheckpointError: see `model_card`, or the folder's card has no readable header.
    """
    import yaml
    from huggingface_hub import ModelCard

    path, new = folder / README_FILE, model_card(folder, repo_id=repo_id, results=results)
    earlier = path.read_text(encoding="utf-8") if path.exists() else README_MARK
    if earlier.startswith(README_MARK):
        write_text(path, new)
        return
    try:
        card = ModelCard(earlier)
    except (ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} cannot be read as a card: {one_line(str(error))}; mend or remove it") from error
    fresh: Any = ModelCard(new)
    _, _, section = fresh.text.partition(RESULTS_BEGIN)
    section, _, _ = section.partition(RESULTS_END)
    before, found, rest = card.text.partition(RESULTS_BEGIN)
    _, closed, after = rest.partition(RESULTS_END)
    if not (found and closed):
        before, after = f"{card.text.rstrip()}\n\n## Results\n\n", "\n"
    card.text = f"{before}{RESULTS_BEGIN}{section}{RESULTS_END}{after}"
    data: Any = card.data
    data.eval_results, data.model_name = fresh.data.eval_results, data.model_name or fresh.data.model_name
    write_text(path, card.content)


def dataset_card(folder: Path, *, repo_id: str) -> str:
    """The README of a dataset's folder: trajectories of `recrl generate-trajectories`, or preference pairs.

    Raises:
        DatasetError: the folder holds neither.
    """
    from recrl.episodes.training_goals import SUMMARY_FILE

    path = folder / SUMMARY_FILE
    if not path.exists():
        return _preference_card(folder, repo_id)
    try:
        return _trajectory_card(read_sealed_json(path), repo_id)
    except (ValueError, KeyError) as error:
        raise DatasetError(f"{path} is corrupt ({error!r}); collect the trajectories again") from error


def _scorer_card(
    folder: Path,
    repo_id: str,
    results: Sequence[Any],
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
) -> str:
    from recrl.preferences.building import read_pairs

    method = metrics["method"]
    if method not in SCORER_METHODS:
        raise CheckpointError(
            f"{folder} was trained by {method!r}, which no card describes; expected one of "
            f"{', '.join(SCORER_METHODS + LANGUAGE_METHODS)}"
        )
    arguments = settings["arguments"]
    start = arguments.get("start_from" if method == "imitation" else "model_name_or_path")
    reference = arguments.get("ref_model_name_or_path")
    rows = [{name: getattr(result, name) for name in RESULT_FIELDS} for result in results]
    base_model = config.get("base_model")
    data = _model_data(
        repo_id,
        base_model,
        library_name="recrl",
        tags=["webshop", "recommendation", "choice-scoring", method],
        eval_results=_model_index(rows) or None,
    )
    return _model_card(
        "scorer_card.md",
        data,
        {
            "repo_id": repo_id,
            "method": method,
            "base_model": base_model,
            "metrics": {name: value for name, value in metrics.items() if name not in ("log_history", "rounds")},
            "config": config,
            "settings": _flat(settings),
            "pairs": read_pairs(folder / "preferences") if method == "dpo" else None,
            "results": [row | {"targets": _targets(row, metrics)} for row in rows],
        },
        start=code_span(_public(start)) if start else None,
        reference=code_span(_public(reference)) if reference else None,
    )


def _language_card(
    folder: Path,
    repo_id: str,
    results: Sequence[Any],
    metrics: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
) -> str:
    from recrl.language.models import ADAPTER_FILE, RECORD_FILE
    from recrl.preferences.building import read_pairs

    method, record = metrics["method"], read_json(folder / RECORD_FILE)
    is_adapter = (folder / ADAPTER_FILE).exists()
    base_model = _public(record["base_model"] or settings["arguments"]["model_name_or_path"])
    rows = [{name: getattr(result, name) for name in RESULT_FIELDS} for result in results]
    data = _model_data(
        repo_id,
        base_model,
        library_name="peft" if is_adapter else "transformers",
        tags=["webshop", "recommendation", "trl", "recrl", method],
        eval_results=_model_index(rows) or None,
    )
    return _model_card(
        "language_card.md",
        data,
        {
            "repo_id": repo_id,
            "method": method,
            "base_model": base_model,
            "is_adapter": is_adapter,
            "record": record,
            "metrics": {name: value for name, value in metrics.items() if name != "log_history"},
            "settings": _flat(settings),
            "pairs": read_pairs(folder / "preferences") if method == "dpo-language" else None,
            "results": [row | {"targets": _targets(row, metrics)} for row in rows],
        },
        start=code_span(_public(settings["arguments"]["model_name_or_path"])),
    )


def _query_model_card(
    folder: Path,
    repo_id: str,
    results: Sequence[Any],
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
) -> str:
    base_model, word = config.get("base_model"), shlex.quote(one_line(repo_id))
    data = _model_data(
        repo_id,
        base_model,
        library_name="transformers",
        tags=["webshop", "recommendation", "query-generation", "recrl"],
    )
    return _model_card(
        "query_model_card.md",
        data,
        {
            "repo_id": repo_id,
            "base_model": base_model,
            "metrics": {name: value for name, value in metrics.items() if name != "log_history"},
            "settings": _flat(settings),
            "results": [{name: report[name] for name in REPORT_FIELDS} for report in results],
        },
        evaluate_command=code_span(f"recrl evaluate-search --query_model {word}"),
        use_command=code_span(f"recrl evaluate --policy P --query_model {word}"),
    )


def _model_data(repo_id: str, base_model: str | None, **fields: Any) -> Any:
    from huggingface_hub import ModelCardData

    return ModelCardData(
        base_model=one_line(base_model) if base_model and "/" in base_model else None,
        language="en",
        license=LICENSES.get(base_model or ""),
        model_name=one_line(repo_id).split("/")[-1],
        **fields,
    )


def _model_card(template: str, data: Any, foreign: Mapping[str, Any], **ready: Any) -> str:
    """Fills a template with ``foreign`` values, which are escaped, and ``ready`` ones, which are Markdown already."""
    from huggingface_hub import ModelCard

    card = ModelCard.from_template(
        data,
        template_str=_template(template),
        **escaped(foreign),
        **ready,
        repo_literal=python_string(foreign["repo_id"]),
        results_begin=RESULTS_BEGIN,
        results_end=RESULTS_END,
        version=__version__,
    )
    return f"{str(card).rstrip()}\n"


def _trajectory_card(summary: Mapping[str, Any], repo_id: str) -> str:
    return _dataset_card(
        "trajectories",
        repo_id,
        summary["protocol"],
        summary["num_trajectories"],
        {"summary": summary},
        policy=code_span(summary["policy"]),
    )


def _preference_card(folder: Path, repo_id: str) -> str:
    from recrl.preferences.building import read_pairs
    from recrl.preferences.counts import HEADER, statistics_rows
    from recrl.preferences.data import load_preferences

    pairs, summary = load_preferences(folder), read_pairs(folder)
    protocol, catalogs, goals = (
        "+".join(sorted(set(pairs[name]))) for name in ("protocol", "catalog_sha256", "goals_sha256")
    )
    word = shlex.quote(one_line(repo_id))
    return _dataset_card(
        "preferences",
        repo_id,
        protocol,
        len(pairs),
        {
            "summary": summary,
            "protocol": protocol,
            "catalog_sha256": catalogs,
            "goals_sha256": goals,
            "header": HEADER,
            "rows": statistics_rows(summary),
        },
        download_command=code_span(f"hf download {word} --repo-type dataset --local-dir pairs"),
    )


def _dataset_card(
    kind: str, repo_id: str, protocol: str, num_rows: int, foreign: Mapping[str, Any], **ready: Any
) -> str:
    """The card of a dataset; ``foreign`` and ``ready`` as in `_model_card`."""
    from huggingface_hub import DatasetCard, DatasetCardData

    own_products = all(name.startswith("embedded") for name in protocol.split("+"))
    data = DatasetCardData(
        language="en",
        license="apache-2.0" if own_products else None,
        task_categories=["reinforcement-learning"],
        size_categories=next((name for most, name in SIZES if num_rows < most), "n>1M"),
        tags=["webshop", kind, "recrl"],
        pretty_name=one_line(repo_id).split("/")[-1],
        configs=[{"config_name": "default", "data_files": "*.arrow"}],
    )
    source = (
        "All products are made up."
        if own_products
        else "The pages hold product texts of the catalogue named above, whose terms apply to them."
    )
    card = DatasetCard.from_template(
        data,
        template_str=_template(f"{kind}_card.md"),
        **escaped({"repo_id": repo_id, **foreign}),
        **ready,
        repo_literal=python_string(repo_id),
        source=source,
    )
    return f"{str(card).rstrip()}\n"


def _template(name: str) -> str:
    return (files("recrl.publishing") / "templates" / name).read_text(encoding="utf-8")


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of all of a run's configurations in one mapping."""
    return {name: value for fields in settings.values() for name, value in fields.items()}


def _public(source: str) -> str:
    """A scorer's name without a machine's folders."""
    return Path(source).name if Path(source).is_absolute() else source


def _model_index(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="reinforcement-learning",
            dataset_type="recrl/WebShop-v0",
            dataset_name=row["protocol"],
            dataset_split=row["split"],
            metric_type=name,
            metric_name=f"{title}, {row['decoding']} decoding, {row['max_steps']} steps",
            metric_value=round(row[name], 2),
        )
        for row in rows
        for name, title in (("success_rate", "success (%)"), ("score", "score (0-100)"))
    ]


def _targets(row: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What training can have known of the products to be bought."""
    if row["catalog_sha256"] not in metrics["catalog_sha256"].split("+"):
        return "of another catalogue than in training"
    if row["protocol"] not in metrics["protocol"].split("+"):
        return "may have been in training, which used another protocol"
    if row["split"] not in ("test", "dev"):
        return "may have been in training, which used this split"
    if row["split_by"] == "product":
        return "products that are no targets in training"
    return "other goals than in training, products may be the same"
