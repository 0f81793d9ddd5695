"""Settings that are stated once: the fields of a dataclass are a command's flags, the keys of its YAML file, and the
attributes that the code reads.

A field's annotation says what its flag takes: ``str``, ``int``, ``float``, ``bool`` or ``tuple[str, ...]``, each also
with ``| None``. Its metadata holds what `argparse.ArgumentParser.add_argument` takes beside that: always ``help``, and
``choices`` or ``type`` where they are needed, ``nargs`` and ``const`` where a flag's value may be left out. This is how
transformers' `HfArgumentParser`, from which the recipes' parser comes, reads dataclasses too, so both can share them.
Only ``positional`` is our own: it makes a positional argument of the field.

Nothing heavy is imported, because every ``--help`` comes by here.
"""

import argparse
import difflib
import functools
import inspect
import itertools
import math
import sys
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, NoReturn, TypeVar

from recrl.errors import ConfigError
from recrl.files import read_text
from recrl.values import alternatives, convert, from_flag

Config = TypeVar("Config")

CONFIG_HELP = "YAML file whose keys are the flags below; flags win over the file, and --no_X turns off a switch X."


def to_seed(text: str) -> int:
    """The ``type`` of a seed: a whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 0")
    return int(text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if any is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), None)


@dataclass(frozen=True)
class Setting:
    """A field of a settings class, as its flag and its YAML key need it.

    Attributes:
        name: of the field, the flag and the key.
        origin: the class in the hierarchy that states it.
        hint: the annotation of its value, or of each value if it takes ``many``; kind: the type that it names beside
            None.
        required: it has no default.
        metadata: further arguments for `argparse.ArgumentParser.add_argument`.
    """

    name: str
    origin: type
    hint: Any
    kind: type
    many: bool
    required: bool
    default: Any
    positional: bool
    metadata: dict[str, Any]

    def add_to(self, parser: Any) -> None:
        """Adds the flag to a parser or a group of its arguments."""
        options: dict[str, Any] = {"default": self.default} | self.metadata
        if self.kind is bool:
            parser.add_argument(f"--{self.name}", f"--no_{self.name}", action=Switch, **options)
            return
        options = {"type": functools.partial(flag_value, self.hint)} | options
        if self.positional:
            count = ("+" if self.required else "*") if self.many else (None if self.required else "?")
            parser.add_argument(self.name, nargs=count, **options)
            return
        if self.many:
            options["nargs"] = "+"
        parser.add_argument(f"--{self.name}", required=self.required, **options)

    def from_yaml(self, value: Any) -> Any:
        """The setting's value for a value of a YAML file.

        Raises:
            ConfigError: it is of another type, or none of the choices.
        """
        if not self.many:
            return self._one(value)
        if value is None or value == [] or isinstance(value, dict):
            raise ConfigError(f"{self.name}={value!r}, expected a list")
        return [self._one(part) for part in (value if isinstance(value, list) else [value])]

    def _one(self, value: Any) -> Any:
        try:
            converted = convert(self.hint, value)
            if "type" in self.metadata and converted is not None:
                converted = self.metadata["type"](str(converted))
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"{self.name}: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{self.name}={error}") from error
        choices = self.metadata.get("choices")
        if choices and converted is not None and converted not in choices:
            raise ConfigError(f"{self.name}={value!r}, expected one of {', '.join(map(str, choices))}")
        return converted


def settings_of(config: type) -> list[Setting]:
    """The settings that a dataclass states: its own first, then those of the classes that it inherits from."""
    hints = typing.get_type_hints(config)
    lineage = [parent for parent in config.__mro__ if parent is not object]
    found = []
    for field in fields(config):
        hint, many = hints[field.name], False
        listed = [one for one in alternatives(hint) if typing.get_origin(one) in (tuple, list)]
        if listed:
            hint, many = listed[0].__args__[0], True
        [kind] = [one for one in alternatives(hint) if one is not types.NoneType]
        required = field.default is MISSING and field.default_factory is MISSING
        default = None if required else field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        metadata = dict(field.metadata)
        found.append(
            Setting(
                name=field.name,
                origin=next(parent for parent in lineage if field.name in inspect.get_annotations(parent)),
                hint=hint,
                kind=kind,
                many=many,
                required=required,
                default=default,
                positional=metadata.pop("positional", False),
                metadata=metadata,
            )
        )
    return sorted(found, key=lambda setting: lineage.index(setting.origin))


def build(config: type[Config], parsed: argparse.Namespace) -> Config:
    """The settings that a parser has read, as a dataclass.

    Raises:
        ConfigError: see the dataclass.
    """
    values = {setting.name: getattr(parsed, setting.name) for setting in settings_of(config)}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def part(config: Any, parent: type[Config]) -> Config:
    """The part of a command's settings that a class states from which the command's inherits."""
    return parent(**{field.name: getattr(config, field.name) for field in fields(parent)})  # type: ignore[arg-type]


def check_values(config: Any) -> None:
    """Checks what the metadata of a dataclass says of its values; to be called when one is made.

    Raises:
        ConfigError: a value is none of its choices, a number is not finite, or a seed is negative.
    """
    check_finite(config)
    for field in fields(config):
        value, choices = getattr(config, field.name), field.metadata.get("choices")
        if choices and value is not None and value not in choices:
            raise ConfigError(f"{field.name}={value!r}, expected one of {', '.join(map(str, choices))}")
        if field.metadata.get("type") is to_seed and value < 0:
            raise ConfigError(f"{field.name}={value}, expected a whole number of at least 0")


def check_finite(config: Any) -> None:
    """Raises ConfigError if a number of a dataclass, alone or in a list, is infinite or not a number."""
    for field in fields(config):
        value = getattr(config, field.name)
        for number in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{field.name}={number}, expected a finite number")


def check_at_least(config: Any, least: int, *names: str) -> None:
    """Raises ConfigError if one of the fields, which may be None, is below ``least``."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"{name}={value}, expected at least {least}")


def flag_value(hint: Any, text: str) -> Any:
    """The ``type`` of a flag whose value an annotation describes."""
    try:
        return from_flag(hint, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def read_mapping(path: str) -> dict[Any, Any]:
    """The content of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(read_text(path))
    except OSError as error:
        raise ConfigError(f"{error.strerror or error}; expected a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"it is no YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError("expected a YAML mapping of settings, such as `seed: 0`")
    return content


def read_yaml(config: type, path: str) -> dict[str, Any]:
    """The values of a YAML file whose keys are names of settings.

    Raises:
        ConfigError: the file cannot be read, is no mapping, has an unknown key (the message names the nearest) or a
            value of another type.
    """
    content = read_mapping(path)
    known = {setting.name: setting for setting in settings_of(config)}
    for key in content:
        if key not in known:
            meant = nearest(str(key), known)
            raise ConfigError(
                f"unknown key {key!r}, " + (f"did you mean {meant!r}?" if meant else f"expected {', '.join(known)}")
            )
    return {key: known[key].from_yaml(value) for key, value in content.items()}


class Switch(argparse.Action):
    """A boolean's flag: ``--name`` turns it on, ``--no_name`` off; usage shows the one that changes the default."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **settings)

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, option_string == self.option_strings[0])

    def format_usage(self) -> str:
        return self.option_strings[1 if self.default else 0]


class _HelpFormatter(argparse.HelpFormatter):
    """Shows defaults, but not those that only say that a flag was left out."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        left_out = default is None or default is False or default is argparse.SUPPRESS or default in ((), [])
        if not action.help or left_out:
            return action.help
        shown = " ".join(default) if isinstance(default, (tuple, list)) else str(default)
        return f"{action.help.removesuffix('.')} (default: {shown.replace('%', '%%')})."

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, Switch) and not action.default:
            return action.format_usage()
        return super()._format_action_invocation(action)


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations whose errors are one line and name what was probably meant."""

    def __init__(self, **settings: Any) -> None:
        shared: dict[str, Any] = {"allow_abbrev": False, "formatter_class": _HelpFormatter}
        super().__init__(**(shared | settings))
        self.commands: Any = None
        self.config: type | None = None

    def add_subparsers(self, **settings: Any) -> Any:
        self.commands = super().add_subparsers(**settings)
        return self.commands

    def add_settings(self, config: type) -> None:
        """Adds a flag for every field of a dataclass, and ``--config``, which reads them from a YAML file."""
        self.config = config
        self.show_settings(config)

    def show_settings(self, *configs: type) -> None:
        """Adds ``--config`` and the flags of dataclasses, for `--help`."""
        self.add_argument("--config", metavar="FILE", help=CONFIG_HELP)
        groups: dict[str, Any] = {}
        settings = [setting for config in configs for setting in settings_of(config)]
        for setting in sorted(settings, key=lambda setting: not setting.required):
            title = "required" if setting.required else _title(setting.origin)
            if title not in groups and not setting.positional:
                groups[title] = self.add_argument_group(title)
            setting.add_to(self if setting.positional else groups[title])

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        """Parses; first of all, before what is missing, an unknown word is an error that names the nearest known."""
        words = sys.argv[1:] if args is None else list(args)
        if self.commands is not None:
            command = next((word for word in words if not word.startswith("-")), None)
            if command is not None and command not in self.commands.choices:
                self._unknown(str(self.commands.metavar), command, self.commands.choices)
        known = self._option_string_actions
        for word in words:
            flag = word.split("=")[0]
            if word == "--" or (self.commands is not None and not word.startswith("-")):
                break  # what follows are values, or the command's own arguments
            if flag.startswith("--") and " " not in flag and flag not in known:
                self._unknown("argument", flag, known)
        if self.config is not None:
            self._take_file(self.config, words)
        return super().parse_known_args(words, namespace)

    def _take_file(self, config: type, words: Sequence[str]) -> None:
        """The values of the ``--config`` file become defaults, which flags replace."""
        own = list(itertools.takewhile(lambda word: word != "--", words))
        paths = [following for word, following in itertools.pairwise(own) if word == "--config"]
        paths += [word.removeprefix("--config=") for word in own if word.startswith("--config=")]
        if not paths:
            return
        if len(paths) > 1:
            self.error(f"--config is given {len(paths)} times, expected one file")
        path = paths[0]
        try:
            values = read_yaml(config, path)
        except ConfigError as error:
            self.error(f"--config {path}: {error}")
        for action in self._actions:
            if action.dest in values:
                action.default, action.required = values[action.dest], False
                if not action.option_strings:
                    action.nargs = "*" if action.nargs == "+" else "?"

    def _unknown(self, kind: str, word: str, known: Iterable[str]) -> NoReturn:
        meant = nearest(word, known)
        hint = f"did you mean {meant!r}?" if meant else f"expected one of {', '.join(known)}"
        self.error(f"unknown {kind} {word!r}, {hint}")


def _title(config: type) -> str:
    """The first sentence of a settings class, as the title of its flags."""
    text = (config.__doc__ or "").partition(".")[0]
    return text[:1].lower() + text[1:]
