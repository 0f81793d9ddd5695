"""What of a scorer's encoder is left as it is while the scorer is trained."""

from recrl.errors import ConfigError
from recrl.scoring.encoders import (
    embedding_modules,
    encoder_layers,
)
from recrl.scoring.model import BertForChoiceScoring


def freeze_encoder(
    model: BertForChoiceScoring, *, embeddings: bool = True, num_layers: int = 0, keep_encodings: bool = True
) -> None:
    """Leaves the embeddings and the lowest ``num_layers`` encoder layers as they are during training.

    The dense gradient of a 30,000-row embedding table takes a CPU longer than the layers' own. Where nothing of the
    encoder is trained, its encodings are kept (`BertForChoiceScoring.kept_encodings`) unless ``keep_encodings`` is off:
    training the heads alone encodes each text once, and those of a reading scorer only if no run on this machine has.
    """
    encoder, count = model.bert, model.bert.config.num_hidden_layers
    layers = encoder_layers(encoder)
    if not 0 <= num_layers <= count:
        raise ConfigError(f"num_frozen_layers={num_layers}, but the encoder has {count} layers")
    if not layers and 0 < num_layers < count:
        raise ConfigError(f"num_frozen_layers={num_layers}, but the encoder's layers share weights; use 0 or {count}")
    encoder.requires_grad_(num_layers < count)
    for layer in layers[:num_layers]:
        layer.requires_grad_(False)
    embedding_modules(encoder).requires_grad_(not embeddings)
    frozen = not any(parameter.requires_grad for parameter in encoder.parameters())
    model.kept_encodings = model.new_encodings(keep_on_disk=True) if frozen and keep_encodings else None
