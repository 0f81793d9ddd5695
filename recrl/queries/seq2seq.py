"""Sequence-to-sequence models that write queries: BART and its like as they are, or one made of an encoder.

Of an encoder, both halves are made (Rothe et al., arXiv:1907.12461): the encoder as it is, and a shallow decoder of its
lowest layers. Because pairs are few, what an encoder has no weights for starts near what it will do instead of at
random: attention to the instruction as the same layer's attention to itself, the output's transform as the identity,
and what the last layer reads from the instruction as the words that stand there (`fit_copying`).
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    EncoderDecoderModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from recrl.errors import CheckpointError, ConfigError, HubError
from recrl.hub import find_source
from recrl.pretrained import load_config, load_tokenizer, refused, without_bars
from recrl.scoring.encoders import default_encoder, public_name
from recrl.seals import check_folder

logger = logging.getLogger(__name__)

AGAIN = "copy it again from where it was made, or train it again"
COPY_RIDGE = 0.01  # times the mean square of an encoder output, added to the fit's normal equations
COPY_BATCH, COPY_TEXTS = 64, 1024
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "dropout_rate")


def load_seq2seq(source: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A trained query model, or any sequence-to-sequence model, with its tokenizer.

    Args:
        source: a folder or Hub id.

    Raises:
        CheckpointError: it cannot be loaded, or is no sequence-to-sequence model.
    """
    path = Path(source)
    if path.is_dir() and not (path / "config.json").exists():
        raise CheckpointError(f"{source} has no model (config.json); expected a folder of `recrl train search`")
    what = f"{source} cannot be loaded as a sequence-to-sequence model"
    advice = "Expected a folder of `recrl train search` or a Hub id"
    try:
        found = find_source(source)
    except HubError as error:
        raise CheckpointError(f"{what}: {error}. {advice}") from error
    if Path(found).is_dir():
        check_folder(Path(found), CheckpointError, AGAIN)
    with refused(CheckpointError, what, advice), _without_load_report():
        config = load_config(found)
        with without_bars():
            model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                found, config=config, dtype=torch.float32, trust_remote_code=False
            )
        tokenizer = load_tokenizer(found, model.get_input_embeddings().num_embeddings)
    if isinstance(model, EncoderDecoderModel):
        model.encoder.pooler = None  # the class always makes one, with random weights where none were saved
    return model, tokenizer


@contextlib.contextmanager
def _without_load_report() -> Iterator[None]:
    """Keeps transformers from reporting as missing what is set right after loading."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def new_query_model(
    source: str | None = None, *, texts: Sequence[str], num_decoder_layers: int | None = 2, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model to be trained, without dropout, which costs a CPU half of its speed.

    Args:
        source: a sequence-to-sequence model or a BERT-family encoder, by folder or Hub id; None is MiniLM.
        texts: instructions, from which a model made of an encoder learns what copying a word means.
        num_decoder_layers: of a decoder made of an encoder; None is as many as the encoder has.
        seed: of the weights that the source does not have.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: the encoder has fewer layers.
    """
    source = source or default_encoder()
    try:
        found = find_source(source)
    except HubError as error:
        raise CheckpointError(f"{source} cannot be loaded: {error}") from error
    if Path(found).is_dir():
        check_folder(Path(found), CheckpointError, AGAIN)
    with refused(CheckpointError, f"{source} cannot be loaded"):
        config = load_config(found)
    if config.is_encoder_decoder:
        model, tokenizer = load_seq2seq(found)
    else:
        model, tokenizer = _from_encoder(found, config, num_decoder_layers, seed)
        missed = fit_copying(model, tokenizer, texts)
        logger.info("copying: the encoder's outputs explain %.0f%% of the embeddings", 100 * (1 - missed))
    model.config.base_model = public_name(source)
    for part in (model.config, *(getattr(model.config, name, None) for name in ("encoder", "decoder"))):
        for name in DROPOUTS:
            if hasattr(part, name):
                setattr(part, name, 0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):  # BART keeps its rate as a number
            setattr(module, "dropout", 0.0)  # noqa: B010  (a module's attributes have no declared types)
    return model, tokenizer


def _from_encoder(
    source: str, config: Any, num_decoder_layers: int | None, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if config.model_type != "bert":
        raise CheckpointError(
            f"{source} is a {config.model_type} encoder, of which no decoder can be made; expected a BERT encoder, "
            "or a sequence-to-sequence model such as facebook/bart-base"
        )
    layers = config.num_hidden_layers if num_decoder_layers is None else num_decoder_layers
    if not 1 <= layers <= config.num_hidden_layers:
        raise ConfigError(f"num_decoder_layers={layers}, expected 1 to the encoder's {config.num_hidden_layers}")
    with (
        torch.random.fork_rng(devices=[]),
        _without_load_report(),
        refused(CheckpointError, f"{source} cannot be loaded as a BERT encoder"),
    ):
        torch.manual_seed(seed)
        tokenizer: Any = load_tokenizer(source, config.vocab_size)
        model: Any = EncoderDecoderModel.from_encoder_decoder_pretrained(
            source,
            source,
            encoder_add_pooling_layer=False,
            decoder_num_hidden_layers=layers,
            encoder_trust_remote_code=False,
            decoder_trust_remote_code=False,
        )
    for layer in model.decoder.base_model.encoder.layer:
        layer.crossattention.load_state_dict(layer.attention.state_dict())
    transform = model.decoder.cls.predictions.transform.dense
    torch.nn.init.eye_(transform.weight)
    special = {
        "decoder_start_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for settings in (model.config, model.generation_config):
        for name, value in special.items():
            setattr(settings, name, value)
    return model, tokenizer


@torch.no_grad()
def fit_copying(model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Makes the decoder's last attention to the instruction hand on the words that it attends to.

    Its values become the least-squares map from the encoder's outputs to the embeddings of the tokens at their places,
    a convex problem that a few hundred texts settle; where to attend is left to training.

    Args:
        model: made of a BERT encoder.
        texts: instructions; the first `COPY_TEXTS` are used.

    Returns:
        the share of the embeddings' variance that the map misses.
    """
    table = model.decoder.get_input_embeddings().weight
    outputs, embeddings = [], []
    for start in range(0, min(len(texts), COPY_TEXTS), COPY_BATCH):
        batch = tokenizer(list(texts[start : start + COPY_BATCH]), padding=True, truncation=True, return_tensors="pt")
        batch = batch.to(model.device)
        mask = batch["attention_mask"].bool()
        hidden = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        outputs.append(hidden[mask])  # (tokens, hidden)
        embeddings.append(table[batch["input_ids"][mask]])  # (tokens, hidden)
    inputs, targets = torch.cat(outputs), torch.cat(embeddings)
    mean_input, mean_target = inputs.mean(0), targets.mean(0)
    inputs, targets = inputs - mean_input, targets - mean_target
    gram = inputs.T @ inputs
    ridge = COPY_RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    weights = torch.linalg.solve(gram + ridge, inputs.T @ targets)  # (hidden, hidden)
    missed = (inputs @ weights - targets).square().sum() / targets.square().sum()
    scale = targets.square().mean().sqrt()  # values of mean square 1, as layer norms give them
    attention = model.decoder.base_model.encoder.layer[-1].crossattention
    attention.self.value.weight.copy_(weights.T / scale)
    attention.self.value.bias.copy_(-(mean_input @ weights) / scale)
    torch.nn.init.eye_(attention.output.dense.weight)
    torch.nn.init.zeros_(attention.output.dense.bias)
    return missed.item()
