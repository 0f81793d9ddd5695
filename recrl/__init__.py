"""recrl: fine-tune agents that shop and recommend, from very little data.

Importing the package registers the environment ``recrl/WebShop-v0`` with Gymnasium and imports nothing heavy. The names
in ``__all__`` are those that most scripts need; each is imported from its room when it is first asked for.
"""

import recrl.signals  # noqa: F401  # first: from here on Ctrl-C ends a command with one line

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register, registry

from recrl.version import __version__

if TYPE_CHECKING:
    from recrl.environments.checking import check_environment
    from recrl.environments.gym_task import GymTask
    from recrl.episodes import Decision, Episode, Notes, Step, load_episodes
    from recrl.evaluation import compare_results, evaluate, load_result
    from recrl.policies import Choice, Policy, load_policy
    from recrl.preferences.builders import build_preferences
    from recrl.queries import QueryModel
    from recrl.rollouts.collecting import generate_trajectories
    from recrl.rollouts.config import TrajectoryConfig
    from recrl.rollouts.rollout import rollout
    from recrl.scoring import BertForChoiceScoring, load_scorer
    from recrl.webshop.catalog import load_catalog
    from recrl.webshop.env import WebShopEnv

__all__ = [
    "BertForChoiceScoring",
    "Choice",
    "Decision",
    "Episode",
    "GymTask",
    "Notes",
    "Policy",
    "QueryModel",
    "Step",
    "TrajectoryConfig",
    "WebShopEnv",
    "__version__",
    "build_preferences",
    "check_environment",
    "compare_results",
    "evaluate",
    "generate_trajectories",
    "load_catalog",
    "load_episodes",
    "load_policy",
    "load_result",
    "load_scorer",
    "rollout",
]

_HOMES = {
    "recrl.environments.checking": ("check_environment",),
    "recrl.environments.gym_task": ("GymTask",),
    "recrl.episodes": ("Decision", "Episode", "Notes", "Step", "load_episodes"),
    "recrl.evaluation": ("compare_results", "evaluate", "load_result"),
    "recrl.policies": ("Choice", "Policy", "load_policy"),
    "recrl.preferences.builders": ("build_preferences",),
    "recrl.queries": ("QueryModel",),
    "recrl.rollouts.collecting": ("generate_trajectories",),
    "recrl.rollouts.config": ("TrajectoryConfig",),
    "recrl.rollouts.rollout": ("rollout",),
    "recrl.scoring": ("BertForChoiceScoring", "load_scorer"),
    "recrl.webshop.catalog": ("load_catalog",),
    "recrl.webshop.env": ("WebShopEnv",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # type checkers know the names from the imports above, and find misspelled ones

    def __getattr__(name: str) -> Any:
        """Imports a name of ``__all__`` from its room (PEP 562)."""
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(_HOME_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "recrl/WebShop-v0" not in registry:
    register(
        id="recrl/WebShop-v0",
        entry_point="recrl.webshop.env:WebShopEnv",
        max_episode_steps=None,  # the environment truncates itself and says so in its info
        disable_env_checker=True,  # the checker would copy every observation; the tests run it instead
    )
