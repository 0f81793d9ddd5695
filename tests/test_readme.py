"""What the README says, holds: its commands parse, its Python runs, its map is complete."""

import re
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


def test_the_docker_file_runs_the_readmes_steps() -> None:
    script = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "torch==2.13.0" in script
    assert "pip install --no-cache-dir -e '.[offline]'" in script
    assert 'CMD ["recrl", "quickstart"]' in script


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_every_page_is_in_the_sites_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path.startswith("results/") or path in menu, path
