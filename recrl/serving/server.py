"""WebShop behind OpenEnv's protocol (openenv 0.10): sessions on one shared catalogue, frozen goals as its tasks.

A session is a WebSocket at ``/ws`` with an environment of its own. ``reset(split="test", index=3)`` takes the fourth
goal of a split, ``reset(seed=1, split="train")`` draws one, ``reset(goal_index=17)`` takes goal 17 of the whole list.
The task API (``/webshop/splits``, ``/webshop/num_tasks``, ``/webshop/task`` ...) lists what can be asked for:
instructions, never what is meant. Actions are WebShop's texts; one that the shop refuses changes nothing and says why.
"""

import functools
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi.responses import JSONResponse
from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, ConcurrencyConfig, EnvironmentMetadata, Observation, State
from pydantic import Field

from recrl.errors import ConfigError
from recrl.serving.config import ServerConfig
from recrl.version import __version__
from recrl.webshop.catalog import Catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.goals import SPLITS

NAME = "webshop"
LONGEST_ACTION = 4000  # characters
LONGEST_MESSAGE = 1 << 16  # bytes


class RequestError(ValueError):
    """A client asks for what there is not; the text is its answer."""


class ShopAction(Action):
    """An action in WebShop's text: ``search[words]`` or ``click[name]``."""

    action: str = Field(description=f"search[words] or click[name], of at most {LONGEST_ACTION} characters")


class ShopObservation(Observation):
    """A page; ``done`` and ``reward`` are OpenEnv's."""

    text: str = Field(description="The page as WebShop's text_rich mode shows it")
    instruction: str = Field(description="What the customer wants")
    goal_index: int = Field(description="Which of the catalogue's frozen goals is played")
    valid_actions: list[str] = Field(description="What can be done on the page")
    steps_left: int = Field(description="Actions that may still be taken")
    invalid_action: str | None = Field(default=None, description="Why the last action changed nothing, if it did not")
    reward_parts: dict[str, float] = Field(
        default_factory=dict, description="Of the purchase: what the reward is made of"
    )
    truncated: bool = Field(default=False, description="Whether the step limit ended the episode")


class ShopState(State):
    """The running episode."""

    goal_index: int | None = None
    protocol: str
    catalog_sha256: str
    goals_sha256: str


class ShopEnvironment(Environment[ShopAction, ShopObservation, ShopState]):
    """A session's environment.

    Args:
        catalog: shared by all sessions, and only read.
        split_by, max_steps: as of `recrl.webshop.env.WebShopEnv`.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, catalog: Catalog, split_by: str, max_steps: int) -> None:
        super().__init__()
        self._catalog, self._split_by = catalog, split_by
        self._env = WebShopEnv(catalog=catalog, split="all", split_by=split_by, max_steps=max_steps)
        self._steps = 0
        self._over = True
        self._is_closed = False
        self._episode_id: str | None = None

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str = "train",
        index: int | None = None,
        goal_index: int | None = None,
        **_: Any,
    ) -> ShopObservation:
        """Starts an episode; see the module for how a goal is named."""
        self._check_open()
        if goal_index is None:
            goals = self._goals(split)
            if index is None:
                drawn = WebShopEnv(catalog=self._catalog, split=split, split_by=self._split_by)
                goal_index = drawn.reset(seed=seed)[1]["goal_index"]
            else:
                goal_index = int(goals[self._place(split, index)])
        text, info = self._env.reset(options={"goal_index": goal_index})
        self._steps, self._over, self._episode_id = 0, False, episode_id
        return self._observe(text, None, info)

    def step(self, action: ShopAction, timeout_s: float | None = None, **_: Any) -> ShopObservation:
        """Takes an action."""
        self._check_open()
        if self._over:
            raise RequestError("no episode is running; reset first")
        if len(action.action) > LONGEST_ACTION:
            raise RequestError(f"the action has {len(action.action)} characters, expected at most {LONGEST_ACTION}")
        text, reward, terminated, truncated, info = self._env.step(action.action)
        self._steps += 1
        self._over = terminated or truncated
        return self._observe(text, float(reward), info, truncated=truncated)

    def close(self) -> None:
        """Ends the session; the server does so too when its client has been silent for too long."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise RequestError("the session was closed, because it was silent for too long; connect again")

    def _observe(
        self, text: str, reward: float | None, info: dict[str, Any], *, truncated: bool = False
    ) -> ShopObservation:
        return ShopObservation(
            done=self._over,
            reward=reward,
            text=text,
            instruction=info["instruction"],
            goal_index=info["goal_index"],
            valid_actions=list(info["valid_actions"]),
            steps_left=self._env.max_steps - self._steps,
            invalid_action=info.get("invalid_action"),
            reward_parts={name: float(value) for name, value in info.get("reward_parts", {}).items()},
            truncated=truncated,
        )

    @property
    def state(self) -> ShopState:
        """The running episode, and the fingerprints of what is served."""
        return ShopState(
            episode_id=self._episode_id,
            step_count=self._steps,
            goal_index=None if self._env.goal_index < 0 else self._env.goal_index,
            protocol=self._catalog.protocol(self._split_by),
            catalog_sha256=self._catalog.sha256,
            goals_sha256=self._catalog.goals_sha256,
        )

    def get_metadata(self) -> EnvironmentMetadata:
        """For OpenEnv's pages."""
        protocol = self._catalog.protocol(self._split_by)
        text = f"WebShop (arXiv:2207.01206) without Java: frozen goals, disjoint splits; protocol {protocol}."
        return EnvironmentMetadata(name=NAME, description=text, version=__version__)

    def _goals(self, split: str) -> Any:
        if split not in SPLITS:
            raise RequestError(f"split={split!r}, expected one of {', '.join(SPLITS)}")
        return self._catalog.split(split, self._split_by)

    def _place(self, split: str, index: int) -> int:
        number = len(self._goals(split))
        if not isinstance(index, int) or not 0 <= index < number:
            raise RequestError(f"index={index!r}, but the {split} split holds {number} goals, from 0 on")
        return index

    def list_splits(self) -> list[dict[str, str]]:
        """The splits, which share no products (or no goals, by ``split_by``)."""
        kinds = {"train": "train", "dev": "validation", "test": "test"}
        return [{"name": name, "type": kinds[name]} for name in SPLITS if name in kinds]

    def num_tasks(self, split: str) -> int:
        """The goals of a split."""
        return len(self._goals(split))

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """A goal of a split: what the customer says, never what is meant."""
        goal_index = int(self._goals(split)[self._place(split, index)])
        instruction = self._catalog.goals[goal_index].instruction
        return {"id": f"{split}-{index}", "index": index, "goal_index": goal_index, "instruction": instruction}

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """All goals of a split."""
        return self.get_task_range(split)

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Goals of a split, as a slice names them."""
        return [self.get_task(split, index) for index in range(self.num_tasks(split))[start:stop]]


def make_app(config: ServerConfig) -> Any:
    """The server as an ASGI application.

    Raises:
        CatalogError: the catalogue cannot be used.
    """
    catalog = config.load_catalog()
    factory: Callable[[], Any] = functools.partial(ShopEnvironment, catalog, config.split_by, config.max_steps)
    limits = ConcurrencyConfig(max_concurrent_envs=config.max_sessions, session_timeout=config.session_timeout)
    app = create_app(
        factory, ShopAction, ShopObservation, env_name=NAME, concurrency_config=limits, state_cls=ShopState
    )
    app.add_exception_handler(RequestError, _bad_request)
    return app


def _bad_request(_: Any, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)


def make_server(config: ServerConfig) -> uvicorn.Server:
    """The server, ready to run.

    Raises:
        ConfigError: nothing can listen at the address.
        CatalogError: the catalogue cannot be used.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ConfigError(
                f"nothing can listen at {config.host}:{config.port} ({error.strerror}); choose another --port or --host"
            ) from error
    return uvicorn.Server(
        uvicorn.Config(
            make_app(config),
            host=config.host,
            port=config.port,
            ws_max_size=LONGEST_MESSAGE,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
    )
