"""What is played: the protocols of environments and their goals, WebShop's and those of one's own.

`Environment` says what an environment gives, `Task` what goes with it: goals, splits, fingerprints. Collectors,
recipes, evaluation and comparison know these two alone. WebShop is one task (`recrl.environments.webshop`); any
Gymnasium environment that lists its valid actions becomes another by `GymTask`.

The protocols are had without a catalogue, so the names below are imported when they are first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recrl.environments.checking import check_environment
    from recrl.environments.gym_task import GymTask
    from recrl.environments.protocols import Environment, GoalSource, Task
    from recrl.environments.webshop import WebShopTask, as_task

__all__ = ["Environment", "GoalSource", "GymTask", "Task", "WebShopTask", "as_task", "check_environment"]

_HOMES = {
    "Environment": "protocols",
    "GoalSource": "protocols",
    "GymTask": "gym_task",
    "Task": "protocols",
    "WebShopTask": "webshop",
    "as_task": "webshop",
    "check_environment": "checking",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
