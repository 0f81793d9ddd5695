"""Imitation: the start of every later stage, learned from demonstrations by cross-entropy on their right actions.

The recipe of WebShop's choice model (arXiv:2207.01206, Section 4.2; arXiv:2408.16032). What deviates: where a teacher
says that several actions are equally right, the loss is that of taking any of them (`recrl.scoring.losses`); pages with
a single action, which teach nothing, are left out; dropout is off; the new heads have a learning rate of their own; and
the weights of the action features, in which the score is linear, are first fitted alone, which is a convex problem
(linear probing, then fine-tuning: arXiv:2202.10054). A hundred demonstrations are too few steps to find them otherwise.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments, set_seed

from recrl.episodes.data import Episode, load_episodes
from recrl.episodes.decisions import LabelledDecision
from recrl.episodes.training_goals import from_config, merged, to_config, training_goals
from recrl.errors import DatasetError
from recrl.progress import tracked
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator, right_mask
from recrl.scoring.losses import best_is_right, right_action_loss
from recrl.scoring.model import BertForChoiceScoring, start_weights
from recrl.training.fields import check_fields, check_machine
from recrl.training.runs import save_result, training_run
from recrl.training.settings.imitation import ImitationArguments, ImitationSettings
from recrl.training.trainers import for_trainer, run_trainer
from recrl.training.tuning import TuningArguments, make_optimizer, prepare_for_training

logger = logging.getLogger(__name__)


@dataclass
class ImitationConfig(ImitationSettings, TrainingArguments):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; transformers' names, with our defaults."""

    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off: the collator reads all."})

    def __post_init__(self) -> None:
        check_fields("imitation", self)
        super().__post_init__()
        check_machine("imitation", self)


def decisions_of(episodes: Sequence[Episode]) -> list[LabelledDecision]:
    """Every decision of the episodes with two valid actions or more, labelled with the actions that its teacher holds
    right; where the step says nothing of them, with the action that was taken, unless the environment refused it.

    Raises:
        DatasetError: no decision has two valid actions or more.
    """
    rows = [
        LabelledDecision(decision, step.right_actions or (step.action_index,))
        for episode in episodes
        for decision, step in zip(episode.decisions(), episode.steps, strict=True)
        if len(step.valid_actions) > 1 and step.accepted
    ]
    if not rows:
        raise DatasetError(
            f"none of the {len(episodes)} episodes holds a page with two valid actions or more; there is nothing to "
            "learn. Collect others with `recrl generate-trajectories`."
        )
    return rows


class ImitationTrainer(Trainer):
    """transformers' Trainer with a learning rate for the heads and the accuracy in its log."""

    args: ImitationConfig

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """See `recrl.training.tuning.make_optimizer`."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self, self.model if model is None else model)
        return self.optimizer

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        right = best_is_right(outputs.log_probs.detach(), inputs["right_mask"]).float()
        self._right = [*getattr(self, "_right", []), right]
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Adds ``accuracy``: the share of decisions since the last log in which a right action scored best."""
        if "loss" in logs and getattr(self, "_right", []):
            logs["accuracy"] = torch.cat([right.cpu() for right in self._right]).mean().item()
            self._right = []
        super().log(logs, *args, **kwargs)


PROBE_RIDGE = 1e-3  # times the squared weights, added to the probe's mean loss
PROBE_BATCH = 64
PROBE_STEPS = 200  # of L-BFGS, at most


@torch.no_grad()
def _probe_data(
    model: BertForChoiceScoring, rows: Sequence[LabelledDecision], collator: ChoiceCollator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (decisions, actions, features), valid mask and right mask (decisions, actions) of all rows."""
    width = max(len(row.decision.valid_actions) for row in rows)
    features, masks = [], []
    starts = range(0, len(rows), PROBE_BATCH)
    for start in tracked(starts, "reading what was demonstrated", len(starts)):
        batch = collator([row.decision for row in rows[start : start + PROBE_BATCH]]).to(model.device)
        found, mask = model(**batch.tensors()).features, batch.valid_mask
        missing = width - mask.shape[1]
        features.append(torch.nn.functional.pad(found.float(), (0, 0, 0, missing)))
        masks.append(torch.nn.functional.pad(mask, (0, missing)))
    return torch.cat(features), torch.cat(masks), right_mask(rows, width).to(model.device)


def chooses(model: BertForChoiceScoring) -> bool:
    """Whether the scorer was trained to choose actions; one that was only trained to judge products was not."""
    if model.match_head is None or model.feature_score is None:
        return True
    weight = model.feature_score.weight
    return not torch.equal(weight, start_weights(model.config).to(weight))


def fit_feature_weights(
    model: BertForChoiceScoring, rows: Sequence[LabelledDecision], collator: ChoiceCollator
) -> float:
    """Fits ``feature_score`` to the demonstrations with everything else as it is, by ridge-penalised cross-entropy; if
    the scorer has them, then ``feature_layers`` with it.

    Returns:
        The mean negative log-likelihood of the fit, without the penalty.
    """
    features, mask, right = _probe_data(model, rows, collator)
    linear, layers = model.feature_score, model.feature_layers
    assert linear is not None
    with torch.no_grad():
        linear.weight.zero_()

    packed = features[mask]  # (actions of all decisions, features)
    nothing = torch.full(mask.shape, -torch.inf, device=features.device)

    def likelihood(score: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        log_probs = nothing.masked_scatter(mask, score(packed)).log_softmax(-1)  # (decisions, actions)
        return right_action_loss(log_probs, right)

    score: Callable[[torch.Tensor], torch.Tensor] = linear
    _minimise(lambda: likelihood(linear), [linear.weight])
    if layers is not None:
        score = lambda numbers: linear(numbers) + layers(numbers)  # noqa: E731
        _minimise(lambda: likelihood(score), [linear.weight, *layers.parameters()])
    with torch.no_grad():
        return likelihood(score).item()


def _minimise(likelihood: Callable[[], torch.Tensor], weights: Sequence[torch.Tensor]) -> None:
    optimizer = torch.optim.LBFGS(weights, max_iter=PROBE_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = likelihood() + PROBE_RIDGE * sum(weight.square().sum() for weight in weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.zero_grad()


def train_imitation(arguments: ImitationArguments, tuning: TuningArguments, config: ImitationConfig) -> Path:
    """Trains a scorer on demonstrations and saves it with its tokenizer in ``config.output_dir``.

    An interrupted run goes on from its last checkpoint and ends with the weights of an uninterrupted one.

    Raises:
        DatasetError, CheckpointError, ConfigError: see the modules that read them.
    """
    by_source = {source: load_episodes(source) for source in arguments.demonstrations}
    episodes = [episode for found in by_source.values() for episode in found]
    if arguments.num_demonstrations is not None:
        if arguments.num_demonstrations > len(episodes):
            raise DatasetError(
                f"num_demonstrations={arguments.num_demonstrations}, but {', '.join(by_source)} holds "
                f"{len(episodes)}; ask for fewer or collect more with `recrl generate-trajectories`"
            )
        episodes = episodes[: arguments.num_demonstrations]
    rows = decisions_of(episodes)
    with training_run("imitation", config, {"arguments": arguments, "tuning": tuning}) as run:
        if run.is_complete:
            return run.folder.path
        set_seed(config.seed)
        if arguments.start_from is not None:
            model, tokenizer = load_scorer(arguments.start_from)
        else:
            model, tokenizer = BertForChoiceScoring.from_encoder(
                arguments.model_name_or_path,
                seed=config.seed,
                action_features=arguments.action_features,
                state_form=arguments.state_form,
                similarity=arguments.similarity,
                max_state_tokens=arguments.max_state_tokens,
                max_action_tokens=arguments.max_action_tokens,
            )
        model.config.catalog_sha256 = episodes[0].catalog_sha256
        earlier = () if arguments.start_from is None else from_config(model.config.trained_on)
        model.config.trained_on = to_config(
            merged(earlier, *(training_goals(found, source) for source, found in by_source.items()))
        )
        collator = ChoiceCollator(tokenizer, model.config)
        is_new = arguments.start_from is None or not chooses(model)
        if arguments.linear_probe and is_new and run.checkpoint is None and model.feature_score is not None:
            loss = fit_feature_weights(model, rows, collator)
            logger.info("a linear fit of the actions' numbers, from which training starts: mean loss %.4f", loss)
        # The value head is learned by PPO only; a parameter without a gradient would stop DDP.
        model.value_head.requires_grad_(False)
        trainer_config = for_trainer(config)
        trainer = ImitationTrainer(
            model=prepare_for_training(model, tuning),
            args=trainer_config,
            train_dataset=rows,
            data_collator=lambda batch: collator.labelled(batch).tensors(),
        )
        trained = run_trainer(trainer, "imitation", run, config)
        accuracies = [entry["accuracy"] for entry in trained["log_history"] if "accuracy" in entry]
        metrics = {
            "method": "imitation",
            "num_demonstrations": len(episodes),
            "num_decisions": len(rows),
            "last_accuracy": accuracies[-1] if accuracies else None,
            "protocol": episodes[0].protocol,
            "catalog_sha256": episodes[0].catalog_sha256,
            "goals_sha256": episodes[0].goals_sha256,
            **trained,
        }
        save_result(trainer, tokenizer, metrics, run)
    return Path(config.output_dir or "")
