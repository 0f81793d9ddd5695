"""What the README says, holds: its commands parse, its Python runs, its map is complete."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from recrl.version import __version__

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    for example in blocks("python"):
        exec(compile(example, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "success 36.0%" in shown
    assert "Page 1 (Total results: " in shown


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


def set_up_and_run(command: str) -> list[list[str]]:
    """The steps of a command line, without those that make a virtual environment, which an image does not need."""
    steps = [shlex.split(step) for step in command.split("&&")]
    return [step for step in steps if step[:2] != ["python", "-m"] and step[0] != "."]


def test_the_docker_file_runs_the_readmes_steps() -> None:
    quickstart, tests = (set_up_and_run(block.strip()) for block in blocks("bash")[:2])
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    installs = [shlex.split(line)[1:] for line in lines if line.startswith("RUN pip")]
    for words in installs:
        words.remove("--no-cache-dir")  # a layer keeps no cache
        if "--index-url" in words:  # the same version, for a CPU
            place = words.index("--index-url")
            assert words[place + 1] == "https://download.pytorch.org/whl/cpu"
            del words[place : place + 2]
    [last] = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert [*installs, last] == quickstart
    [said] = [line for line in lines if line.startswith("#") and line.endswith("(the tests)")]
    [inside] = re.findall(r'sh -c "(.*)"', said)
    assert [installs[0], *set_up_and_run(inside)] == tests


def test_an_image_leaves_out_what_the_repository_leaves_out() -> None:
    ignored, left_out = (
        {line.removeprefix("**/") for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")}
        for name in (".gitignore", ".dockerignore")
    )
    assert left_out == ignored


def test_the_badges_are_true() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    badges = dict(re.findall(r"\[!\[([^]]*)\]\(https://img\.shields\.io/badge/([^)]*)-blue\)\]", TEXT))
    versions = [line.rpartition(" ")[2] for line in about["classifiers"] if "Python :: 3." in line]
    assert badges == {
        f"Licence: {about['license']}": f"licence-{about['license'].replace('-', '--')}",
        f"Python {versions[0]} to {versions[-1]}": f"python-{versions[0]}_to_{versions[-1]}",
    }


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == about["license"]
    assert [one["name"] for one in citation["authors"]] == [one["name"] for one in about["authors"]]


def test_every_page_is_in_the_sites_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path.startswith("results/") or path in menu, path
