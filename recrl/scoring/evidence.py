"""Evidence: which words of a wish stand in what is known of a product, as numbers that know no shop's template.

A word of the wish counts as found in a text if the text has a word of the same stem, two neighbouring words if the text
has them side by side. What is not known yet has no words, and columns of their own say what is known, so that the same
numbers describe a product before and after it was opened and read.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recrl.episodes.notes import NotedProduct
from recrl.scoring.wishes import Groups, Wish, groups_of, named_options, named_value, words_of
from recrl.webshop.prices import lowest_price

SOURCES = ("title", "options", "features", "description")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a product's known texts say to a wish.

    Attributes:
        words: (sources, words) bool, whether the source has the word; pairs: (sources, pairs) the same of neighbours.
        named: (words,) bool, whether the word is part of a named option value.
        groups, groups_named: option groups on offer, and those with a value that the wish names.
        partly: the mean over the groups without a named value of the best share of a value's words in the wish.
        foreign: the share of the title's words that the wish does not have.
    """

    words: np.ndarray
    pairs: np.ndarray
    named: np.ndarray
    groups: int
    groups_named: int
    partly: float
    foreign: float


@functools.lru_cache(maxsize=1 << 16)
def _in_text(wish: Wish, text: str) -> tuple[np.ndarray, np.ndarray]:
    words, pairs = words_of(text)
    return (
        np.array([word in words for word in wish.words], bool),
        np.array([(wish.words[left], wish.words[right]) in pairs for left, right in wish.pairs], bool),
    )


@functools.lru_cache(maxsize=1 << 16)
def _of_options(wish: Wish, groups: Groups) -> tuple[np.ndarray, int, float]:
    """(words,) whether a word is part of a named value; groups with a named value; see `Evidence.partly`."""
    named, wanted = named_options(wish, groups), frozenset(wish.words)
    stems = {stem for value in named.values() for stem in named_value(wish, value).split()}
    partly = []
    for name, values in groups:
        if name not in named:
            shares = [len(words & wanted) / len(words) for value in values if (words := words_of(value)[0])]
            partly.append(max(shares, default=0.0))
    mean = float(np.mean(partly)) if partly else 0.0
    return np.array([word in stems for word in wish.words], bool), len(named), mean


@functools.lru_cache(maxsize=1 << 16)
def evidence(
    wish: Wish,
    title: str,
    options: Groups | None,
    features: str | None,
    description: str | None,
) -> Evidence:
    """The evidence of what is known of a product; None for what is not known."""
    option_text = None if options is None else " | ".join(" | ".join((name, *values)) for name, values in options)
    none = np.zeros(len(wish.words), bool), np.zeros(len(wish.pairs), bool)
    found = [none if text is None else _in_text(wish, text) for text in (title, option_text, features, description)]
    named, num_named, partly = (none[0], 0, 0.0) if options is None else _of_options(wish, options)
    title_words = {word for word in words_of(title)[0] if word[0].isalnum()}
    return Evidence(
        words=np.array([words for words, _ in found]),
        pairs=np.array([pairs for _, pairs in found]).reshape(len(SOURCES), len(wish.pairs)),
        named=named,
        groups=len(options or ()),
        groups_named=num_named,
        partly=partly,
        foreign=len(title_words - set(wish.words)) / max(1, len(title_words)),
    )


def evidence_of(wish: Wish, product: NotedProduct) -> Evidence:
    """The evidence of what was noted of a product."""
    return evidence(wish, product.title, groups_of(product), product.features, product.description)


MATCH_FEATURES = {
    "title_words": "share of the wish's words in the title",
    "known_words": "share of the wish's words in all that is known",
    "title_rare_words": "the same of the title, words weighted by how few of the seen titles have them",
    "known_rare_words": "the same of all that is known",
    "title_pairs": "share of the wish's neighbouring words that the title has side by side",
    "known_pairs": "the same of all that is known",
    "worst_run": "smallest share of a run's words in all that is known",
    "whole_runs": "share of the runs of which every word is known",
    "named_words": "share of the wish's words in option values that it names",
    "groups_named": "share of the option groups with a value that the wish names",
    "groups_open": "option groups without such a value, a quarter each",
    "groups_partly": "mean over those of the best share of a value's words in the wish",
    "price_fits": "1 if the (lowest) price is within the bound, -1 if not, 0 if unknown",
    "price_share": "the price as a share of the bound, at most 2; 0 if unknown",
    "reciprocal_rank": "1 / (1 + rank among the results)",
    "rank": "rank among the results, a fiftieth each",
    "opened": "1 if the options on offer are known",
    "features_read": "1 if the features are known",
    "description_read": "1 if the description is known",
    "foreign_title": "share of the title's words that the wish does not have",
    "lead": "known_words less the most of another product",
    "rare_lead": "known_rare_words less the most of another product",
    "title_lead": "title_words less the most of another product",
    "found_elsewhere": "share of the wish's words that are unknown here and known of another product",
    "found_nowhere": "share of the wish's words that are known of no product",
    "num_words": "the wish's words, a twentieth each",
}


def match_features(
    wish: Wish, products: Sequence[NotedProduct], names: Sequence[str] = tuple(MATCH_FEATURES)
) -> np.ndarray:
    """(products, features) float32, numbers of `MATCH_FEATURES` for each product beside the others."""
    if not products:
        return np.zeros((0, len(names)), np.float32)
    found = [evidence_of(wish, product) for product in products]
    words = np.array([one.words for one in found])  # (products, sources, words)
    pairs = np.array([one.pairs for one in found])  # (products, sources, pairs)
    title, known = words[:, 0], np.any(words, axis=1)  # (products, words)
    rarity = np.log((len(products) + 1) / (title.sum(0) + 0.5)) + 0.1  # (words,)
    rarity = rarity / rarity.sum() if len(rarity) else rarity
    known_words, title_words = _share(known), _share(title)
    known_rare = known @ rarity
    by_run = [known[:, list(run)].mean(1) for run in wish.runs] or [np.zeros(len(products))]
    groups = np.array([one.groups for one in found])
    groups_named = np.array([one.groups_named for one in found])
    prices = np.array([np.nan if (price := lowest_price(one.price_tag)) is None else price for one in products])
    bound = np.nan if wish.bound is None else wish.bound
    ratio = prices / bound if bound else prices * np.nan
    ranks = np.array([product.rank for product in products])
    anywhere = known.sum(0)  # (words,) products with the word
    columns = (  # in the order of `MATCH_FEATURES`
        title_words,
        known_words,
        title @ rarity,
        known_rare,
        _share(pairs[:, 0]),
        _share(np.any(pairs, axis=1)),
        np.min(by_run, 0),
        np.mean(np.array(by_run) == 1, 0),
        _share(np.array([one.named for one in found])),
        groups_named / np.maximum(groups, 1),
        (groups - groups_named) / 4,
        [one.partly for one in found],
        np.nan_to_num(np.sign(1.0 - ratio) + (ratio == 1.0)),
        np.nan_to_num(np.minimum(ratio, 2.0)),
        1 / (1 + ranks),
        ranks / 50,
        [product.options is not None for product in products],
        [product.features is not None for product in products],
        [product.description is not None for product in products],
        [one.foreign for one in found],
        _lead(known_words),
        _lead(known_rare),
        _lead(title_words),
        _share(~known & (anywhere - known > 0)),
        _share(np.broadcast_to(anywhere == 0, known.shape)),
        np.full(len(products), len(wish.words) / 20),
    )
    by_name = dict(zip(MATCH_FEATURES, columns, strict=True))
    return np.stack([np.asarray(by_name[name], np.float32) for name in names], axis=1)


def _share(found: np.ndarray) -> np.ndarray:
    """(products, things) bool -> (products,) the share that is true; 0 of nothing."""
    return found.mean(1) if found.shape[1] else np.zeros(len(found))


def _lead(values: np.ndarray) -> np.ndarray:
    """(products,) each value less the greatest of the others; itself if there are none."""
    if len(values) < 2:
        return values
    best, second = np.sort(values)[[-1, -2]]
    return values - np.where(values == best, np.where((values == best).sum() > 1, best, second), best)
