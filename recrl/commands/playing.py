"""`recrl quickstart`, `recrl shop` and `recrl serve-environment`: the whole way, by hand, and for programs."""

import logging
from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.quickstart import QuickstartConfig
from recrl.rollouts.config import SPLIT_HELP, PlaySettings
from recrl.serving.config import ServerConfig
from recrl.settings import part
from recrl.tables import TableSettings, print_tables
from recrl.terminal import ProgressLine, quiet_libraries


@dataclass(frozen=True, kw_only=True)
class QuickstartCommandConfig(TableSettings, QuickstartConfig):
    """How the table is printed."""


def quickstart(config: QuickstartCommandConfig) -> None:
    from recrl.quickstart import run_quickstart

    quiet_libraries()
    logging.getLogger("recrl.training.progress").setLevel(logging.WARNING)  # a line a stage is enough
    table = run_quickstart(part(config, QuickstartConfig), say=ProgressLine().say)
    print_tables([table], config.format)


@dataclass(frozen=True, kw_only=True)
class ShopConfig(PlaySettings):
    """What is played."""

    split: str = field(default="train", metadata=SPLIT_HELP)
    goal_index: int | None = field(
        default=None, metadata={"help": "The goal to play; without it one of the split is drawn."}
    )
    advisor: str | None = field(
        default=None, metadata={"help": "A policy, named as --policy, that says on each page what it would do."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.environment is not None:
            raise ConfigError("recrl shop plays shops; leave out environment")


def shop(config: ShopConfig) -> None:
    from recrl.shop import shop

    names = ("catalog", "goal_seed", "human_goals", "wording", "split", "split_by", "max_steps")
    settings = {name: getattr(config, name) for name in names}
    if config.query_model is not None:
        quiet_libraries()
        settings["queries"] = config.load_queries()
    advisor = None
    if config.advisor is not None:
        from recrl.policies.loading import load_policy

        quiet_libraries()
        advisor = load_policy(config.advisor)
    shop(settings, goal_index=config.goal_index, seed=config.seed, advisor=advisor)


def serve_environment(config: ServerConfig) -> None:
    try:
        from recrl.serving.server import make_server
    except ImportError as error:
        raise ConfigError(f"the server needs OpenEnv ({error}): pip install 'recrl[openenv]'") from error

    server = make_server(config)
    print(
        f"serving at http://{config.host}:{config.port}, for {config.max_sessions} sessions; Ctrl-C ends it", flush=True
    )
    server.run()
