"""The typed batches between the collator and the scorer. Shape words as in `recrl.scoring.model`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch


@dataclass(frozen=True, slots=True)
class ChoiceBatch:
    """Decisions as the tensors of `recrl.scoring.model.BertForChoiceScoring`.

    Attributes:
        state_ids: (states, tokens) token ids of the distinct states; state_mask: same shape, True at real tokens.
        action_ids, action_mask: (texts, tokens) the same of the distinct action texts.
        state_index: (decisions,) each decision's row of ``state_ids``.
        action_index: (decisions, actions) rows of ``action_ids``; valid_mask: same shape, True at valid actions.
        action_features: (decisions, actions, features) in the order of the config's ``action_features``.
        steps_left: (decisions,) actions that may still be taken, the one to be chosen included.
        product_features: (decisions, products, features) in the order of the config's ``match_features``, None without
            a match head; product_mask: (decisions, products) True at products; product_steps: (decisions, products, 2)
            as `recrl.scoring.inputs.ProductInputs` has them; action_product: (decisions, actions) each action's
            product, -1 where there is none.
        right_mask: (decisions, actions) True at the right actions; None where none are known.
    """

    state_ids: torch.Tensor
    state_mask: torch.Tensor
    action_ids: torch.Tensor
    action_mask: torch.Tensor
    state_index: torch.Tensor
    action_index: torch.Tensor
    valid_mask: torch.Tensor
    action_features: torch.Tensor
    steps_left: torch.Tensor
    product_features: torch.Tensor | None = None
    product_mask: torch.Tensor | None = None
    product_steps: torch.Tensor | None = None
    action_product: torch.Tensor | None = None
    right_mask: torch.Tensor | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name, as the model's ``forward`` and the trainers take them; without an absent mask."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def to(self, device: torch.device | str) -> "ChoiceBatch":
        """The same batch on a device."""
        return ChoiceBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


class EncodedTexts(NamedTuple):
    """Encoded texts, one after the other.

    Attributes:
        hidden: (tokens of all texts, hidden).
        lengths: (texts,) tokens of each.
        real: (tokens of all texts,) False at padding that only the attention over action tokens counts; None where no
            padding was kept.
    """

    hidden: torch.Tensor
    lengths: torch.Tensor
    real: torch.Tensor | None = None

    @classmethod
    def of(cls, texts: Sequence[torch.Tensor]) -> "EncodedTexts":
        """Texts that were encoded one by one, (tokens, hidden) of each."""
        return cls(torch.cat(list(texts)), torch.tensor([len(text) for text in texts], device=texts[0].device))


class Choices(NamedTuple):
    """Which texts each decision is made of; see `ChoiceBatch` for the shapes."""

    state_index: torch.Tensor
    action_index: torch.Tensor
    valid_mask: torch.Tensor
    action_features: torch.Tensor | None = None
    steps_left: torch.Tensor | None = None
    products: "SeenProducts | None" = None

    def rows(self, chosen: torch.Tensor, num_actions: int) -> "Choices":
        """The decisions ``chosen``, (rows,), with their first ``num_actions`` slots."""
        features, steps_left, products = self.action_features, self.steps_left, self.products
        return Choices(
            self.state_index[chosen],
            self.action_index[chosen, :num_actions],
            self.valid_mask[chosen, :num_actions],
            None if features is None else features[chosen, :num_actions],
            None if steps_left is None else steps_left[chosen],
            None if products is None else products.rows(chosen, num_actions),
        )


class SeenProducts(NamedTuple):
    """The products that were seen; see `ChoiceBatch` for the shapes."""

    features: torch.Tensor
    mask: torch.Tensor
    steps: torch.Tensor
    of_action: torch.Tensor

    def rows(self, chosen: torch.Tensor, num_actions: int) -> "SeenProducts":
        """Those of the decisions ``chosen``, (rows,), with their first ``num_actions`` slots."""
        return SeenProducts(
            self.features[chosen], self.mask[chosen], self.steps[chosen], self.of_action[chosen, :num_actions]
        )
