"""The half of a scorer that encodes: each distinct text once, in groups of similar length, or from what is kept."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from recrl.scoring.batches import EncodedTexts
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.encoders import new_encoder
from recrl.scoring.encoding_store import Text, default_store
from recrl.scoring.encodings import KeptEncodings
from recrl.scoring.ragged import ranges, similar_lengths


class TextEncodingModel(PreTrainedModel):
    """An encoder, ``bert``, with what is kept of its encodings while it is frozen.

    Shape words: texts, tokens, hidden; of `encode_padded` also decisions and actions, as of `BertForChoiceScoring`.
    """

    config: ChoiceScoringConfig
    config_class = ChoiceScoringConfig

    def __init__(self, config: ChoiceScoringConfig) -> None:
        super().__init__(config)
        self.kept_encodings: KeptEncodings | None = None  # of a frozen encoder, see `recrl.scoring.freezing`
        self.bert = new_encoder(config.encoder())

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Moves or converts the parameters; encodings that were kept are of the old ones."""
        if self.kept_encodings is not None:
            self.kept_encodings.clear()
        return super()._apply(fn, *args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Loads other weights; encodings that were kept are of the old ones."""
        if self.kept_encodings is not None:
            self.kept_encodings.clear()
        return super().load_state_dict(*args, **kwargs)

    def get_input_embeddings(self) -> nn.Module:
        return self.bert.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.bert.set_input_embeddings(value)

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encodes texts in groups of similar length.

        Args:
            ids: (texts, tokens) token ids.
            mask: (texts, tokens) True at real tokens, which come first in each row.

        Returns:
            (real tokens of all texts, hidden), text after text.
        """
        if self.kept_encodings is None:
            return self._encode_groups(ids, mask)
        return torch.cat(self.kept_encodings.states(_texts(ids, mask)))

    def encode_action_batch(self, ids: torch.Tensor, mask: torch.Tensor) -> EncodedTexts:
        """The action texts as `pooled` has them; shapes as in `encode`."""
        if self.kept_encodings is None:
            return self.pooled(EncodedTexts(self._encode_groups(ids, mask), mask.sum(1)))
        return EncodedTexts.of(self.kept_encodings.actions(_texts(ids, mask)))

    def _encode_groups(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.sum(1)
        pieces, rows = [], []
        for chosen in similar_lengths(lengths):
            width = int(lengths[chosen].max())
            part = mask[chosen, :width]
            states = self.bert(ids[chosen, :width], attention_mask=part.long()).last_hidden_state
            pieces.append(states[part])  # (real tokens of this group, hidden)
            rows.append(chosen)
        order = torch.cat(rows)
        starts = lengths[order].cumsum(0) - lengths[order]
        position = torch.empty_like(starts).index_put_((order,), starts)  # (texts,) start of each text in the pieces
        return torch.cat(pieces)[ranges(position, lengths)]

    def encode_texts(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """Token ids of each text -> (tokens, hidden) of each, in the parameters' type, without gradients.

        On a CPU each text is encoded by itself: nothing is padded, and its encoding does not depend, not even in the
        last bit, on which others are encoded with it. On an accelerator all go together.
        """
        device, lengths = self.device, [len(ids) for ids in texts]
        # Not in inference mode, because training may read what is kept, and leaving that mode turns gradients on again.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            if device.type == "cpu":
                return [
                    self.bert(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state[0]
                    for ids in texts
                ]
            ids = torch.zeros(len(texts), max(lengths), dtype=torch.long)
            for row, tokens in enumerate(texts):
                ids[row, : len(tokens)] = torch.tensor(tokens)
            mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
            pieces = self._encode_groups(ids.to(device), mask.to(device)).split(lengths)
            return [piece.clone() for piece in pieces]  # a view would keep the whole batch alive

    def pooled(self, texts: EncodedTexts) -> EncodedTexts:
        """The texts as the config's ``pool_actions`` has them: as they are, or each as the mean of its tokens."""
        if not self.config.pool_actions:
            return texts
        text = torch.arange(len(texts.lengths), device=texts.hidden.device).repeat_interleave(texts.lengths)
        sums = texts.hidden.new_zeros(len(texts.lengths), texts.hidden.shape[1]).index_add_(0, text, texts.hidden)
        return EncodedTexts(sums / texts.lengths[:, None], torch.ones_like(texts.lengths))

    def encode_actions(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """As `encode_texts`, of action texts: (1, hidden) of each where the config's ``pool_actions`` is on."""
        found = self.encode_texts(texts)
        if not self.config.pool_actions or not found:
            return found
        with torch.inference_mode(False), torch.no_grad():
            return [row.clone() for row in self.pooled(EncodedTexts.of(found)).hidden[:, None]]

    def new_encodings(self, *, keep_on_disk: bool) -> KeptEncodings:
        """Keeps encodings of this model in memory and, if they are to be, on the disk; there only those of a scorer
        that reads few and short texts: states that are the instruction alone, and actions pooled.
        """
        comes_back = self.config.state_form == "instruction" and self.config.pool_actions
        actions = self.encode_actions if self.config.pool_actions else None
        store = default_store() if keep_on_disk and comes_back else None
        return KeptEncodings(self.bert, self.encode_texts, actions, store)

    def encode_padded(
        self, ids: torch.Tensor, mask: torch.Tensor, action_index: torch.Tensor, valid_mask: torch.Tensor
    ) -> tuple[EncodedTexts, torch.Tensor]:
        """Encodes every action padded to the longest of its page, keeping what the encoder says at the padding.

        Returns:
            the padded texts, and the rows of ``action_index`` among them.
        """
        lengths = mask.sum(1)  # (texts,)
        widths = torch.where(valid_mask, lengths[action_index], 0).amax(1)  # (decisions,)
        pairs, rows = (
            torch.stack([action_index, widths[:, None].expand_as(action_index)], dim=-1)
            .flatten(0, 1)
            .unique(dim=0, return_inverse=True)
        )  # (padded texts, 2): text and width
        hidden: list[torch.Tensor] = [torch.empty(0)] * len(pairs)
        for width in pairs[:, 1].unique().tolist():
            chosen = (pairs[:, 1] == width).nonzero()[:, 0]
            texts = pairs[chosen, 0]
            states = self.bert(ids[texts, :width], attention_mask=mask[texts, :width].long()).last_hidden_state
            for place, states_of_text in zip(chosen.tolist(), states, strict=True):
                hidden[place] = states_of_text
        padded = pairs[:, 1]
        within = ranges(torch.zeros_like(padded), padded)  # (all tokens,) place within its text
        real = within < lengths[pairs[:, 0]].repeat_interleave(padded)
        return EncodedTexts(torch.cat(hidden), padded, real), rows.view_as(action_index)


def _texts(ids: torch.Tensor, mask: torch.Tensor) -> list[Text]:
    """The token ids of each text, from (texts, tokens) ids and the mask of real tokens."""
    return [tuple(row[:length]) for row, length in zip(ids.tolist(), mask.sum(1).tolist(), strict=True)]
