"""Settings: what a dataclass states is the flag, the YAML key and the attribute, and nothing else is."""

import argparse
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recrl.cli import COMMANDS, Command, make_parser
from recrl.errors import ConfigError
from recrl.evaluation.config import EvaluationConfig
from recrl.rollouts.config import TaskSettings
from recrl.settings import Parser, Setting, build, check_values, part, read_yaml, settings_of, to_seed
from recrl.training.dpo import DPOArguments
from recrl.training.environment import EnvironmentArguments
from recrl.training.imitation import ImitationArguments
from recrl.training.search import QueryArguments
from recrl.training.self_improvement import SelfImprovementArguments
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments

OTHER_FLAGS = {"-h", "--help", "--config"}


@dataclass(frozen=True, kw_only=True)
class Base:
    """What is shared. And more about it."""

    name: str | None = field(default=None, metadata={"help": "A name."})
    seed: int = field(default=0, metadata={"help": "A seed.", "type": to_seed})


@dataclass(frozen=True, kw_only=True)
class Example(Base):
    """What is its own."""

    size: int = field(metadata={"help": "Size, in metres."})
    place: str = field(default="here", metadata={"help": "A place.", "positional": True})
    shares: float | None = field(default=None, metadata={"help": "A share."})
    words: tuple[str, ...] = field(default=("a", "b"), metadata={"help": "Words."})
    colour: str = field(default="red", metadata={"help": "A colour.", "choices": ("red", "blue")})
    draw: bool = field(default=True, metadata={"help": "Draw it."})
    quick: bool = field(default=False, metadata={"help": "Be quick."})

    def __post_init__(self) -> None:
        check_values(self)


def parser_of(config: type) -> Parser:
    parser = Parser(prog="example")
    parser.add_settings(config)
    return parser


def read(*words: str) -> Example:
    return build(Example, parser_of(Example).parse_args(words))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        read(*words)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def as_words(config: Any) -> list[str]:
    """The command line that states every setting of a configuration."""
    words = []
    for setting in settings_of(type(config)):
        value = getattr(config, setting.name)
        if value is None:
            continue
        if setting.kind is bool:
            words.append(f"--{setting.name}" if value else f"--no_{setting.name}")
        elif setting.positional:
            words = [*map(str, value if setting.many else [value]), *words]
        elif setting.many:
            words += [f"--{setting.name}", *value]
        else:
            words.append(f"--{setting.name}={value}")
    return words


plain = st.text(min_size=1).filter(lambda text: not text.startswith("-"))
examples = st.builds(
    Example,
    name=st.none() | st.text(),
    seed=st.integers(0),
    size=st.integers(),
    place=plain,
    shares=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    words=st.lists(plain, min_size=1).map(tuple),
    colour=st.sampled_from(("red", "blue")),
    draw=st.booleans(),
    quick=st.booleans(),
)


@given(examples)
def test_every_value_survives_the_command_line(config: Example) -> None:
    assert read(*as_words(config)) == config


@given(examples)
def test_every_value_survives_a_file(tmp_path_factory: pytest.TempPathFactory, config: Example) -> None:
    path = tmp_path_factory.getbasetemp() / "example.yaml"
    values = {one.name: getattr(config, one.name) for one in fields(config)}
    path.write_text(yaml.safe_dump(values | {"words": list(config.words)}))
    assert read("--config", str(path)) == config
    assert read("--config", str(path), *as_words(config)) == config


def test_defaults_and_required_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("--size", "3") == Example(size=3)
    assert "required: --size" in refused(capsys)
    assert "argument --size: 'big', expected a whole number" in refused(capsys, "--size", "big")
    assert "--seed: '-1', expected a whole number of at least 0" in refused(capsys, "--size", "3", "--seed", "-1")
    assert "unknown argument '--siz', did you mean '--size'?" in refused(capsys, "--siz", "3")
    assert "expected one argument" in refused(capsys, "--size", "3", "--config")
    assert "--config is given 2 times" in refused(capsys, "--size", "3", "--config", "a", "--config=b")


def test_help_shows_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    parser_of(Example).print_help()
    shown = " ".join(capsys.readouterr().out.split())
    for part_of_it in (
        "Words (default: a b).", "A place (default: here).", "A seed (default: 0).", "--quick Be quick.",
        "--draw, --no_draw Draw it (default: True).", "required: --size SIZE Size, in metres.", "[--no_draw]",
        "what is shared: --name", "what is its own: --shares",
    ):  # fmt: skip
        assert part_of_it in shown


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text("size: 3\nquick: true\nplace: there\nwords: [c]\nseed: 1\n")
    assert read("--config", str(path)) == Example(size=3, quick=True, place="there", words=("c",), seed=1)
    given_too = read("elsewhere", f"--config={path}", "--no_quick", "--words", "d", "e", "--seed", "2")
    assert given_too == Example(size=3, place="elsewhere", words=("d", "e"), seed=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sise: 3", "unknown key 'sise', did you mean 'size'?"),
        ("no_draw: true", "unknown key 'no_draw', did you mean 'draw'?"),
        ("7: 3", "unknown key 7, expected size, place, "),
        ("size: 3.5", "size=3.5, expected a whole number"),
        ("size: true", "size=True, expected a whole number"),
        ("size:", "size=None, expected a whole number"),
        ("size: [3]", "size=[3], expected a whole number"),
        ("shares: much", "shares='much', expected a number"),
        ("words: []", "words=[], expected a list"),
        ("words: {c: d}", "words={'c': 'd'}, expected a list"),
        ("shares: .nan", "shares=nan, expected a number or null"),
        ("words: [[c]]", "words=['c'], expected a text"),
        ("quick: 1", "quick=1, expected true or false"),
        ("name: off", "name=False, expected a text"),
        ("colour: green", "colour='green', expected one of red, blue"),
        ("seed: -1", "seed: '-1', expected a whole number of at least 0"),
        ("- size", "expected a YAML mapping"),
        ("size: [3", "it is no YAML file: "),
    ],
)
def test_a_file_is_read_strictly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(content)
    said = refused(capsys, "--config", str(path))
    assert said.startswith(f"error: --config {path}: ")
    assert message in said


def test_a_number_may_be_a_text_and_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_bytes("\ufeffsize: '3'\r\nshares: 1e-1\r\nname: 7\r\nquick: 'true'\r\n".encode())  # as Windows does
    assert read_yaml(Example, str(path)) == {"size": 3, "shares": 0.1, "name": "7", "quick": True}


def test_one_value_is_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text("size: 3\nwords: c\n")
    assert read("--config", str(path)) == read("--size", "3", "--words", "c") == Example(size=3, words=("c",))


def test_null_is_no_value_in_a_flag_too(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text("size: 3\nshares: 0.5\nname: x\n")
    assert read("--config", str(path), "--shares", "null", "--name", "null") == Example(size=3)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file or directory; expected a YAML file" in refused(capsys, "--config", str(tmp_path / "none"))


def test_values_are_checked_when_they_are_made() -> None:
    with pytest.raises(ConfigError, match="colour='green', expected one of red, blue"):
        Example(size=3, colour="green")
    with pytest.raises(ConfigError, match="seed=-1, expected a whole number of at least 0"):
        Example(size=3, seed=-1)


def test_a_part_is_what_the_parent_states() -> None:
    assert part(Example(size=3, name="x", seed=4), Base) == Base(name="x", seed=4)


# The commands


def parser_for(command: Command) -> argparse.ArgumentParser:
    parser: Any = make_parser()
    for word in command.name.split():
        parser = parser.commands.choices[word]
    return parser


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_fields_are_flags_and_flags_are_fields(command: Command) -> None:
    stated = {flag for setting in settings_of(command.config) for flag in flags_of(setting)}
    there = {flag for action in parser_for(command)._actions for flag in action.option_strings or [action.dest]}
    assert there - OTHER_FLAGS == stated
    assert {setting.name for setting in settings_of(command.config)} == {one.name for one in fields(command.config)}


def flags_of(setting: Setting) -> set[str]:
    if setting.positional:
        return {setting.name}
    return {f"--{setting.name}"} | ({f"--no_{setting.name}"} if setting.kind is bool else set())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_flag_says_in_a_phrase_what_it_is(command: Command) -> None:
    for setting in settings_of(command.config):
        text = setting.metadata["help"]
        assert text[0].isupper() or text.startswith("user/"), text
        assert text.endswith("."), text
        assert set(setting.metadata) <= {"help", "choices", "type", "nargs", "const"}
    parser_for(command).format_help()  # a stray % would end in an error


# All can be set but those of one or the other.
EXCLUSIVE = (
    ("human_goals", "goals_per_product", "environment", "goal", "failures", "log"),
    ("human_goals", "goals_per_product", "environment", "goal", "format", "log"),
    ("wording", "agent", "environment", "failures", "format", "min_reward", "prune", "loops"),
)


def example_of(command: Command, left_out: tuple[str, ...]) -> Any:
    """A configuration in which every optional setting but some has another value than its default."""
    values: dict[str, Any] = {}
    for setting in settings_of(command.config):
        if setting.name in left_out and not setting.required:
            continue
        choices = [choice for choice in setting.metadata.get("choices", ()) if choice != setting.default]
        if setting.kind is bool:
            values[setting.name] = not setting.default
        elif setting.many:
            values[setting.name] = ("contrasts", "trajectories")
        elif choices:
            values[setting.name] = choices[0]
        elif setting.kind is str:
            values[setting.name] = "user/name"
        elif setting.kind is float:
            values[setting.name] = 0.75
        else:
            values[setting.name] = 3 * (setting.default or 100)
    return command.config(**values)


@pytest.mark.parametrize("left_out", EXCLUSIVE, ids="-".join)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_commands_settings_survive_the_command_line_and_a_file(
    command: Command, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    config, words = example_of(command, left_out), command.name.split()
    assert build(command.config, make_parser().parse_args([*words, *as_words(config)])) == config
    values = {one.name: getattr(config, one.name) for one in fields(config)}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}))
    assert build(command.config, make_parser().parse_args([*words, "--config", str(path)])) == config


@pytest.mark.parametrize(
    "config",
    [
        DPOArguments, EnvironmentArguments, ImitationArguments, PPOArguments, QueryArguments, SelfImprovementArguments,
        TuningArguments,
    ],
)  # fmt: skip
def test_every_key_of_a_recipe_says_in_a_phrase_what_it_is(config: type) -> None:
    for one in fields(config):
        assert one.metadata["help"].endswith("."), one.name
        assert "%" not in one.metadata["help"], one.name


def test_settings_of_one_name_are_of_one_type() -> None:
    kinds: dict[str, set[Any]] = {}
    for command in COMMANDS:
        for setting in settings_of(command.config):
            kinds.setdefault(setting.name, set()).add((setting.kind, setting.many))
    kinds.pop("pairs")  # names of pair builders, or a file with typed queries
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_recipes_and_commands_share_the_settings_of_what_plays() -> None:
    of_recipes, of_commands = ({one.name: one for one in settings_of(config)} for config in (
        EnvironmentArguments, EvaluationConfig))  # fmt: skip
    shared = of_recipes.keys() & of_commands.keys()
    assert shared == {one.name for one in fields(TaskSettings)} | {"allow_seen_goals"}
    for name in shared:
        assert of_recipes[name].metadata == of_commands[name].metadata
