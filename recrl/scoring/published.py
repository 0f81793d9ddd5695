"""WebShop's published choice models as `BertForChoiceScoring`: the imitation checkpoint ``choice_il_epoch9.pth``, and
the state dict of its reinforcement-learning agent, which has the same layout and a value head.

Strictly: every tensor is placed, or known to be of no use here and named; anything else fails with the list.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recrl.errors import CheckpointError
from recrl.files import replace_folder, sha256_of
from recrl.pretrained import load_tokenizer, refused
from recrl.scoring.config import ChoiceScoringConfig
from recrl.scoring.inputs import PAGE_MARKERS
from recrl.scoring.model import BertForChoiceScoring
from recrl.seals import seal_folder

logger = logging.getLogger(__name__)

TOKENIZER = "bert-base-uncased"
HEADS = {
    "attn.input_linear.weight": "input_linear.weight",
    "attn.memory_linear.weight": "memory_linear.weight",
    "attn.dot_scale": "dot_scale",
    "linear_1.weight": "linear_1.weight",
    "linear_1.bias": "linear_1.bias",
    "linear_2.weight": "linear_2.weight",
    "linear_2.bias": "linear_2.bias",
    "linear_3.0.weight": "value_head.0.weight",
    "linear_3.0.bias": "value_head.0.bias",
    "linear_3.2.weight": "value_head.2.weight",
    "linear_3.2.bias": "value_head.2.bias",
}
LEFT_OUT = {
    r"image_linear\.(weight|bias)": "images are not read",
    r"bert\.pooler\..*": "the scorer does not use the pooler",
    r"bert\.embeddings\.(position_ids|token_type_ids)": "a constant",
}
WRAPPERS = ("state_dict", "model_state_dict", "network", "model")  # keys under which a state dict may lie
PREFIXES = ("module.", "network.")  # what wrappers of a model put in front of its names
MAX_TOKENS = 512  # of the original's states and actions


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file by name, without what wrappers put in front.

    Raises:
        CheckpointError: it cannot be read, or holds something else than tensors.
    """
    with refused(CheckpointError, f"{path} cannot be read as a PyTorch checkpoint of tensors"):
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    for name in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds no state dict; expected tensors by name, such as attn.dot_scale")
    tensors = dict(loaded)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def convert_published(
    source: str | Path,
    output_dir: str | Path,
    *,
    tokenizer: str | Path = TOKENIZER,
    pad_attention: str = "original",
) -> dict[str, str]:
    """Writes a published checkpoint as a scorer with its tokenizer.

    Args:
        source: a file in the layout of ``choice_il_epoch9.pth``.
        output_dir: must not exist.
        tokenizer: of the encoder, by Hub id or folder; the four page markers are added to it.
        pad_attention: "original" scores as the original does, "masked" without its dependence on padding.

    Returns:
        the tensors that were left out, and what was made anew, each with the reason.

    Raises:
        CheckpointError: tensors are missing, unknown or of the wrong shape, or the tokenizer does not fit.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise CheckpointError(f"{output_dir} exists; choose another --output_dir or remove it")
    tensors, sha256 = read_state_dict(source), sha256_of(source)
    logger.info("%s has the SHA-256 %s", source, sha256)
    notes = {name: reason for name in tensors for pattern, reason in LEFT_OUT.items() if re.fullmatch(pattern, name)}
    placed = {HEADS.get(name, name): tensor.float() for name, tensor in tensors.items() if name not in notes}
    has_values = any(name.startswith("value_head.") for name in placed)
    config = ChoiceScoringConfig(
        encoder_config=_encoder_config(placed, source),
        action_features=[],
        similarity=False,
        state_form="full",
        max_state_tokens=MAX_TOKENS,
        max_action_tokens=MAX_TOKENS,
        value_hidden_size=len(placed["value_head.0.weight"]) if "value_head.0.weight" in placed else 128,
        pad_attention=pad_attention,
        base_model="bert-base-uncased",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForChoiceScoring(config).eval()
    _check_placed(placed, model, source, with_values=has_values)
    model.load_state_dict(placed, strict=False)
    if not has_values:
        notes["value_head"] = "not in the file (linear_3); made anew, PPO learns it"
    with refused(
        CheckpointError,
        f"no tokenizer could be loaded from {str(tokenizer)!r}",
        f"Name a folder with that of {TOKENIZER} with --tokenizer_name_or_path",
    ):
        made: Any = load_tokenizer(str(tokenizer))
    made.add_special_tokens({"additional_special_tokens": list(PAGE_MARKERS)})
    if len(made) != config.vocab_size:
        raise CheckpointError(
            f"{source} has embeddings of {config.vocab_size} tokens, the tokenizer {str(tokenizer)!r} with the four "
            f"page markers {len(made)}; name the right one with --tokenizer_name_or_path"
        )
    with replace_folder(output_dir) as temporary:
        model.save_pretrained(temporary)
        made.save_pretrained(temporary)
        seal_folder(temporary, "scorer", command="recrl convert-checkpoint", made_from={Path(source).name: sha256})
    return notes


def _encoder_config(placed: Mapping[str, torch.Tensor], source: str | Path) -> dict[str, Any]:
    """The BERT configuration that the tensors' shapes tell; heads of 64 coordinates, as in every published BERT."""
    layers = {int(found[1]) for name in placed if (found := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))}
    try:
        words = placed["bert.embeddings.word_embeddings.weight"]
        return {
            "model_type": "bert",
            "vocab_size": len(words),
            "hidden_size": words.shape[1],
            "num_hidden_layers": max(layers) + 1,
            "num_attention_heads": max(words.shape[1] // 64, 1),
            "intermediate_size": len(placed["bert.encoder.layer.0.intermediate.dense.weight"]),
            "max_position_embeddings": len(placed["bert.embeddings.position_embeddings.weight"]),
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{source} holds no BERT encoder: {error} is missing") from error


def _check_placed(
    placed: Mapping[str, torch.Tensor], model: BertForChoiceScoring, source: str | Path, *, with_values: bool
) -> None:
    """Raises CheckpointError with the list of all tensors that are missing, unknown or of another shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    needed = {name for name in expected if with_values or not name.startswith("value_head.")}
    needed.discard("value_head.steps_left")  # ours
    names = {ours: theirs for theirs, ours in HEADS.items()}
    wrong = [f"{names.get(name, name)} is missing" for name in sorted(needed - set(placed))]
    wrong += [f"{names.get(name, name)} is unknown" for name in sorted(set(placed) - set(expected))]
    wrong += [
        f"{names.get(name, name)} has shape {tuple(tensor.shape)} instead of {expected[name]}"
        for name, tensor in sorted(placed.items())
        if name in expected and tuple(tensor.shape) != expected[name]
    ]
    if wrong:
        raise CheckpointError(f"{source} is not in the layout of choice_il_epoch9.pth: {'; '.join(wrong)}")
