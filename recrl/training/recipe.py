"""What a recipe script begins and ends with: its parser, strict, and the exit codes of the command line."""

import argparse
import functools
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from recrl.errors import ConfigError, RecrlError
from recrl.settings import CONFIG_HELP, check_finite, flag_value, nearest, read_mapping
from recrl.shipped import RECIPES, find_file
from recrl.signals import EXIT_CODE, raise_interrupts
from recrl.terminal import print_any_text, show, start_logging
from recrl.values import alternatives, convert

LOST = ("Connection reset by peer", "Connection closed by peer", "remote process exited")  # what gloo and NCCL say


def parse_recipe(parser: Any, args: Sequence[str] | None = None) -> tuple[Any, ...]:
    """Parses ``--config file.yaml`` and flags with a `trl.TrlParser`, strictly.

    Values of the file and of flags become what the annotations of the parser's dataclasses name, see `recrl.values`;
    flags win over the file, whose key ``env`` holds environment variables.

    Raises:
        ConfigError: a key or flag is unknown (the message names the nearest one) or has a value of another type, or
            the file is missing or no mapping.
    """
    add_config(parser)
    parser.error = _refuse  # argparse would print its usage, a screen of keys, and exit
    parser.allow_abbrev = False
    hints = {name: hint for config in parser.dataclass_types for name, hint in get_type_hints(config).items()}
    for action in parser._actions:
        if action.dest in hints and action.type is not None:
            action.type = functools.partial(flag_value, _of_one_word(hints[action.dest], action.nargs))
    words = sys.argv[1:] if args is None else list(args)
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        if flag not in parser._option_string_actions:  # rather than what is missing besides
            raise _unknown(flag.removeprefix("--"), hints)
    parser.set_defaults(**_defaults_of(parser, hints, words))
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        raise ConfigError(f"unexpected argument {unknown[0]!r}; settings are given as --key value")
    values = {name: None if value == [None] else value for name, value in vars(parsed).items()}
    try:
        configs = tuple(
            config(**{one.name: values[one.name] for one in fields(config) if one.init})
            for config in parser.dataclass_types
        )
    except RecrlError:
        raise
    except ValueError as error:
        raise ConfigError(f"the configuration cannot be read: {str(error).strip()}") from error
    for config in configs:
        check_finite(config)
    return configs


def add_config(parser: Any) -> None:
    """Adds ``--config`` to a recipe's parser."""
    parser.add_argument("--config", metavar="FILE", help=CONFIG_HELP)


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (--help_all lists all keys)")


def _of_one_word(hint: Any, nargs: Any) -> Any:
    """What an annotation says of each word of its flag: a list's flag takes several, of which ``null`` is none."""
    if nargs != "+":
        return hint
    [listed] = [kind for kind in alternatives(hint) if get_origin(kind) is list]
    [each] = get_args(listed)
    return each | None if types.NoneType in alternatives(hint) else each


def _defaults_of(parser: Any, hints: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The values of the file that ``--config`` names, which are no longer required as flags."""
    path = _config_path(words)
    if path is None:
        return {}
    try:
        content = read_mapping(path)
    except ConfigError as error:
        raise ConfigError(f"--config {path}: {error}") from error
    variables = content.pop("env", {})
    if not isinstance(variables, dict):
        raise ConfigError(f"--config {path}: env={variables!r}, expected a mapping of environment variables")
    os.environ.update({str(name): str(value) for name, value in variables.items()})
    values = {}
    for key, value in content.items():
        if key not in hints:
            raise _unknown(key, hints)
        try:
            values[key] = convert(hints[key], value)
        except ValueError as error:
            raise ConfigError(f"--config {path}: {key}={error}") from error
    for action in parser._actions:
        action.required = action.required and action.dest not in values
    return values


def _config_path(words: Sequence[str]) -> str | None:
    finder: Any = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.error = _refuse
    finder.add_argument("--config")
    path = finder.parse_known_args(words)[0].config
    return None if path is None else find_file(RECIPES, path)


def _unknown(key: Any, known: Iterable[str]) -> ConfigError:
    meant = nearest(str(key), known)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return ConfigError(f"unknown key {key!r}{hint} (--help_all lists all keys)")


def run_recipe(main: Callable[[], None]) -> None:
    """Runs ``main``; bad input prints one line and exits with 2, Ctrl-C says how to go on and exits with 130. Waiting
    too long for another process prints where, and exits with 1; the end of another process prints one line.
    """
    raise_interrupts()
    print_any_text()
    start_logging()
    try:
        main()
    except RecrlError as error:
        show(f"error: {' '.join(str(error).split())}", error=True)
        sys.exit(2)
    except RuntimeError as error:
        if any(lost in str(error) for lost in LOST):
            show(
                "error: another process of this run has ended before its time; see what it says. The same command goes "
                "on from the last checkpoint",
                error=True,
            )
            sys.exit(1)
        if "Timed out waiting" not in str(error):
            raise
        traceback.print_exception(error)
        show(
            "error: another process of this run did not answer within ddp_timeout seconds (default 1800); where "
            "this one waited stands above. See what the others print; if they were only slow, raise ddp_timeout. The "
            "same command goes on from the last checkpoint",
            error=True,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        show("interrupted; run the same command again to go on from the last checkpoint", error=True)
        sys.exit(EXIT_CODE)
