"""The reward of a purchase, as WebShop computes it (arXiv:2207.01206, section 3.2 and appendix A).

    r = r_type * (matched attributes + matched options + [price <= price_upper]) / (attributes + options + 1)

Everything here is a function of its arguments: the nouns of a title belong to the catalogue and are not computed here.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from recrl.webshop.fuzzy import fuzzy_match

# An option that contains one of these words is compared by the first of them, in this order.
COLORS = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy camel camo
caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral cranberry cream
crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass gray green grey heather
indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon mauve merlot midnight mint mocha
multicolor mushroom mustard natural navy nude olive orange peach pewter pink plum purple rainbow red rose royal
rust sand sapphire seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise
violet walnut wheat white wine yellow
""".split()

CATEGORY_SEPARATOR = "›"


class PricedProduct(Protocol):
    """What the reward reads of a product; `recrl.webshop.catalog.Product` has it."""

    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def bullet_points(self) -> Sequence[str]: ...
    @property
    def attributes(self) -> Sequence[str]: ...
    @property
    def query(self) -> str: ...
    @property
    def product_category(self) -> str: ...
    @property
    def nouns(self) -> Sequence[str]: ...


class Wish(Protocol):
    """What the reward reads of a goal; `recrl.webshop.goals.Goal` has it."""

    @property
    def query(self) -> str: ...
    @property
    def product_category(self) -> str: ...
    @property
    def attributes(self) -> Sequence[str]: ...
    @property
    def options(self) -> Mapping[str, str] | Sequence[str]: ...
    @property
    def price_upper(self) -> float: ...
    @property
    def nouns(self) -> Sequence[str]: ...


def purchase_reward(
    product: PricedProduct, goal: Wish, options: Mapping[str, str], price: float
) -> tuple[float, dict[str, float | bool]]:
    """The reward in [0, 1] for buying ``product`` with the chosen ``options`` (group -> value) at ``price`` dollars.

    Returns:
        The reward, and its parts: the share that is right (``r_type``, ``r_att``, ``r_option``, ``r_price``), the
        weight of each share (``w_att``, ``w_option``, ``w_price``, which add up to 1), and what the type's share
        follows from (``query_match``, ``category_match``, ``title_score``). A goal without options has neither
        ``r_option`` nor ``w_option``.
    """
    wanted_options = list(goal.options.items()) if isinstance(goal.options, Mapping) else list(goal.options)
    parts = type_parts(product, goal)
    attributes = matched_attributes(product, goal.attributes)
    chosen = matched_options(list(options.values()), wanted_options)
    affordable = price <= goal.price_upper

    total = len(goal.attributes) + len(wanted_options) + 1
    parts["r_att"] = attributes / len(goal.attributes)
    parts["w_att"] = len(goal.attributes) / total
    if wanted_options:
        parts["r_option"] = chosen / len(wanted_options)
        parts["w_option"] = len(wanted_options) / total
    parts["r_price"] = affordable
    parts["w_price"] = 1 / total
    return (attributes + chosen + affordable) / total * parts["r_type"], parts


def type_parts(product: PricedProduct, goal: Wish) -> dict[str, float | bool]:
    """Whether it is the right kind of product: ``r_type`` of 1, 0.5, 0.1 or 0, and what it follows from."""
    query_match = product.query == goal.query
    category_match = len(category_levels(product.product_category) & category_levels(goal.product_category)) >= 2
    shared_nouns = set(product.nouns) & set(goal.nouns)
    title_score = len(shared_nouns) / len(goal.nouns) if goal.nouns else 0.2
    if title_score == 0:
        r_type = 0.0
    elif title_score < 0.1:
        r_type = 0.1
    elif query_match or category_match or title_score > 0.2:
        r_type = 1.0
    else:
        r_type = 0.5
    return {
        "r_type": r_type,
        "query_match": query_match,
        "category_match": category_match,
        "title_score": title_score,
    }


@functools.lru_cache(maxsize=1 << 16)
def category_levels(category: str) -> frozenset[str]:
    """The distinct levels of a category path such as ``"Home & Kitchen › Bedding"``."""
    return frozenset(level.strip() for level in category.split(CATEGORY_SEPARATOR))


def matched_attributes(product: PricedProduct, wanted: Sequence[str]) -> int:
    """How many of the wanted attributes the product has, in its own attributes or literally in its texts."""
    count = 0
    texts: tuple[str, ...] = ()
    for attribute in wanted:
        if any(fuzzy_match(own, attribute) for own in product.attributes):
            count += 1
            continue
        texts = texts or (
            product.title.lower(),
            " ".join(product.bullet_points).lower(),
            product.description.lower(),
        )
        count += any(attribute in text for text in texts)
    return count


def matched_options(chosen: Sequence[str], wanted: Iterable[str | tuple[str, str]]) -> int:
    """How many of the wanted options some chosen value matches; one value may match several.

    ``wanted`` holds values, or (group, value) pairs, which are compared with the letters of the group included.
    """
    normalized = [color_or_itself(value) for value in chosen]
    return sum(any(fuzzy_match(value, color_or_itself(wish)) for value in normalized) for wish in wanted)


@functools.lru_cache(maxsize=1 << 16)
def color_or_itself(option: str | tuple[str, str]) -> str | tuple[str, str]:
    """The first of COLORS that a text contains, or that is a member of a pair; else the option itself."""
    return next((color for color in COLORS if color in option), option)
