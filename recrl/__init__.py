"""recrl: fine-tune agents that shop and recommend, from very little data.

Importing the package registers the environment ``recrl/WebShop-v0`` with Gymnasium and imports nothing heavy.
"""

from gymnasium.envs.registration import register, registry

from recrl.version import __version__

__all__ = ["__version__"]

if "recrl/WebShop-v0" not in registry:
    register(
        id="recrl/WebShop-v0",
        entry_point="recrl.webshop.env:WebShopEnv",
        max_episode_steps=None,  # the environment truncates itself and says so in its info
        disable_env_checker=True,  # the checker would copy every observation; the tests run it instead
    )
