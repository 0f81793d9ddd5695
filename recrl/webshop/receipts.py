"""A purchase against its goal, part by part: what was asked for, what was got, and what each part is worth."""

from collections.abc import Mapping
from dataclasses import dataclass

from recrl.webshop.best_purchase import best_options, best_reward
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import NO_BOUND, Goal
from recrl.webshop.reward import matched_attributes, purchase_reward

FORMULA = "reward = share of the kind x sum of (share x weight) of the other parts"


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """A part of the reward.

    Attributes:
        part: kind, attributes, options or price.
        asked, got: in words.
        share: how much of it is right, from 0 to 1; weight: of that share in the sum, None for the kind, which
            multiplies the sum.
    """

    part: str
    asked: str
    got: str
    share: float
    weight: float | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a purchase earned and why.

    Attributes:
        asin, title, price: of the product bought; options: group -> value, as chosen; reward: from 0 to 1.
        lines: the parts, the kind first.
        best_options, best_reward: what the same product could have earned.
        target_asin, target_title: of the product that was meant.
    """

    asin: str
    title: str
    price: float
    options: Mapping[str, str]
    reward: float
    lines: tuple[ReceiptLine, ...]
    best_options: Mapping[str, str]
    best_reward: float
    target_asin: str
    target_title: str


def make_receipt(catalog: Catalog, goal: Goal, asin: str, options: Mapping[str, str]) -> Receipt:
    """The receipt for buying the product ``asin`` with these options (group -> value).

    Raises:
        CatalogError: the catalogue has no such product.
    """
    product = catalog.product(asin)
    reward, parts = purchase_reward(product, goal, options, product.price)
    kind = "same search category" if parts["query_match"] else "another search category"
    lines = [
        ReceiptLine(
            "kind",
            f"the right kind of product: {goal.query}",
            f"{kind} ({product.query}), title score {parts['title_score']:.2f}",
            float(parts["r_type"]),
            None,
        ),
        ReceiptLine(
            "attributes",
            ", ".join(goal.attributes),
            _had(goal.attributes, [bool(matched_attributes(product, [one])) for one in goal.attributes]),
            float(parts["r_att"]),
            float(parts["w_att"]),
        ),
    ]
    if "r_option" in parts:
        asked = goal.options.items() if isinstance(goal.options, dict) else [("", value) for value in goal.options]
        lines.append(
            ReceiptLine(
                "options",
                ", ".join(f"{name}: {value}".removeprefix(": ") for name, value in asked),
                ", ".join(f"{name}: {value}" for name, value in options.items()) or "none chosen",
                float(parts["r_option"]),
                float(parts["w_option"]),
            )
        )
    bound = "any price" if goal.price_upper == NO_BOUND else f"at most ${goal.price_upper:.2f}"
    lines.append(ReceiptLine("price", bound, f"${product.price:.2f}", float(parts["r_price"]), float(parts["w_price"])))
    return Receipt(
        asin=asin,
        title=product.title,
        price=product.price,
        options=dict(options),
        reward=reward,
        lines=tuple(lines),
        best_options=best_options(product, goal),
        best_reward=best_reward(product, goal),
        target_asin=goal.asin,
        target_title=goal.name,
    )


def _had(wanted: tuple[str, ...], found: list[bool]) -> str:
    has = [one for one, there in zip(wanted, found, strict=True) if there]
    lacks = [one for one, there in zip(wanted, found, strict=True) if not there]
    said = [f"has {', '.join(has)}"] if has else []
    return "; ".join([*said, f"lacks {', '.join(lacks)}"] if lacks else said)
