"""Why an episode failed, told after the fact from its pages and actions and from the goal that was hidden.

A product is perfect for a goal if it earns a reward of 1 with its best options. Each failed episode is of one kind, the
first of these that holds (`recrl.evaluation.failure_types.KINDS`):

1. Nothing was bought. ``looped``: the last action before the limit had been taken before, on an equal page of the same
   product with equal options; ``still_looking``: it had not.
2. The product bought is perfect, so the chosen options are at fault. ``wrong_option``: a group that would have matched
   a wanted option was set to something else; ``missing_option``: it was not set.
3. The product bought is not perfect. ``perfect_opened``: a perfect one had been opened before; ``perfect_shown``: the
   link of one stood on a results page on which the shopper acted; ``perfect_not_shown``: neither, though one is among
   the 50 hits of the plain instruction; ``none_findable``: none is.

Beside its kind every purchase has what it lacks. A wrong product lacks the type, the price, options that it does not
offer, or attributes; of these the shopper could have known from the product's own pages, so that it counts which of
them was not read: the features, or else the description, or none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from recrl.episodes.data import Episode
from recrl.errors import DatasetError
from recrl.evaluation.ceilings import plain_hits
from recrl.evaluation.failure_types import Failure, Lack, PerfectProduct, Purchase, kind_of_wrong_product
from recrl.webshop import actions
from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.catalog import Catalog, Product
from recrl.webshop.goals import Goal
from recrl.webshop.pages import HITS_PER_PAGE, Page
from recrl.webshop.reward import matched_attributes, matched_options, type_parts

TELLING_PAGES = ("features", "description")  # the sub pages with a product's texts


def explain_failure(catalog: Catalog, episode: Episode) -> Failure | None:
    """Why an episode failed; None for a success.

    Raises:
        DatasetError: the episode is of another catalogue or other goals.
    """
    ours, theirs = (catalog.sha256, catalog.goals_sha256), (episode.catalog_sha256, episode.goals_sha256)
    if ours != theirs:
        raise DatasetError(
            f"the episode is of catalogue {theirs[0]:.12} with goals {theirs[1]:.12}, this is {ours[0]:.12} with "
            f"{ours[1]:.12}; open the catalogue that it was played in"
        )
    if episode.success:
        return None
    goal, trail = catalog.goals[episode.goal_index], follow_episode(episode)
    bought: Purchase | None = None
    perfect: PerfectProduct | None = None
    if episode.truncated:
        kind, perfect = "looped" if trail.repeats else "still_looking", _perfect_product(catalog, goal, trail)
    else:
        product = catalog.product(trail.asin)
        if best_reward(product, goal) == 1:
            kind, lacks = _option_at_fault(product, goal, trail.options), _unmatched_options(goal, trail.options)
        else:
            perfect = _perfect_product(catalog, goal, trail)
            kind, lacks = kind_of_wrong_product(perfect), _lacks(product, goal, trail.read[trail.asin])
        bought = Purchase(
            asin=product.asin,
            title=product.title,
            price=product.price,
            options=dict(trail.options),
            lacks=tuple(lacks),
        )
    return Failure(
        goal_index=episode.goal_index,
        target_asin=goal.asin,
        instruction=episode.instruction,
        kind=kind,
        reward=episode.reward,
        bought=bought,
        perfect=perfect,
        actions=tuple(step.action for step in episode.steps),
    )


@dataclass
class Trail:
    """Where a shopper has been; it is filled step by step.

    Attributes:
        shown: asin -> page number and place, from 1, of its link where it was seen first.
        read: asin -> names of its sub pages that were opened; empty for one that was opened only.
        asin: of the product at hand, "" if there is none; options: group -> value chosen there.
        repeats: whether the latest action had been taken before, on an equal page of the same product.
    """

    shown: dict[str, tuple[int, int]] = field(default_factory=dict)
    read: dict[str, list[str]] = field(default_factory=dict)
    asin: str = ""
    options: dict[str, str] = field(default_factory=dict)
    repeats: bool = False

    def act(self, page: Page, action: str) -> None:
        """What an action on a page changes, by the rules of `recrl.webshop.screens.follow`."""
        for place, listed in enumerate(page.listing):
            self.shown.setdefault(listed.asin, (page.page_number or 1, place + 1))
        parsed = actions.parse(action)
        if parsed is None:
            return  # changes nothing
        name = parsed.argument.lower()
        if parsed.verb == actions.SEARCH or name == "back to search" or (page.kind == "item" and name == "< prev"):
            self.asin, self.options = "", {}
        elif page.kind == "results" and (opens := page.place_of(name)) is not None:
            self.asin, self.options = page.listing[opens].asin, {}
            self.read.setdefault(self.asin, [])
        elif page.kind == "item" and (group := page.group_of(name)) is not None:
            self.options = self.options | {group.name: name}
        elif page.kind == "item" and name != "buy now" and name not in self.read[self.asin]:
            self.read[self.asin].append(name)


def follow_episode(episode: Episode) -> Trail:
    """Where the shopper of an episode has been when it ended."""
    trail, taken = Trail(), set()
    for step in episode.steps:
        choice = (step.page, trail.asin, frozenset(trail.options.items()), step.action)
        trail.repeats = choice in taken
        taken.add(choice)
        trail.act(step.page, step.action)
    return trail


def _perfect_product(catalog: Catalog, goal: Goal, trail: Trail) -> PerfectProduct | None:
    """See `recrl.evaluation.failure_types.Failure`."""
    shown = [asin for asin in trail.shown if best_reward(catalog.product(asin), goal) == 1]
    if shown:
        asin = next((asin for asin in shown if asin in trail.read), shown[0])
        page_number, place = trail.shown[asin]
    else:
        hits = plain_hits(catalog, goal)
        rank = next((rank for rank, hit in enumerate(hits) if best_reward(catalog.products[hit], goal) == 1), None)
        if rank is None:
            return None
        asin = catalog.products[hits[rank]].asin
        page_number, place = rank // HITS_PER_PAGE + 1, rank % HITS_PER_PAGE + 1
    product = catalog.product(asin)
    return PerfectProduct(
        asin=asin,
        title=product.title,
        price=product.price,
        page_number=page_number,
        place=place,
        shown=bool(shown),
        opened=asin in trail.read,
        read=tuple(trail.read.get(asin, ())),
    )


def _wishes(goal: Goal) -> list[str | tuple[str, str]]:
    return list(goal.options.items() if isinstance(goal.options, dict) else goal.options)


def _unmatched(goal: Goal, chosen: Iterable[str]) -> list[str | tuple[str, str]]:
    """The wanted options that no chosen value matches."""
    values = list(chosen)
    return [wish for wish in _wishes(goal) if not matched_options(values, [wish])]


def _unmatched_options(goal: Goal, options: dict[str, str]) -> list[Lack]:
    return [
        Lack(what="option", wanted=wish if isinstance(wish, str) else ": ".join(wish))
        for wish in _unmatched(goal, options.values())
    ]


def _option_at_fault(product: Product, goal: Goal, options: dict[str, str]) -> str:
    """Whether a perfect product was bought with a wrong option or without one; wrong if both."""
    unmatched = _unmatched(goal, options.values())
    groups = [group for group, value in best_options(product, goal).items() if matched_options([value], unmatched)]
    return "wrong_option" if any(group in options for group in groups) else "missing_option"


def _lacks(product: Product, goal: Goal, read: list[str]) -> list[Lack]:
    """What a product lacks even with its best options, given which of its sub pages were read."""
    found = []
    if type_parts(product, goal)["r_type"] != 1:
        found.append(Lack(what="type", wanted=f"{goal.query} ({goal.product_category})"))
    if product.price > goal.price_upper:
        found.append(Lack(what="price", wanted=f"at most {goal.price_upper:.2f} dollars"))
    found += _unmatched_options(goal, best_options(product, goal))
    unread = next((name for name in TELLING_PAGES if name not in read), None)
    what = "attribute_read" if unread is None else f"attribute_{unread}_unread"
    missing = [attribute for attribute in goal.attributes if not matched_attributes(product, [attribute])]
    return found + [Lack(what=what, wanted=attribute) for attribute in missing]
