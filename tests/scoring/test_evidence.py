"""Evidence against a plain walk over words; the order of products does not matter, and what is unknown has no words."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.episodes.notes import NotedProduct, Notes
from recrl.scoring.evidence import MATCH_FEATURES, evidence_of, match_features
from recrl.scoring.looks import EXPECTED_OPTIONS, options_left, steps_to_buy, steps_to_open
from recrl.scoring.wishes import named_options, read_wish
from recrl.webshop.pages import OptionGroup
from recrl.webshop.porter import stem

WORDS = ("red", "blue", "soft", "sole", "boots", "hiking", "leather", "seven", "large")
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
groups = st.lists(
    st.tuples(st.sampled_from(("color", "size")), st.lists(texts.filter(bool), min_size=1, max_size=3, unique=True)),
    max_size=2,
    unique_by=lambda group: group[0],
).map(lambda found: tuple(OptionGroup(name, tuple(values)) for name, values in found))


@st.composite
def noted(draw: st.DrawFn, place: int = 0) -> NotedProduct:
    return NotedProduct(
        asin=f"B{place}", title=draw(texts), price_tag=draw(st.sampled_from(("$5.0", "$20.0", "$5.0 to $30.0", ""))),
        page_number=1 + place // 10, place=place % 10, options=draw(st.none() | groups),
        features=draw(st.none() | texts), description=draw(st.none() | texts),
    )  # fmt: skip


lists = st.integers(0, 5).flatmap(lambda size: st.tuples(*(noted(place) for place in range(size))))
wishes = st.tuples(texts, st.sampled_from(("", " under $10"))).map("".join)


def plain(instruction: str, products: tuple[NotedProduct, ...]) -> list[dict[str, float]]:
    """Numbers of `MATCH_FEATURES` word by word, for texts of plain words without filler."""
    bound = 10.0 if "$10" in instruction else None
    wanted = list(dict.fromkeys(stem(word) for word in instruction.replace(" under $10", "").split()))
    said = [stem(word) for word in instruction.replace(" under $10", "").split()]
    pairs = list(dict.fromkeys(itertools.pairwise(said)))

    def stems(text: str | None) -> list[str]:
        return [] if text is None else [stem(word) for word in text.split()]

    def option_texts(product: NotedProduct) -> list[str]:
        return [text for group in product.options or () for text in (group.name, *group.values)]

    def has(product: NotedProduct, word: str) -> bool:
        pieces = [product.title, product.features, product.description, *option_texts(product)]
        return any(word in stems(piece) for piece in pieces)

    def beside(text: str | None, pair: tuple[str, str]) -> bool:
        found = stems(text)
        return pair in itertools.pairwise(found)

    def share(flags: list[bool]) -> float:
        return sum(flags) / len(flags) if flags else 0.0

    rows = []
    for product in products:
        title = stems(product.title)
        price = {"": None, "$20.0": 20.0}.get(product.price_tag, 5.0)
        options = tuple((group.name, group.values) for group in product.options or ())
        named = named_options(read_wish(instruction), options)
        in_values = {word for value in named.values() for word in stems(value)}
        all_pieces = [product.title, product.features, product.description, *option_texts(product)]
        rows.append(
            {
                "title_words": share([word in title for word in wanted]),
                "known_words": share([has(product, word) for word in wanted]),
                "title_pairs": share([beside(product.title, pair) for pair in pairs]),
                "known_pairs": share([any(beside(piece, pair) for piece in all_pieces) for pair in pairs]),
                "named_words": share([word in in_values for word in wanted]),
                "groups_named": len(named) / max(1, len(options)),
                "groups_open": (len(options) - len(named)) / 4,
                "price_fits": 0.0 if bound is None or price is None else 1.0 if price <= bound else -1.0,
                "price_share": 0.0 if bound is None or price is None else min(price / bound, 2.0),
                "reciprocal_rank": 1 / (1 + product.rank),
                "opened": float(product.options is not None),
                "features_read": float(product.features is not None),
                "description_read": float(product.description is not None),
                "foreign_title": share([word not in wanted for word in dict.fromkeys(title)]),
                "found_nowhere": share([not any(has(other, word) for other in products) for word in wanted]),
                "found_elsewhere": share(
                    [not has(product, word) and any(has(other, word) for other in products) for word in wanted]
                ),
                "num_words": len(wanted) / 20,
            }
        )
    for row in rows:
        others = [other["known_words"] for other in rows if other is not row]
        row["lead"] = row["known_words"] - max(others, default=0.0)
    return rows


@settings(max_examples=150, deadline=None)
@given(instruction=wishes, products=lists)
def test_the_numbers_are_those_of_a_plain_walk(instruction: str, products: tuple[NotedProduct, ...]) -> None:
    expected = plain(instruction, products)
    names = tuple(expected[0]) if expected else tuple(MATCH_FEATURES)
    found = match_features(read_wish(instruction), products, names)
    assert found.shape == (len(products), len(names))
    np.testing.assert_allclose(found, [[row[name] for name in names] for row in expected] or found, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(instruction=wishes, products=lists, data=st.data())
def test_the_order_of_products_does_not_matter(
    instruction: str, products: tuple[NotedProduct, ...], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(products))))
    wish = read_wish(instruction)
    found = match_features(wish, products)
    np.testing.assert_allclose(
        match_features(wish, [products[place] for place in order]), found[list(order)], atol=1e-6
    )
    assert np.isfinite(found).all()


@given(instruction=wishes, product=noted())
def test_what_is_not_known_has_no_words(instruction: str, product: NotedProduct) -> None:
    wish = read_wish(instruction)
    unknown = evidence_of(wish, replace(product, options=None, features=None, description=None))
    assert not unknown.words[1:].any()
    assert not unknown.named.any()
    assert (unknown.words[0] == evidence_of(wish, product).words[0]).all()


@pytest.mark.parametrize(
    ("notes", "place", "to_open", "to_buy"),
    [
        (Notes(results_page=1), 0, 1, 3),  # the link, an option, buy
        (Notes(results_page=3), 0, 3, 5),
        (Notes(results_page=1), 1, 1, 2 + EXPECTED_OPTIONS),  # not opened yet
        (Notes(results_page=1, at_hand=0), 0, 0, 2),
        (Notes(results_page=1, at_hand=0, clicked=("red",)), 0, 0, 1),
        (Notes(results_page=1, at_hand=0, sub_page="features"), 0, 1, 3),
        (Notes(results_page=1, at_hand=0, sub_page="features", clicked=("red",)), 1, 3, 4 + EXPECTED_OPTIONS),
    ],
)
def test_steps_are_counted_in_clicks(notes: Notes, place: int, to_open: int, to_buy: int) -> None:
    products = (
        NotedProduct("B1", "boots", "$1", 1, 0, options=(OptionGroup("color", ("red", "blue")),)),
        NotedProduct("B2", "boots", "$1", 1, 1),
    )
    notes = replace(notes, products=products)
    wish = read_wish("red boots")
    assert steps_to_open(notes, products[place]) == to_open
    assert steps_to_buy(wish, notes, products[place]) == to_buy
    assert options_left(wish, notes, products[1]) == []
