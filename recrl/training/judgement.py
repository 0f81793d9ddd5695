"""Training the judgement: is this product, as far as it is known, a perfect purchase for this wish?

The examples are the training goals of a catalogue, each with the products that its plain search finds, of which a
random part is known: some of their titles only, of some the options, the features, the description too. Every product
that the reward calls perfect is right, not only the goal's own. Test and dev products may be found by a search; they
are the target of no goal that is trained on. At the end the probabilities are calibrated on goals of training products
that were held out (Platt 1999).
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainingArguments, set_seed

from recrl.environments.fewer_products import first_targets
from recrl.environments.webshop import as_task
from recrl.episodes.training_goals import TrainingGoals, to_config
from recrl.scoring.checkpoints import save_scorer
from recrl.scoring.evidence import match_features
from recrl.scoring.inputs import PLAIN_FEATURES, READING_FEATURES
from recrl.scoring.judgement import MatchHead
from recrl.scoring.model import BertForChoiceScoring
from recrl.scoring.wishes import read_wish
from recrl.training.fields import check_fields, check_machine
from recrl.training.judgement_examples import (
    KNOWN,
    NUM_HITS,
    Example,
    Search,
    collate,
    drawn_goals,
    known_up_to,
    make_examples,
    searches,
)
from recrl.training.runs import training_run
from recrl.training.settings.judgement import JudgementArguments, JudgementSettings
from recrl.training.trainers import for_trainer, run_trainer
from recrl.webshop.made_goals import made_goals
from recrl.webshop.pages import HITS_PER_PAGE

logger = logging.getLogger(__name__)


@dataclass
class JudgementConfig(JudgementSettings, TrainingArguments):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; transformers' names, with our defaults."""

    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off: the collator reads all."})

    def __post_init__(self) -> None:
        check_fields("judgement", self)
        super().__post_init__()
        check_machine("judgement", self)


def judgement_loss(
    logits: torch.Tensor, mask: torch.Tensor, perfect: torch.Tensor, weights: torch.Tensor, listwise: float
) -> torch.Tensor:
    """The weighted mean of two losses of a search: cross-entropy of each product, a tenth of their sum, and, where one
    is perfect, -log of the probability that a softmax over the products gives to the perfect ones.

    Args:
        logits, mask, perfect: (searches, products); weights: (searches,); listwise: the share of the second.
    """
    each = nn.functional.binary_cross_entropy_with_logits(logits, perfect, reduction="none")
    pointwise = (each * mask).sum(1) / HITS_PER_PAGE
    log_probs = logits.masked_fill(~mask, torch.finfo(logits.dtype).min).log_softmax(1)
    right = log_probs.masked_fill(perfect == 0, torch.finfo(logits.dtype).min).logsumexp(1)
    of_list = torch.where(perfect.sum(1) > 0, -right, 0.0)
    return (((1 - listwise) * pointwise + listwise * of_list) * weights).mean()


class _Judged(nn.Module):
    """The match head with its loss, as the trainer wants it."""

    def __init__(self, head: MatchHead, listwise: float) -> None:
        super().__init__()
        self.head, self.listwise = head, listwise

    def forward(
        self, features: torch.Tensor, mask: torch.Tensor, perfect: torch.Tensor, weights: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        return {"loss": judgement_loss(self.head(features, mask), mask, perfect, weights, self.listwise)}


def standardise(head: MatchHead, examples: Sequence[Example]) -> None:
    """Sets the head's ``mean`` and ``deviation`` to those of the examples."""
    rows = np.concatenate([example.features for example in examples])
    head.mean.copy_(torch.from_numpy(rows.mean(0)))
    head.deviation.copy_(torch.from_numpy(rows.std(0)).clamp(min=1e-2))


@torch.no_grad()
def judged(head: MatchHead, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """(products of all examples,) logits and whether each product is perfect."""
    logits, perfect = [], []
    for start in range(0, len(examples), 256):
        batch = collate(examples[start : start + 256])
        logits.append(head(batch["features"], batch["mask"])[batch["mask"]])
        perfect.append(batch["perfect"][batch["mask"]])
    return torch.cat(logits), torch.cat(perfect)


def calibrate(head: MatchHead, examples: Sequence[Example]) -> None:
    """Fits ``sharpness`` and ``shift`` to examples that the head was not trained on, by maximum likelihood."""
    logits, perfect = judged(head, examples)
    sharpness, shift = torch.ones((), requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([sharpness, shift], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(logits * sharpness + shift, perfect)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        head.shift.copy_(head.shift * sharpness + shift)
        head.sharpness.mul_(sharpness)


RELIABILITY_BINS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0)


def reliability(logits: torch.Tensor, perfect: torch.Tensor) -> list[dict[str, float]]:
    """For each bin of predicted probability the number of products, the mean prediction and the share that is perfect;
    empty bins are left out.
    """
    chances = logits.sigmoid()
    rows = []
    for low, high in itertools.pairwise(RELIABILITY_BINS):
        inside = (chances >= low) & ((chances < high) | (high == 1.0))
        if inside.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "num_products": int(inside.sum()),
                    "predicted": float(chances[inside].mean()),
                    "perfect": float(perfect[inside].mean()),
                }
            )
    return rows


def top_choice(head: MatchHead, found: Sequence[Search], names: Sequence[str], num_hits: int) -> dict[str, float]:
    """How often the product judged best is perfect, %, by what is known of all of the first ``num_hits`` products."""
    shares = {}
    for level, name in enumerate(KNOWN):
        right = []
        for one in found:
            seen = [known_up_to(product, level) for product in one.products[:num_hits]]
            features = torch.from_numpy(match_features(read_wish(one.instruction), seen, names))[None]
            with torch.no_grad():
                best = int(head(features, torch.ones(1, len(seen), dtype=torch.bool)).argmax())
            right.append(one.perfect[best])
        shares[name] = 100 * float(np.mean(right))
    return shares


def train_judgement(arguments: JudgementArguments, config: JudgementConfig) -> Path:
    """Trains the match head of a new scorer and saves the scorer, whose other heads are new, in ``config.output_dir``.

    Raises:
        CatalogError, CheckpointError, ConfigError: see the modules that read them.
    """
    output_dir = Path(config.output_dir or "")
    catalog = arguments.load_catalog()
    with training_run("judgement", config, {"arguments": arguments}) as run:
        if run.is_complete:
            return run.folder.path
        set_seed(config.seed)
        rng = np.random.default_rng([config.seed, 0])
        among = None
        if arguments.num_products is not None:
            among = first_targets(as_task(catalog), "train", arguments.split_by, arguments.num_products)
        goals = drawn_goals(catalog, arguments.split_by, arguments.goals_per_product, rng, among=among)
        found: list[Search] = []
        for wording in arguments.wordings:
            said = arguments.said(wording)
            found += searches(said, [said.goals[index] for index in goals])
            if arguments.made_goals_per_product:
                made = made_goals(said, config.seed, arguments.made_goals_per_product, arguments.split_by, among=among)
                found += searches(said, made)
        targets = sorted({one.target for one in found})
        held_out = set(rng.permutation(targets)[: max(1, round(arguments.held_out_share * len(targets)))].tolist())
        names, variants = arguments.match_features, arguments.variants
        examples = make_examples([one for one in found if one.target not in held_out], names, variants, rng)
        own = {catalog.goals[index].asin for index in goals}
        kept = [one for one in found if one.target in held_out & own]
        calibration = make_examples(kept, names, variants, rng)
        model, tokenizer = BertForChoiceScoring.from_encoder(
            arguments.model_name_or_path,
            seed=config.seed,
            state_form="instruction",
            pool_actions=True,
            action_features=[*PLAIN_FEATURES, *READING_FEATURES],
            match_features=names,
            match_hidden_size=arguments.match_hidden_size,
            feature_hidden_size=arguments.feature_hidden_size,
        )
        model.config.catalog_sha256 = catalog.sha256
        model.config.trained_on = to_config((TrainingGoals.of_split(catalog, "train", arguments.split_by),))
        head = model.match_head
        assert head is not None
        standardise(head, examples)
        trainer_config = for_trainer(config)
        trainer = Trainer(
            model=_Judged(head, arguments.listwise),
            args=trainer_config,
            train_dataset=examples,
            data_collator=collate,
        )
        trained = run_trainer(trainer, "judgement", run, config)
        head.cpu()
        before = judged(head, calibration)
        calibrate(head, calibration)
        after = judged(head, calibration)
        log_loss = nn.functional.binary_cross_entropy_with_logits
        metrics = {
            "method": "judgement",
            "num_goals": len(found),
            "num_held_out_goals": len(kept),
            "wordings": arguments.wordings,
            "num_products": len(targets),
            "num_examples": len(examples),
            "num_labels": sum(len(example.perfect) for example in examples),
            "held_out_log_loss": {
                "before_calibration": float(log_loss(*before)), "after_calibration": float(log_loss(*after))
            },
            "held_out_reliability": reliability(*after),
            "held_out_top_choice": {
                str(hits): top_choice(head, kept, names, hits) for hits in (HITS_PER_PAGE, NUM_HITS)
            },
            "protocol": catalog.protocol(arguments.split_by),
            "catalog_sha256": catalog.sha256,
            "goals_sha256": catalog.goals_sha256,
            **trained,
        }  # fmt: skip
        if config.should_save:
            save_scorer(model.cpu(), tokenizer, output_dir)
            run.complete(metrics)
        trainer.accelerator.wait_for_everyone()
    return output_dir
