"""What is said when a recipe has ended: what was saved where, the result, whether it is better, the next command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recrl.training.runs import CONFIG_FILE, METRICS_FILE


def outcome_lines(folder: str | Path, metrics: Mapping[str, Any]) -> list[str]:
    """A few lines about a complete run.

    Args:
        folder: of the run; metrics: what its `METRICS_FILE` holds.
    """
    saved = f"saved: {folder} (the log is in {METRICS_FILE}, all settings in {CONFIG_FILE}, a card in README.md)"
    results = _RESULTS.get(metrics["method"], lambda one: [])(metrics)
    return [saved, *(f"result: {text}" for text in results), f"next: {_next_command(folder, metrics['method'])}"]


def _imitation(metrics: Mapping[str, Any]) -> list[str]:
    if metrics.get("last_accuracy") is None:
        return []
    return [
        f"{metrics['last_accuracy']:.1%} right actions on the last of {metrics['num_decisions']} demonstrated "
        "decisions, which it was trained on; how it shops, an evaluation says"
    ]


def _dpo(metrics: Mapping[str, Any]) -> list[str]:
    if metrics.get("last_accuracy") is None:
        return []
    return [
        f"{metrics['last_accuracy']:.1%} of the last pairs in order, of {metrics['num_pairs']} that it was trained on; "
        "whether it shops better than its start, an evaluation says"
    ]


def _sft(metrics: Mapping[str, Any]) -> list[str]:
    if metrics.get("last_token_accuracy") is None:
        return []
    return [
        f"{metrics['last_token_accuracy']:.1%} right tokens on the last of {metrics['num_rows']} rows, which it was "
        "trained on; how it shops, an evaluation says"
    ]


def _judgement(metrics: Mapping[str, Any]) -> list[str]:
    loss = metrics["held_out_log_loss"]
    return [
        f"log loss {loss['after_calibration']:.3f} on {metrics['num_held_out_goals']} goals that were held out "
        f"({loss['before_calibration']:.3f} before the calibration)"
    ]


def _search(metrics: Mapping[str, Any]) -> list[str]:
    return [f"loss {metrics['held_out_loss']:.3f} on {metrics['num_held_out_instructions']} held-out instructions"]


def _ppo(metrics: Mapping[str, Any]) -> list[str]:
    start = metrics.get("start_on_dev") or {}
    if "dev/score" not in start:
        return ["the last update's agent; nothing was played on dev goals, so whether it is better is not known"]
    if metrics["start_given_back"]:
        return [_kept("update", metrics["num_updates"], start["dev/score"], start["dev/episodes"])]
    best = next(entry for entry in metrics["log_history"] if entry["update"] == metrics["best_update"])
    measures = [one[f"dev/{name}"] for one in (best, start) for name in ("score", "success")]
    return [_chosen("update", metrics["best_update"], metrics["num_updates"], start["dev/episodes"], *measures)]


def _self_improvement(metrics: Mapping[str, Any]) -> list[str]:
    rounds = {record["round"]: record for record in metrics["rounds"]}
    start, best = rounds[0], rounds[metrics["best_round"]]
    if metrics["start_given_back"]:
        return [_kept("round", metrics["num_rounds"], start["dev_score"], start["num_dev_episodes"])]
    measures = [one[f"dev_{name}"] for one in (best, start) for name in ("score", "success")]
    return [_chosen("round", metrics["best_round"], metrics["num_rounds"], start["num_dev_episodes"], *measures)]


def _chosen(
    what: str, best: int, number: int, goals: float, score: float, success: float, start_score: float, start: float
) -> str:
    return (
        f"better than its start on {goals:.0f} dev goals: score {score:.1f}, success {success:.1f}% after {what} "
        f"{best} of {number} (its start {start_score:.1f}, {start:.1f}%); it was chosen by these goals, so a test "
        "split says by how much"
    )


def _kept(what: str, number: int, score: float, goals: float) -> str:
    return (
        f"NOT better than its start: none of the {number} {what}s beat the start's score of {score:.1f} on {goals:.0f} "
        "dev goals, so the start is what was saved, with its weights unchanged"
    )


_RESULTS = {
    "imitation": _imitation,
    "dpo": _dpo,
    "sft": _sft,
    "dpo-language": _dpo,
    "judgement": _judgement,
    "search": _search,
    "ppo": _ppo,
    "self-improvement": _self_improvement,
}


def _next_command(folder: str | Path, method: str) -> str:
    if method == "judgement":
        return f"recrl evaluate --policy planner:{folder}, or recrl train imitation --start_from {folder}"
    if method == "search":
        return f"recrl evaluate-search --query_model {folder} --pairs FILE"
    return f"recrl evaluate --policy {folder}"
