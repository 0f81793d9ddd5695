"""How good a policy is, with intervals, and how it compares."""

from recrl.evaluation.measure import evaluate, evaluate_ceiling
from recrl.evaluation.results import aggregate_seeds, compare_results, load_result

__all__ = ["aggregate_seeds", "compare_results", "evaluate", "evaluate_ceiling", "load_result"]
