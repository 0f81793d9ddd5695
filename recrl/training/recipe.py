"""What a recipe script begins and ends with: its parser, strict, and the exit codes of the command line."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from recrl.errors import ConfigError, RecrlError
from recrl.settings import check_finite, nearest


def parse_recipe(parser: Any, args: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Parses ``--config file.yaml`` and flags with a `trl.TrlParser`, strictly.

    Raises:
        ConfigError: a key or flag is unknown (the message names the nearest one), a flag has a value of another type,
            or the file is missing or no mapping.
    """
    import yaml

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message} (--help lists all keys)")

    parser.error = refuse  # argparse would print its usage, a screen of keys, and exit
    try:
        *configs, unknown = parser.parse_args_and_config(
            args, return_remaining_strings=True, fail_with_unknown_args=False
        )
    except RecrlError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"--config {error.filename}: no such file; expected a YAML file") from error
    except (yaml.YAMLError, ValueError, IndexError) as error:
        raise ConfigError(f"the configuration cannot be read: {str(error).strip()}") from error
    known = [action.dest for action in parser._actions]
    for key in (text.removeprefix("--").partition("=")[0] for text in unknown if text.startswith("--")):
        meant = nearest(key, known)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise ConfigError(f"unknown key {key!r}{hint} (--help lists all keys)")
    if unknown:
        raise ConfigError(f"unexpected argument {unknown[0]!r}; settings are given as --key value")
    for config in configs:
        check_finite(config)
    return tuple(configs)


def run_recipe(main: Callable[[], None]) -> None:
    """Runs ``main``; bad input prints one line and exits with 2, Ctrl-C says how to go on and exits with 130."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("recrl").setLevel(logging.INFO)  # our own progress, and only warnings of others
    try:
        main()
    except RecrlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
