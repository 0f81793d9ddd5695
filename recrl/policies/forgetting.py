"""A policy that is made to forget: what its notes on earlier pages are worth, shows without them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recrl.episodes.decisions import Decision
from recrl.episodes.notes import Notes
from recrl.episodes.training_goals import TrainedOn
from recrl.policies.base import Choice, Policy, knows_goal, trained_on
from recrl.policies.own import choose
from recrl.webshop.pages import Page


def notes_on_page(notes: Notes, page: Page) -> Notes:
    """What of the notes stands on the page itself.

    Of a results page the products that it lists, of a product's page that product with its options, of a sub page the
    product with the text that is shown; and where the shopper is: the query, the results page, the product at hand.
    """
    where = replace(notes, products=(), at_hand=None, sub_page="", clicked=())
    if page.kind == "results":
        return replace(where, products=Notes.first(page).products)
    product = notes.product
    if product is None:
        return where
    on_page = replace(
        product,
        times_opened=min(product.times_opened, 1),
        options=product.options if page.kind == "item" else None,
        features=product.features if notes.sub_page == "features" else None,
        description=product.description if notes.sub_page == "description" else None,
    )
    return replace(notes, products=(on_page,), at_hand=0, clicked=page.clicked)


class Forgetting:
    """Plays as another policy would that sees the notes on the present page only, see `notes_on_page`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @property
    def name(self) -> str:
        """The policy's, and what it lacks."""
        return f"{self.policy.name} without notes"

    @property
    def catalog_sha256(self) -> str | None:
        """Of the policy."""
        return self.policy.catalog_sha256

    @property
    def trained_on(self) -> TrainedOn:
        """Of the policy."""
        return trained_on(self.policy)

    @property
    def knows_goal(self) -> bool:
        """Of the policy."""
        return knows_goal(self.policy)

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """The policy's choices."""
        forgetful: list[Any] = [replace(one, notes=notes_on_page(one.notes, one.page)) for one in decisions]
        return choose(self.policy, forgetful, rngs, greedy=greedy)
