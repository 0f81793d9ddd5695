"""What `import recrl` gives: the names that scripts need, without the weight of what is behind them."""

import ast
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import recrl

HEAVY = ("torch", "transformers", "datasets", "trl", "pandas", "scipy")


@pytest.mark.parametrize("name", recrl.__all__)
def test_every_name_resolves(name: str) -> None:
    assert name in dir(recrl)
    value = getattr(recrl, name)
    assert getattr(value, "__name__", name) == name
    assert vars(recrl)[name] is value  # it is looked up once


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import recrl, sys; recrl.__version__; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_needs_no_torch_imports_none() -> None:
    code = (
        "import sys; from recrl import Decision, Episode, WebShopEnv, evaluate, load_catalog, load_policy, rollout; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'recrl' has no attribute 'load_polcy'"):
        recrl.load_polcy  # noqa: B018
    with pytest.raises(ImportError):
        from recrl import load_polcy  # noqa: F401


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(recrl.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {(alias.name, node.module) for node in block.body for alias in getattr(node, "names", ())}
    assert seen == set(recrl._HOME_OF.items())
    assert {"__version__", *recrl._HOME_OF} == set(recrl.__all__)
    assert (files("recrl") / "py.typed").is_file()
