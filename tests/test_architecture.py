"""The house holds: imports point one way, what must start quickly imports nothing heavy, and the picture is true."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from architecture import PACKAGE, PICTURE, ROOT, arrows_up, circles, draw, floor, read_imports

LIGHT = ("webshop", "policies", "rollouts", "evaluation", "queries", "episodes", "settings", "runs")
IMPORTS = read_imports(PACKAGE)
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_import_points_to_a_room_above() -> None:
    assert arrows_up(IMPORTS) == set()


def test_modules_of_tests_have_names_of_their_own() -> None:
    """Pytest imports them by these names, so that two alike fail when they are collected together."""
    counts = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert circles(IMPORTS) == []


def test_the_picture_is_what_the_code_gives() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw(), "run `python docs/architecture.py` and commit the picture"


def test_the_page_has_every_room() -> None:
    rows = "".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    there = {name.split(".")[0] for name in IMPORTS} - {"__main__"}
    assert there <= set(re.findall(r"`(\w+)`", rows))


def test_what_the_page_names_is_there() -> None:
    names = re.findall(r"((?:`[\w.]+`(?:, | and )?)+) \(`([\w/]+\.py)`\)", PAGE)
    assert len(names) > 25
    for called, path in names:
        text = (PACKAGE / path).read_text(encoding="utf-8")
        for name in re.findall(r"\w+(?=`)", called):
            assert re.search(rf"^ *(def|class) {name}\b|^{name} = ", text, re.MULTILINE), f"{name} in {path}"
    for path in re.findall(r"`([\w/]+\.(?:py|md))`", PAGE):
        assert (ROOT / path).exists() or (PACKAGE / path).exists() or path.endswith("/x.py"), path


def test_wrong_ways_are_found(tmp_path: Path) -> None:
    package = tmp_path / "house"
    for name, text in {
        "__init__.py": "from house.cli import main",
        "errors.py": "",
        "webshop/__init__.py": "from house.webshop.env import Env",
        "webshop/env.py": "from house import errors\nfrom house.webshop import pages",
        "webshop/pages.py": "def show():\n    import house.webshop.env",
        "cli.py": "from house.webshop import Env, pages",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    imports = read_imports(package)
    assert imports["webshop.env"] == {"errors", "webshop.pages"}
    assert imports["cli"] == {"webshop", "webshop.pages"}
    assert circles(imports) == [["webshop.env", "webshop.pages"]]
    assert arrows_up(imports) == set()
    assert arrows_up(imports | {"errors": {"cli"}}) == {("errors", "cli")}
    with pytest.raises(ValueError, match="'attic' is in no room; add 'attic' to ROOMS"):
        floor("attic")


@pytest.mark.parametrize("room", LIGHT)
def test_what_starts_quickly_imports_no_torch(room: str) -> None:
    code = f"import recrl.{room}, sys; assert 'torch' not in sys.modules, 'recrl.{room} imports torch'"
    subprocess.run([sys.executable, "-c", code], check=True)
