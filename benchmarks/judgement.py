"""What the judgement gains from what it might read or learn from besides: measured on products that it has not met.

    OMP_NUM_THREADS=1 python benchmarks/judgement.py --catalog WEBSHOP_FOLDER --output_json judgement.json

The training products are divided into folds. For each fold and seed the match head is trained as `recrl train
judgement` trains it, on goals whose target is in the other folds, and judges the goals of the fold's products. Test and
dev goals have no part in it. The arms:

- ``literal``: the numbers of `recrl.scoring.evidence`, with goals made for every training product: the experiment's.
- ``no-made-goals``: the catalogue's own goals alone.
- ``late-interaction``: beside them, numbers of the encoder. Every phrase of the wish and every piece of a product (its
  title, each option's value, each bullet, each sentence of the description) is encoded once, mean-pooled; a phrase is
  found in a product as well as in the piece that is most like it by the cosine, as ColBERT compares a query's tokens
  with a passage's (arXiv:2004.12832). The numbers: the mean and the least over the phrases, the same over those
  phrases whose words are not all known literally, and over all in the title alone.
- ``generated``: trained on the goals of the embedded, generated catalogue too, with its own products and wording.

For each arm: how often the product that is judged best is perfect, with what is known of the products (their titles
alone, or all) and how many were found (10 or 50), and the log loss of a product, in thousandths.
"""

import argparse
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from recrl.episodes.notes import NotedProduct
from recrl.evaluation.statistics import difference_interval, mean_interval
from recrl.files import write_json
from recrl.progress import tracked
from recrl.scoring.encoders import default_encoder
from recrl.scoring.evidence import MATCH_FEATURES, evidence_of, match_features
from recrl.scoring.judgement import MatchHead
from recrl.scoring.wishes import Wish, read_wish
from recrl.terminal import quiet_libraries, start_logging
from recrl.training.judgement import judgement_loss, standardise
from recrl.training.judgement_examples import (
    KNOWN,
    Example,
    Search,
    collate,
    drawn_goals,
    known_up_to,
    random_knowledge,
    searches,
)
from recrl.webshop.catalog import load_catalog
from recrl.webshop.goals import WORDINGS
from recrl.webshop.made_goals import made_goals

ARMS = ("literal", "no-made-goals", "late-interaction", "generated")
MEASURES = ((10, 0), (10, len(KNOWN) - 1), (50, len(KNOWN) - 1))  # products found, and what is known of them
_PIECES = re.compile(r"(?<=[.!?])\s+|\n")
BATCH, LISTWISE, MADE_PER_PRODUCT = 64, 0.3, 4  # as in `recrl train judgement` and the experiment


class Pieces:
    """The encodings of phrases and pieces, each text encoded once."""

    def __init__(self, texts: Sequence[str]) -> None:
        source = default_encoder()
        tokenizer, encoder = AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source).eval()
        self.place = {text: place for place, text in enumerate(texts)}
        ids = tokenizer(list(texts), truncation=True, max_length=128)["input_ids"]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))  # texts of a batch have similar lengths
        self.vectors = np.zeros((len(ids), encoder.config.hidden_size), np.float32)
        for start in tracked(range(0, len(order), BATCH), "encoding", len(order) // BATCH):
            some = order[start : start + BATCH]
            batch = tokenizer.pad({"input_ids": [ids[place] for place in some]}, return_tensors="pt")
            with torch.no_grad():
                hidden = encoder(**batch).last_hidden_state
            real = batch["attention_mask"].unsqueeze(-1)
            pooled = (hidden * real).sum(1) / real.sum(1)
            self.vectors[some] = nn.functional.normalize(pooled, dim=-1).numpy()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, hidden) of length 1."""
        return self.vectors[[self.place[text] for text in texts]]


def pieces_of(product: NotedProduct) -> list[tuple[int, str]]:
    """The pieces of a product, each with the place in `KNOWN` of what it is part of."""
    values = [value for group in product.options or () for value in group.values]
    parts = [[product.title], values, (product.features or "").split("\n"), _PIECES.split(product.description or "")]
    return [(level, text.strip()) for level, texts in enumerate(parts) for text in texts if text.strip()]


def phrases_of(wish: Wish) -> list[str]:
    """What is compared with the pieces: the phrases of a wish, or a blank where it has none."""
    return list(wish.phrases) or [" "]


def closeness(wish: Wish, products: Sequence[NotedProduct], encoded: Pieces) -> np.ndarray:
    """(products, kinds of pieces, phrases) the greatest cosine; 0 where a product has no such piece."""
    phrases = encoded(phrases_of(wish))
    found = np.zeros((len(products), len(KNOWN), len(phrases)), np.float32)
    for row, product in enumerate(products):
        pieces = pieces_of(product)
        cosines = encoded([text for _, text in pieces]) @ phrases.T  # (pieces, phrases)
        np.maximum.at(found[row], [level for level, _ in pieces], cosines)
    return found


def similarities(wish: Wish, seen: Sequence[NotedProduct], levels: np.ndarray, close: np.ndarray) -> np.ndarray:
    """(products, 6) the numbers of ``late-interaction``, for what is known of each product."""
    known = np.arange(len(KNOWN))[None] <= levels[:, None]
    best = np.where(known[..., None], close[: len(seen)], 0.0).max(1)  # (products, phrases)
    literal = np.zeros(best.shape, bool)
    for row, product in enumerate(seen):
        words = evidence_of(wish, product).words.any(0)
        for column, run in enumerate(wish.runs[: best.shape[1]]):
            literal[row, column] = words[list(run)].all()
    unknown = np.where(literal, 1.0, best)
    columns = [numbers for of_phrases in (best, unknown, close[: len(seen), 0]) for numbers in _both(of_phrases)]
    return np.stack(columns, axis=1).astype(np.float32)


def _both(of_phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return of_phrases.mean(1), of_phrases.min(1)


def examples_of(
    found: Sequence[Search], variants: int, encoded: Pieces | None, level: int | None = None, hits: int | None = None
) -> list[Example]:
    """Each search ``variants`` times, with the numbers of ``late-interaction`` in the last columns where there are
    encodings; `Example.weight` is left to `weighted`.

    Args:
        level: what is known of all products, None: a random part; hits: products, None: a random number.
    """
    rng, rows = np.random.default_rng(0), []
    for one in tracked(found, "reading what they find", len(found)):
        wish = read_wish(one.instruction)
        close = None if encoded is None else closeness(wish, one.products, encoded)
        for _ in range(variants):
            levels = random_knowledge(len(one.products), rng) if level is None else np.full(len(one.products), level)
            levels = levels[:hits]
            seen = [known_up_to(product, known) for product, known in zip(one.products, levels.tolist(), strict=False)]
            numbers = match_features(wish, seen)
            if close is not None:
                numbers = np.concatenate([numbers, similarities(wish, seen, levels, close)], axis=1)
            rows.append(Example(numbers, one.perfect[: len(seen)], 1.0))
    return rows


def weighted(examples: Sequence[Example], targets: Sequence[str]) -> list[Example]:
    """With the weights of `recrl.training.judgement_examples.make_examples`: a target's together as the root of their
    number.
    """
    _, place, counts = np.unique(targets, return_inverse=True, return_counts=True)
    weights = counts[place] ** -0.5
    return [one._replace(weight=float(weight)) for one, weight in zip(examples, weights / weights.mean(), strict=True)]


def trained(examples: Sequence[Example], seed: int, epochs: int) -> MatchHead:
    """A match head, with the settings of `recrl train judgement`."""
    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    head = MatchHead(examples[0].features.shape[1], 32)
    standardise(head, examples)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(examples) // BATCH))
    for _ in range(epochs):
        places = order.permutation(len(examples))
        for start in range(0, len(places), BATCH):
            batch = collate([examples[place] for place in places[start : start + BATCH]])
            logits = head(batch["features"], batch["mask"])
            optimizer.zero_grad()
            judgement_loss(logits, batch["mask"], batch["perfect"], batch["weights"], LISTWISE).backward()
            optimizer.step()
            scheduler.step()
    return head


@torch.no_grad()
def judged(head: MatchHead, examples: Sequence[Example]) -> np.ndarray:
    """(examples, 2) whether the product that is judged best is perfect, and the mean log loss of the products."""
    rows = []
    for start in range(0, len(examples), 256):
        batch = collate(examples[start : start + 256])
        logits = head(batch["features"], batch["mask"])
        losses = nn.functional.binary_cross_entropy_with_logits(logits, batch["perfect"], reduction="none")
        best = logits.masked_fill(~batch["mask"], -torch.inf).argmax(1, keepdim=True)
        right, mask = batch["perfect"].gather(1, best)[:, 0], batch["mask"]
        rows.append(torch.stack([right, (losses * mask).sum(1) / mask.sum(1)], dim=1).numpy())
    return np.concatenate(rows).astype(float)


@dataclass
class Data:
    """Examples, each with the numbers of all arms in its columns.

    Attributes:
        learned: source of the searches ("own", "made", "generated") -> examples to learn from; targets: of each.
        own: the catalogue's own searches; judged: of `MEASURES` -> an example of each of ``own``.
    """

    learned: dict[str, list[Example]]
    targets: dict[str, list[str]]
    own: list[Search]
    judged: dict[tuple[int, int], list[Example]]


def read_data(catalog: str | None, arms: Sequence[str], variants: int, goals_per_product: int) -> Data:
    """Everything that the arms need, read once."""
    found: dict[str, list[Search]] = {"own": [], "made": [], "generated": []}
    for wording in WORDINGS:
        said = load_catalog(catalog, wording=wording)
        goals = drawn_goals(said, "product", goals_per_product, np.random.default_rng(0))
        found["own"] += searches(said, [said.goals[goal] for goal in goals])
        if set(arms) - {"no-made-goals"}:
            found["made"] += searches(said, made_goals(said, 0, MADE_PER_PRODUCT))
        if "generated" in arms:
            other = load_catalog(wording=wording)
            goals = drawn_goals(other, "product", goals_per_product, np.random.default_rng(0))
            found["generated"] += searches(other, [other.goals[goal] for goal in goals])
    encoded = None
    if "late-interaction" in arms:
        every = [*found["own"], *found["made"], *found["generated"]]
        phrases = (phrase for one in every for phrase in phrases_of(read_wish(one.instruction)))
        products = {product.asin: product for one in every for product in one.products}
        pieces = (piece for product in products.values() for _, piece in pieces_of(product))
        encoded = Pieces(list(dict.fromkeys(itertools.chain(phrases, pieces))))
    return Data(
        learned={source: examples_of(some, variants, encoded) for source, some in found.items()},
        targets={source: [one.target for one in some for _ in range(variants)] for source, some in found.items()},
        own=found["own"],
        judged={
            (hits, level): examples_of(found["own"], 1, encoded, level=level, hits=hits) for hits, level in MEASURES
        },
    )


def cut(examples: Sequence[Example], arm: str) -> list[Example]:
    """The examples with the columns that the arm reads."""
    width = None if arm == "late-interaction" else len(MATCH_FEATURES)
    return [one._replace(features=one.features[:, :width]) for one in examples]


def measure(data: Data, arm: str, folds: int, seeds: int, epochs: int) -> dict[tuple[int, int], np.ndarray]:
    """Of `MEASURES` -> (searches, seeds, 2) as `judged`, each search by heads that have not met its product."""
    targets = sorted({one.target for one in data.own})
    fold_of = dict(zip(np.random.default_rng(0).permutation(targets).tolist(), itertools.cycle(range(folds))))
    sources = {"no-made-goals": ["own"], "generated": ["own", "made", "generated"]}.get(arm, ["own", "made"])
    examples = cut([one for source in sources for one in data.learned[source]], arm)
    of = [target for source in sources for target in data.targets[source]]
    to_judge = {what: cut(rows, arm) for what, rows in data.judged.items()}
    found = {what: np.zeros((len(data.own), seeds, 2)) for what in MEASURES}
    for fold, seed in itertools.product(range(folds), range(seeds)):
        kept = [place for place, target in enumerate(of) if fold_of.get(target) != fold]
        head = trained(weighted([examples[place] for place in kept], [of[place] for place in kept]), seed, epochs)
        held_out = [place for place, one in enumerate(data.own) if fold_of[one.target] == fold]
        for what, rows in to_judge.items():
            found[what][held_out, seed] = judged(head, [rows[place] for place in held_out])
        print(f"{arm}: fold {fold + 1} of {folds}, seed {seed}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", help="folder of the catalogue; without it the embedded one")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--folds", type=int, default=4, help="parts of the training products")
    parser.add_argument("--seeds", type=int, default=3, help="trainings for each fold")
    parser.add_argument("--variants", type=int, default=3, help="how often each goal is shown, with other knowledge")
    parser.add_argument("--goals_per_product", type=int, default=12, help="goals of one product at most")
    parser.add_argument("--num_train_epochs", type=int, default=15, help="passes over the examples")
    parser.add_argument("--output_json", help="file for the numbers")
    arguments = parser.parse_args()
    start_logging()
    quiet_libraries()
    arms = list(dict.fromkeys(["literal", *arguments.arms]))  # the others are compared with it
    data = read_data(arguments.catalog, arms, arguments.variants, arguments.goals_per_product)
    found = {arm: measure(data, arm, arguments.folds, arguments.seeds, arguments.num_train_epochs) for arm in arms}
    clusters = [one.target for one in data.own]
    rows: list[dict[str, Any]] = []
    for arm, (hits, level) in itertools.product(arms, MEASURES):
        outcomes, baseline = found[arm][hits, level], found["literal"][hits, level]
        row = {
            "arm": arm,
            "products_found": hits,
            "known": "all" if level else "titles",
            "best_is_perfect": 100 * outcomes[..., 0].mean(),
            "interval": [100 * end for end in mean_interval(outcomes[..., 0], clusters)],
            "log_loss": outcomes[..., 1].mean(),
            "num_goals": len(clusters),
            "num_products": len(set(clusters)),
        }
        if arm != "literal":
            row["to_literal"] = 100 * (outcomes - baseline)[..., 0].mean()
            row["to_literal_interval"] = [
                100 * end for end in difference_interval(outcomes[..., 0], baseline[..., 0], clusters)
            ]
        rows.append(row)
        print(
            f"{arm:17} {hits:3} found, {row['known']:6} known: {row['best_is_perfect']:.1f} "
            f"[{row['interval'][0]:.1f}, {row['interval'][1]:.1f}], log loss {1000 * row['log_loss']:.1f}/1000"
            + (
                f", to literal {row['to_literal']:+.1f} "
                f"[{row['to_literal_interval'][0]:+.1f}, {row['to_literal_interval'][1]:+.1f}]"
                if arm != "literal"
                else ""
            )
        )
    if arguments.output_json:
        write_json(arguments.output_json, {"settings": vars(arguments), "rows": rows})


if __name__ == "__main__":
    main()
