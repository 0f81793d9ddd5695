"""Forgetting: of the notes only what stands on the present page is left, whatever was seen before."""

from dataclasses import replace

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import Notes
from recrl.policies.base import Choice, Policy
from recrl.policies.forgetting import Forgetting, notes_on_page
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog


class Watching:
    """Plays as another policy and keeps the decisions."""

    catalog_sha256 = None

    def __init__(self, policy: Policy) -> None:
        self.policy, self.name, self.seen = policy, "watching", list[Decision]()

    def act(self, decisions, rngs: list[np.random.Generator], *, greedy: bool = False) -> list[Choice]:
        self.seen += decisions
        return self.policy.act(decisions, rngs, greedy=greedy)


def watched(spec: str) -> list[Decision]:
    """The decisions of two episodes in which much is looked at."""
    watching, catalog = Watching(load_policy(spec)), load_catalog()
    goals = [int(goal) for goal in catalog.split("test", "product")[:2]]
    assert len(list(rollout(watching, catalog, goals, seed=0, max_steps=40))) == 2
    return watching.seen


def test_only_the_present_page_is_left() -> None:
    kinds = set()
    for decision in watched("reader:3"):
        page, notes = decision.page, notes_on_page(decision.notes, decision.page)
        kinds.add(page.kind)
        assert (notes.query, notes.results_page) == (decision.notes.query, decision.notes.results_page)
        if page.kind == "search":
            assert notes.products == ()
        elif page.kind == "results":
            assert [product.asin for product in notes.products] == [listed.asin for listed in page.listing]
            assert all(product.options is product.features is product.description is None for product in notes.products)
        else:
            [product] = notes.products
            assert notes.product is product
            assert product.asin == decision.notes.product.asin
            if page.kind == "item":
                assert product.options == decision.notes.product.options
                assert notes.clicked == page.clicked
            else:
                assert product.options is None
            for name in ("features", "description"):
                assert (getattr(product, name) is None) == (page.kind != "sub" or notes.sub_page != name)
    assert kinds == {"search", "results", "item", "sub"}


def test_what_was_seen_before_makes_no_difference() -> None:
    decisions = watched("reader:3")
    for decision in decisions:
        if decision.page.kind == "results":
            fresh = replace(Notes.first(decision.page), query=decision.notes.query)
            assert notes_on_page(decision.notes, decision.page) == fresh


def test_the_policy_is_asked_without_its_notes() -> None:
    watching = Watching(load_policy("planner"))
    forgetting = Forgetting(watching)
    assert isinstance(forgetting, Policy)
    assert (forgetting.name, forgetting.catalog_sha256, forgetting.trained_on) == ("watching without notes", None, ())
    decisions = watched("reader:3")
    forgetting.act(decisions, [np.random.default_rng(0)] * len(decisions), greedy=True)
    assert [one.notes for one in watching.seen] == [notes_on_page(one.notes, one.page) for one in decisions]
    assert [one.page for one in watching.seen] == [one.page for one in decisions]
