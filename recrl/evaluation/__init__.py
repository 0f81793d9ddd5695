"""How good a policy is, with intervals, and how it compares.

The names below are imported when they are asked for, so that the settings in `recrl.evaluation.config` are had at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recrl.evaluation.measure import evaluate, evaluate_ceiling
    from recrl.evaluation.results import aggregate_seeds, compare_results, load_result

__all__ = ["aggregate_seeds", "compare_results", "evaluate", "evaluate_ceiling", "load_result"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'measure' if name.startswith('evaluate') else 'results'}"), name)
