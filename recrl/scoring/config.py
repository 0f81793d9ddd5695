"""The configuration of `recrl.scoring.model.BertForChoiceScoring`."""

import json
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from recrl.errors import ConfigError
from recrl.scoring.encoders import usable_positions
from recrl.scoring.inputs import PLAIN_FEATURES, check_input_options

PAD_ATTENTIONS = ("masked", "original")


@strict
class ChoiceScoringConfig(PreTrainedConfig):
    """Configuration of `BertForChoiceScoring`.

    Attributes:
        encoder_config: the encoder's configuration as a dictionary with its ``model_type``.
        action_features: names from `recrl.scoring.inputs.ACTION_FEATURES`, in the order of the tensor's columns.
        state_form: "compact", "full" or "instruction", see `recrl.scoring.inputs`.
        match_features: names from `recrl.scoring.evidence.MATCH_FEATURES` for the match head; none: no match head.
        match_hidden_size, feature_hidden_size: of the match head, and of the layer between the features and the score;
            0 of the latter leaves the score linear in them.
        pool_actions: whether an action is read as the mean of its tokens, which is quick, instead of token by token.
        similarity: whether the cosine of mean action and mean state token is one more feature.
        max_state_tokens, max_action_tokens: lengths in tokens, special tokens included.
        pad_attention: one of `PAD_ATTENTIONS`.
        base_model: where the encoder's weights came from.
        catalog_sha256: the catalogue that the model was trained on, None before training.
        trained_on: the goals that it and its start were trained on, as `recrl.episodes.training_goals.to_config` writes
            them; None where that is not known.
        values_learned: whether the value head has learned anything, as it does in PPO alone.
    """

    model_type = "choice-scoring"
    auto_map: ClassVar[dict[str, str]] = {}  # the class is registered below, not shipped with the checkpoint

    encoder_config: dict | None = None
    action_features: list[str] | None = None
    state_form: str = "compact"
    similarity: bool = True
    max_state_tokens: int = 256
    max_action_tokens: int = 64
    value_hidden_size: int = 128
    pad_attention: str = "masked"
    match_features: list[str] | None = None
    match_hidden_size: int = 32
    feature_hidden_size: int = 0
    pool_actions: bool = False
    base_model: str | None = None
    catalog_sha256: str | None = None
    trained_on: list[Any] | None = None
    values_learned: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.encoder_config is None:
            self.encoder_config = {"model_type": "bert"}
        if self.action_features is None:
            self.action_features = list(PLAIN_FEATURES)
        if self.match_features is None:
            self.match_features = []
        check_input_options(self.state_form, self.action_features, self.match_features)
        if self.pad_attention not in PAD_ATTENTIONS:
            raise ConfigError(f"pad_attention={self.pad_attention!r}, expected one of {', '.join(PAD_ATTENTIONS)}")
        if self.pool_actions and self.pad_attention == "original":
            raise ConfigError("pool_actions=True leaves no action tokens to pad; use pad_attention='masked' with it")
        super().__post_init__(**kwargs)

    @property
    def hidden_size(self) -> int:
        """The encoder's hidden size."""
        return self.encoder().hidden_size

    @property
    def vocab_size(self) -> int:
        """The number of rows of the encoder's embedding, markers included."""
        return self.encoder().vocab_size

    @property
    def max_positions(self) -> int:
        """The longest text, in tokens, that the encoder can read."""
        return usable_positions(json.dumps(self.encoder_config, sort_keys=True))

    def encoder(self) -> PreTrainedConfig:
        """The encoder's configuration object."""
        settings = dict(self.encoder_config or {})
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
