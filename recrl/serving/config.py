"""What can be set of the server."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.rollouts.config import MAX_STEPS_HELP, SPLIT_BY_HELP, CatalogSettings
from recrl.settings import check_at_least
from recrl.webshop.goals import DEFAULT_MAX_STEPS, DEFAULT_SPLIT_BY


@dataclass(frozen=True, kw_only=True)
class ServerConfig(CatalogSettings):
    """What is served, and where."""

    split_by: str = field(default=DEFAULT_SPLIT_BY, metadata=SPLIT_BY_HELP)
    max_steps: int = field(default=DEFAULT_MAX_STEPS, metadata=MAX_STEPS_HELP)
    host: str = field(
        default="127.0.0.1",
        metadata={"help": "Address to listen at; 0.0.0.0 lets other machines in, without a password."},
    )
    port: int = field(default=8000, metadata={"help": "Port to listen at."})
    max_sessions: int = field(
        default=64, metadata={"help": "Episodes that can be played at once; a further client is refused."}
    )
    session_timeout: float = field(
        default=600.0, metadata={"help": "Seconds after which the session of a client that says nothing is closed."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "max_steps", "max_sessions")
        if not 0 < self.port < 65536:
            raise ConfigError(f"port={self.port}, expected 1 to 65535")
        if not self.session_timeout > 0:
            raise ConfigError(f"session_timeout={self.session_timeout}, expected a positive number of seconds")
