"""Fixtures of the tests about language models."""

from pathlib import Path

import pytest

from language_model import make_language_model
from recrl.episodes.data import Episode
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import Catalog, load_catalog


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a randomly initialised Llama and a tokenizer with a chat template."""
    return make_language_model(tmp_path_factory.mktemp("language") / "tiny_language_model")


@pytest.fixture(scope="session")
def embedded() -> Catalog:
    return load_catalog(None)


@pytest.fixture(scope="session")
def episodes(embedded: Catalog) -> list[Episode]:
    """Three demonstrations and a reader's episode, which has notes."""
    goals = [int(goal) for goal in embedded.split("train", "product")[:3]]
    shown = [*rollout(load_policy("demonstrator"), embedded, goals, seed=0)]
    return [*shown, *rollout(load_policy("reader:2"), embedded, goals[:1], seed=0)]
