"""What the README says, holds: its commands parse, its Python runs, its map is complete."""

import re
import shlex
from pathlib import Path

import pytest

from architecture import PACKAGE, read_imports
from recrl.cli import make_parser

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of the bash blocks, split into words."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(part, comments=True) for line in lines for part in line.split("&&") if part.strip()]


def test_every_recrl_command_parses() -> None:
    ours = [command for command in commands() if command[0] == "recrl"]
    assert len(ours) >= 5
    for command in ours:
        make_parser().parse_args(command[1:])


def test_every_recipe_command_names_files_that_are_there() -> None:
    launched = [command for command in commands() if command[0] == "accelerate"]
    assert len(launched) == 4
    for command in launched:
        for word in command:
            if word.endswith((".yaml", ".py")):
                assert (ROOT / word).exists(), word


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert "Page 1 (Total results: " in capsys.readouterr().out


def test_the_map_names_every_room() -> None:
    [shown] = re.findall(r"^```\nrecrl/\n.*?^```", TEXT, re.DOTALL | re.MULTILINE)
    lines = [re.split(r"  +", line.strip())[0] for line in shown.splitlines() if line.startswith("  ")]
    named = {name.removesuffix("/") for line in lines for name in line.split(", ")}
    there = {name.split(".")[0] for name in read_imports(PACKAGE)} - {"__main__"}
    assert there <= named, sorted(there - named)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_files_that_the_pages_name_are_there() -> None:
    folders = "recrl|tests|recipes|benchmarks|examples|accelerate_configs"
    named = re.compile(rf"(?<![\w/.-])((?:{folders})/[\w/-]+\.(?:py|yaml))")
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")):
        for path in named.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_continuous_integration_runs_the_readmes_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\npytest\n" in script
    assert "recrl quickstart" in script
