"""What is played: the protocols of environments and their goals, WebShop's and those of one's own.

`Environment` says what an environment gives, `Task` what goes with it: goals, splits, fingerprints. Collectors,
recipes, evaluation and comparison know these two alone. WebShop is one task (`recrl.environments.webshop`); any
Gymnasium environment that lists its valid actions becomes another by `GymTask`.
"""

from recrl.environments.checking import check_environment
from recrl.environments.gym_task import GymTask
from recrl.environments.protocols import Environment, GoalSource, Task
from recrl.environments.webshop import WebShopTask, as_task

__all__ = ["Environment", "GoalSource", "GymTask", "Task", "WebShopTask", "as_task", "check_environment"]
