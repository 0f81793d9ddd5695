"""Load: memory is flat after a warm-up, and no page is slower than its size explains. By hand:

pytest -m exhaustive -s tests/faults/test_load.py
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def load() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "load.py"
    spec = importlib.util.spec_from_file_location("load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("what", "number"), [("steps", 200_000), ("searches", 1_000_000)])
def test_memory_is_flat(load: ModuleType, what: str, number: int) -> None:
    megabytes = getattr(load, what)(number)
    print(f"{number} {what}: {', '.join(f'{one:.0f}' for one in megabytes)} MB after each quarter")
    assert megabytes[-1] < 1.1 * megabytes[1] + 10


def test_a_page_is_as_slow_as_it_is_long(load: ModuleType) -> None:
    seconds = {(what, count): taken for what, count, taken in load.pages()}
    assert seconds["options", 10_000] < 30 * seconds["options", 1000]
    assert seconds["characters of a title", 100_000] < 30 * seconds["characters of a title", 10_000] + 0.05
