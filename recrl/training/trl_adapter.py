"""The only module that knows TRL's internals: choice scorers, and decisions of language models, in its DPOTrainer.

**Choice scorers** are presented as language models. One decision is one completion token; the vocabulary is the slots
of the page's valid actions. So a side of a pair is a sequence of a start token and a slot for each of its moves, one
for a pair of actions, several for a pair of episodes, and every loss, reference, metric and checkpoint of TRL works as
it is.

**Language models** need no presenting, but a side of several moves is several prompts with an answer each. They stand
in one sequence whose positions start anew with every prompt; without an attention mask and a cache transformers keeps
such parts from seeing one another, so an answer has the log-probability that it has when it is chosen.

Written against trl 1.16 (pinned in pyproject.toml). What is relied on there, in ``trl/trainer/dpo_trainer.py``:
- every batch key other than ``completion_mask`` and ``ref_*`` reaches the model's ``forward`` untouched;
- ``__init__`` gives the policy and the reference a fused head by the module's name ``add_fused_lm_head``, and the
  losses read `FusedCausalLMOutput` fields of shape (rows, tokens - 1);
- ``_prepare_dataset``, ``_set_signature_columns_if_needed`` and ``_precompute_ref_logps`` are the only readers of the
  dataset's columns.
`check_trl` fails loudly when one of these names is gone.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any

import torch
import trl
import trl.trainer.dpo_trainer as trl_dpo
from transformers import GenerationConfig
from trl import DPOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from recrl.episodes.decisions import Decision
from recrl.preferences.data import row_to_move
from recrl.scoring.collator import ChoiceCollator
from recrl.training.tuning import make_optimizer

READ_COLUMNS = ("chosen_moves", "rejected_moves")
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")
IGNORED_LABEL = -100
LOSS_TYPES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
F_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")


def check_trl() -> None:
    """Raises RuntimeError unless the installed TRL has the names that this module replaces or overrides."""
    absent = [name for name in ("_prepare_dataset", "_set_signature_columns_if_needed", "_precompute_ref_logps",
                                 "create_model_card") if not hasattr(DPOTrainer, name)]  # fmt: skip
    if not hasattr(trl_dpo, "add_fused_lm_head"):
        absent.append("add_fused_lm_head")
    elif "fused_lm_head=True" not in inspect.getsource(DPOTrainer):
        absent.append("fused_lm_head=True")
    if absent:
        raise RuntimeError(
            f"trl {trl.__version__} no longer has {', '.join(absent)}, on which recrl/training/trl_adapter.py relies; "
            "install trl>=1.16,<1.17"
        )


class SideCollator:
    """Turns rows of tokenised sides into a DPO batch; the first half of its rows is chosen, the second rejected.

    A row has for each side ``_ids``, ``_positions`` (from 0 in every prompt) and ``_mask`` (1 at answers). The tensors:
    ``input_ids``, ``position_ids``, ``attention_mask``, ``completion_mask``, all (rows, tokens), padded at the end.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, pairs: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        sides = [(pair, side) for side in ("chosen", "rejected") for pair in pairs]
        width = max(len(pair[f"{side}_ids"]) for pair, side in sides)
        shape = (len(sides), width)  # (rows, tokens)
        batch = {
            "input_ids": torch.full(shape, self.pad_token_id),
            "position_ids": torch.arange(width).repeat(len(sides), 1),
            "attention_mask": torch.zeros(shape, dtype=torch.long),  # counts tokens in the metric num_tokens
            "completion_mask": torch.zeros(shape, dtype=torch.long),
        }
        for row, (pair, side) in enumerate(sides):
            length = len(pair[f"{side}_ids"])
            batch["input_ids"][row, :length] = torch.tensor(pair[f"{side}_ids"])
            batch["position_ids"][row, :length] = torch.tensor(pair[f"{side}_positions"])
            batch["position_ids"][row, length:] = (
                batch["position_ids"][row, length - 1] + 1 + torch.arange(width - length)
            )
            batch["attention_mask"][row, :length] = 1
            batch["completion_mask"][row, :length] = torch.tensor(pair[f"{side}_mask"])
        for name in REFERENCE_COLUMNS:
            if name in pairs[0]:
                batch[name] = torch.tensor([pair[name] for pair in pairs])
        return batch


class PairCollator:
    """Turns preference rows into a DPO batch; the first half of its rows is chosen, the second rejected.

    The tensors: ``input_ids``, ``attention_mask`` and ``completion_mask`` (rows, tokens) with the slots as token ids
    behind a start token, padded at the end; ``decision_index`` (rows, tokens) naming each token's decision; and the
    tensors of `ChoiceCollator`. A decision that several rows share, as the two sides of a pair of actions do, and those
    of two episodes as long as they go the same way, is scored once.
    """

    def __init__(self, collator: ChoiceCollator) -> None:
        self.collator = collator

    def __call__(self, pairs: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        sides = [[row_to_move(move) for move in pair[side]] for side in READ_COLUMNS for pair in pairs]
        decisions: dict[Decision, int] = {}
        width = 1 + max(map(len, sides))
        ids, mask, index = (torch.zeros(len(sides), width, dtype=torch.long) for _ in range(3))  # (rows, tokens)
        for row, moves in enumerate(sides):
            for token, move in enumerate(moves, start=1):
                ids[row, token], mask[row, token] = move.action_index, 1
                index[row, token] = decisions.setdefault(move.decision, len(decisions))
        batch = {
            "input_ids": ids,
            "attention_mask": mask,  # counts decisions in the metric num_tokens
            "completion_mask": mask.clone(),
            "decision_index": index,
            **self.collator(list(decisions)).tensors(),
        }
        for name in REFERENCE_COLUMNS:
            if name in pairs[0]:
                batch[name] = torch.tensor([pair[name] for pair in pairs])
        return batch


def fused_output(
    log_probs: torch.Tensor, valid_mask: torch.Tensor, labels: torch.Tensor, decision_index: torch.Tensor
) -> FusedCausalLMOutput:
    """What TRL's losses and metrics read.

    Args:
        log_probs: (decisions, actions) fp32, -inf where there is no action; valid_mask: same shape.
        labels: (rows, tokens) slots, `IGNORED_LABEL` where there is none; decision_index: same shape.

    Returns:
        fields of shape (rows, tokens - 1), 0 at ignored labels. ``mean_logits`` is the mean log-probability of the
        page's actions, which differs from a mean score by the log-normaliser.
    """
    labels, decision = labels[:, 1:], decision_index[:, 1:]  # (rows, tokens - 1)
    mask = labels != IGNORED_LABEL
    chosen = labels.clamp(min=0)
    token_log_probs = log_probs[decision, chosen].masked_fill(~mask, 0)
    with torch.no_grad():
        finite = log_probs.masked_fill(~valid_mask, 0)
        by_decision = {
            "entropy": -(log_probs.exp() * finite).sum(-1),
            "log_sum_sq_probs": (2 * log_probs).logsumexp(-1),
            "mean_logits": finite.sum(-1) / valid_mask.sum(-1),
        }
        fields = {name: values[decision].masked_fill(~mask, 0) for name, values in by_decision.items()}
        is_top1 = (log_probs.argmax(-1)[decision] == chosen) & mask
    loss = -token_log_probs.sum() / mask.sum().clamp(min=1)
    return FusedCausalLMOutput(loss=loss, log_probs=token_log_probs, is_top1=is_top1, label_mask=mask, **fields)


def add_choice_head(model: Any, outputs: tuple[str, ...] = ()) -> None:
    """Takes the place of TRL's ``add_fused_lm_head``: ``model(..., fused_lm_head=True)`` returns `fused_output`.

    Every field is always computed, so ``outputs`` is not read.
    """
    score = model.forward

    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        labels: torch.Tensor | None = None,
        decision_index: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **tensors: Any,
    ) -> Any:
        if not fused_lm_head:
            return score(*args, **tensors)
        if labels is None or decision_index is None:
            raise ValueError("fused_lm_head=True needs labels and decision_index; use PairCollator")
        log_probs = score(*args, **tensors).log_probs
        return fused_output(log_probs, tensors["valid_mask"], labels, decision_index)

    model.forward = MethodType(forward, model)


@contextlib.contextmanager
def _choice_heads() -> Iterator[None]:
    """While active, TRL gives its models `add_choice_head` instead of a fused LM head."""
    original = trl_dpo.add_fused_lm_head
    trl_dpo.add_fused_lm_head = add_choice_head  # type: ignore[assignment]
    try:
        yield
    finally:
        trl_dpo.add_fused_lm_head = original


class ChoiceDPOTrainer(DPOTrainer):
    """TRL's DPOTrainer on a `BertForChoiceScoring` and rows of `recrl.preferences.builders`.

    Args:
        model: the policy; its checkpoints are plain `BertForChoiceScoring` ones.
        tokenizer: the policy's, saved with every checkpoint.
        ref_model, args, train_dataset, eval_dataset, callbacks, peft_config: as in DPOTrainer. ``args`` has
            ``head_learning_rate`` beside TRL's fields.
    """

    def __init__(self, model: Any, tokenizer: Any, **settings: Any) -> None:
        check_trl()
        model.generation_config = GenerationConfig()  # DPOTrainer writes the padding token's id into it
        with _choice_heads():
            super().__init__(
                model=model,
                processing_class=tokenizer,
                data_collator=PairCollator(ChoiceCollator(tokenizer, model.config)),
                **settings,
            )
        del model.generation_config

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """The collator reads the rows as they are."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = [*READ_COLUMNS, *REFERENCE_COLUMNS]

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's precomputing, unless the rows bring their reference log-probabilities along."""
        if all(name in dataset.column_names for name in REFERENCE_COLUMNS):
            return dataset
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """See `recrl.training.tuning.make_optimizer`."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self, self.model if model is None else model)
        return self.optimizer

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: TRL's card is about a causal language model. `recrl.publishing.push` writes the card."""


SIDE_COLUMNS = tuple(f"{side}_{part}" for side in ("chosen", "rejected") for part in ("ids", "positions", "mask"))


def _drop_attention_mask(model: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Padding stands behind what is scored, where causal attention does not look; the positions say the rest."""
    return args, kwargs | {"attention_mask": None}


class LanguageDPOTrainer(DPOTrainer):
    """TRL's DPOTrainer on a causal language model and rows that `SideCollator` reads.

    Args:
        model, tokenizer: the policy.
        ref_model, args, train_dataset, callbacks, peft_config: as in DPOTrainer.
    """

    def __init__(self, model: Any, tokenizer: Any, *, ref_model: Any = None, **settings: Any) -> None:
        check_trl()
        if ref_model is not None:
            ref_model.register_forward_pre_hook(_drop_attention_mask, with_kwargs=True)
        super().__init__(
            model=model,
            ref_model=ref_model,
            processing_class=tokenizer,
            data_collator=SideCollator(tokenizer.pad_token_id),
            **settings,
        )
        policy: Any = self.model
        policy.register_forward_pre_hook(_drop_attention_mask, with_kwargs=True)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """The rows are tokenised already."""
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = [*SIDE_COLUMNS, *REFERENCE_COLUMNS]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes nothing; `recrl.publishing.push` writes the card."""
