"""Every command in the README and in docs/ parses as the real parsers read it, and names files that exist."""

import re
import shlex
from pathlib import Path

import pytest

from recrl.cli import make_parser
from recrl.recipes import RECIPES
from recrl.recipes import make_parser as recipe_parser
from recrl.settings import build

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TRACKERS = ["tensorboard", "trackio", "wandb"]  # that are taken to be installed
STARTS = ("recrl ", "accelerate launch", "python recipes/")
SCRIPTS = ("python ", "pytest ")  # of which the files and the flags are looked for
FENCED = re.compile(r"^ *```(?:bash|sh|console)\n(.*?)^ *```", re.S | re.M)


def commands(page: Path, starts: tuple[str, ...] = STARTS) -> list[list[str]]:
    """The commands of the page's code blocks, split into words."""
    found = []
    for block in FENCED.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|", line.strip().removeprefix("$ ")):
                if command.strip().startswith(starts):
                    filled = re.sub(r"\$\{?\w+\}?", "0", command)  # a loop's variable, such as $seed
                    found.append(shlex.split(filled, comments=True))
    return found


CASES = [(page, words) for page in PAGES for words in commands(page)]


def check_recipe(name: str, words: list[str]) -> None:
    from trl import TrlParser

    from recrl.experiment.config import PaperConfig
    from recrl.training.recipe import parse_recipe

    parser = TrlParser((PaperConfig,)) if name == "paper" else recipe_parser(RECIPES[name.replace("_", "-")])
    parse_recipe(parser, words)


@pytest.mark.parametrize(
    ("page", "words"), CASES, ids=[f"{page.stem}: {' '.join(words)[:60]}" for page, words in CASES]
)
def test_a_documented_command_parses(page: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("transformers.integrations.get_available_reporting_integrations", lambda: TRACKERS)
    if words[:2] == ["recrl", "train"]:
        if len(words) > 2 and words[2:] != ["--help"] and not {"--help", "--help_all"} & set(words):
            given = [word for word in words[3:] if word not in ("--accelerate_config", "multi_gpu")]
            check_recipe(words[2], given)
    elif words[0] == "recrl":
        if "--help" not in words:
            parsed = make_parser().parse_args(words[1:])
            build(parsed.command.config, parsed)
    elif words[:2] == ["accelerate", "launch"]:
        from accelerate.commands.launch import launch_command_parser

        launched = launch_command_parser().parse_args(words[2:])
        assert Path(launched.config_file).exists()
        assert Path(launched.training_script).exists()
        check_recipe(Path(launched.training_script).stem, launched.training_script_args)
    else:
        assert Path(words[1]).exists()
        check_recipe(Path(words[1]).stem, words[2:])


def test_scripts_that_the_pages_start_have_the_flags() -> None:
    named = re.compile(r"`((?:python|pytest) [^`]+)`")
    for page in (*PAGES, *sorted((ROOT / "benchmarks").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))):
        text = page.read_text(encoding="utf-8")
        spoken = [shlex.split(" ".join(words.split())) for words in named.findall(text)]
        for words in (*commands(page, SCRIPTS), *spoken):
            files = [ROOT / word.partition("::")[0] for word in words if word.endswith(".py") or "::" in word]
            for file in files:
                assert file.exists(), f"{page.name}: {' '.join(words)}"
            if words[0] == "python" and files and "recipes/" not in words[1]:
                code = files[0].read_text(encoding="utf-8")
                for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
                    assert flag.removeprefix("--") in code, f"{page.name}: {flag} of {' '.join(words)}"


def test_no_command_hides_from_these_tests() -> None:
    for page in PAGES:
        outside = FENCED.sub("", page.read_text(encoding="utf-8"))
        hidden = [
            line for line in outside.splitlines() if re.match(r" {4}(?:\$ )?(?:recrl|accelerate|python|pytest) ", line)
        ]
        assert not hidden, f"{page.name}: write {hidden[0]!r} in a fence of bash"


def test_there_are_commands_to_check() -> None:
    assert len(CASES) > 25
