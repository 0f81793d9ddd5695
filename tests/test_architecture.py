"""The house holds: imports point one way, and what must start quickly imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recrl

PACKAGE = Path(recrl.__file__).parent
# A room imports only from rooms above it; what shares a line is one room.
ROOMS = (
    "version errors files",
    "terminal settings runs hub tables",
    "webshop",
    "episodes",
    "scoring",
    "queries",
    "policies",
    "rollouts",
    "preferences",
    "evaluation",
    "training",
    "publishing",
    "quickstart shop",
    "commands",
    "cli __main__",
)
LIGHT = ("webshop", "policies", "rollouts", "evaluation", "queries", "episodes", "settings", "runs")


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it, as dotted names behind ``recrl.``."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.removeprefix("recrl.") for name in named if name.startswith("recrl.")}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name: imports_of(path) for path in PACKAGE.rglob("*.py") if (name := module_name(path))}


def floor(module: str) -> int:
    room = module.split(".")[0]
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms.split())


def test_every_import_points_to_a_room_above() -> None:
    up = {(one, other) for one, others in MODULES.items() for other in others if floor(other) > floor(one)}
    assert up == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    left = {name: {other for other in others if other in MODULES} for name, others in MODULES.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("room", LIGHT)
def test_what_starts_quickly_imports_no_torch(room: str) -> None:
    code = f"import recrl.{room}, sys; assert 'torch' not in sys.modules, 'recrl.{room} imports torch'"
    subprocess.run([sys.executable, "-c", code], check=True)
