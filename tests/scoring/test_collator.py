"""What the collator remembers of decisions: as much as it may, and exactly what it would read anew."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_data import colour_episode
from recrl.episodes.decisions import Decision
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.evidence import MATCH_FEATURES
from recrl.scoring.inputs import ACTION_FEATURES
from recrl.scoring.model import BertForChoiceScoring
from recrl.webshop.catalog import load_catalog


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    catalog = load_catalog()
    goals = [int(goal) for goal in catalog.split("train")[:3]]
    found = [one for episode in rollout(load_policy("reader"), catalog, goals, seed=0) for one in episode.decisions()]
    return [*found, *colour_episode(0).decisions()]


@pytest.fixture(scope="module")
def reading(tiny_encoder: Path) -> ChoiceCollator:
    model, tokenizer = BertForChoiceScoring.from_encoder(
        tiny_encoder, action_features=list(ACTION_FEATURES), match_features=list(MATCH_FEATURES)
    )
    return ChoiceCollator(tokenizer, model.config)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_remembered_decisions_are_collated_as_new_ones_are(
    reading: ChoiceCollator, decisions: list[Decision], data: st.DataObject
) -> None:
    keeping = ChoiceCollator(reading.tokenizer, reading.config, max_kept=data.draw(st.integers(1, 12)))
    places = st.lists(st.integers(0, len(decisions) - 1), min_size=1, max_size=6)
    for batch in data.draw(st.lists(places, min_size=1, max_size=6)):
        chosen = [decisions[place] for place in batch]
        fresh = ChoiceCollator(reading.tokenizer, reading.config)(chosen).tensors()
        found = keeping(chosen).tensors()
        assert found.keys() == fresh.keys()
        assert all(torch.equal(found[name], fresh[name]) for name in fresh)


def test_a_decision_is_read_once_as_long_as_it_is_remembered(
    reading: ChoiceCollator, decisions: list[Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = ChoiceCollator(reading.tokenizer, reading.config, max_kept=2)
    read: list[Decision] = []
    plain = keeping.read

    def counting(decision: Decision) -> object:
        read.append(decision)
        return plain(decision)

    monkeypatch.setattr(keeping, "read", counting)
    one, two, three = decisions[:3]
    keeping([one, two])
    keeping([one])
    keeping([two, one])
    assert read == [one, two]
    keeping([three])  # ``two`` was asked for before ``one``
    keeping([one])
    assert read == [one, two, three]
    keeping([two])
    assert read == [one, two, three, two]
