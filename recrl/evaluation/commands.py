"""What `recrl evaluate` and `recrl evaluate-search` do: load what their settings name, measure, and write."""

from typing import Any

from recrl.evaluation.config import EvaluationConfig, SearchEvaluationConfig
from recrl.evaluation.measure import check_result_path, evaluate
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import load_result, save_result
from recrl.evaluation.search import evaluate_search
from recrl.queries.pairs import load_pairs
from recrl.queries.proposing import QueryModel
from recrl.seals import write_sealed_json


def run_evaluation(config: EvaluationConfig) -> dict[str, Result]:
    """Evaluates a policy, see `recrl.evaluation.measure.evaluate`.

    Returns:
        results by what they are called in a table: the policy's, and the baseline's if there is one.

    Raises:
        RecrlError: see the modules that read the settings; nothing is written.
    """
    for path in filter(None, (config.output_json, config.report)):
        check_result_path(path)
    baseline = load_result(config.baseline) if config.baseline else None
    task, policy, queries = config.load_task(), config.load_policy(), config.load_queries()
    result = evaluate(
        policy,
        task,
        split=config.split,
        split_by=config.split_by,
        num_episodes=config.num_episodes,
        decoding=config.decoding,
        seed=config.seed,
        batch_size=config.batch_size,
        max_steps=config.max_steps,
        baseline=baseline,
        allow_seen_goals=config.allow_seen_goals,
        explain_failures=config.environment is None or config.failures is not None,
        queries=queries,
    )
    if config.output_json:
        save_result(config.output_json, result)
    return {policy.name: result} | ({} if baseline is None else {f"baseline: {baseline.policy}": baseline})


def run_search_evaluation(config: SearchEvaluationConfig) -> dict[str, Any]:
    """The report of a query model, see `recrl.evaluation.search.evaluate_search`.

    Raises:
        RecrlError: see the modules that read the settings; nothing is written.
    """
    if config.output_json:
        check_result_path(config.output_json)
    pairs, catalog = load_pairs(config.pairs), config.load_catalog()
    report = evaluate_search(
        QueryModel.from_pretrained(config.query_model, num_queries=config.num_queries),
        pairs,
        catalog,
        split=config.split,
        split_by=config.split_by,
        num_goals=config.num_goals,
    )
    if config.output_json:
        write_sealed_json(config.output_json, report)
    return report
