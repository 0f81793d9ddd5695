"""Fixtures that several test files share: real data where it is, and tiny models built on the spot."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from hub_server import HubServer

os.environ.setdefault("OMP_NUM_THREADS", "1")  # contended cores make more threads slower
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The same examples in every run, and no time limit for one: the machine may be crowded.
hypothesis.settings.register_profile("recrl", deadline=None, derandomize=True)
hypothesis.settings.load_profile("recrl")


def _folder(variable: str, what: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"set {variable} to {what}")
    folder = Path(os.environ[variable])
    assert folder.is_dir(), f"{variable}={folder} is no folder"
    return folder


@pytest.fixture(scope="session")
def webshop_dir() -> Path:
    """The folder with the raw 1,000-product WebShop files."""
    return _folder("RECRL_WEBSHOP_DIR", "the folder with the raw 1,000-product WebShop files")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder with the recordings of the original environment (`real` and `quirks`)."""
    return _folder("RECRL_GOLDEN_DIR", "the folder with the recordings of the original environment")


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory):
    """Every test session builds its catalogues in a cache of its own, unless RECRL_CACHE names one."""
    if os.environ.get("RECRL_CACHE"):
        yield Path(os.environ["RECRL_CACHE"])
        return
    folder = tmp_path_factory.mktemp("recrl_cache")
    os.environ["RECRL_CACHE"] = str(folder)
    yield folder
    del os.environ["RECRL_CACHE"]


@pytest.fixture(autouse=True)
def own_log_level() -> Iterator[None]:
    """Commands and recipes let our loggers speak for the rest of their process; here that is one test."""
    logger = logging.getLogger("recrl")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised BERT of 2 layers x 32 and a real WordPiece tokenizer."""
    from recrl.scoring.tiny import make_tiny_encoder

    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    make_tiny_encoder(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_scorer(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised BertForChoiceScoring and its tokenizer."""
    from recrl.scoring.model import BertForChoiceScoring

    model, tokenizer = BertForChoiceScoring.from_encoder(
        tiny_encoder, max_state_tokens=96, max_action_tokens=32, base_model="tiny"
    )
    folder = tmp_path_factory.mktemp("tiny_scorer")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A running Hub of one's own."""
    with HubServer() as running:
        yield running
