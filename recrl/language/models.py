"""Causal language models and adapters for them, from a folder or the Hub, with what recrl records beside them."""

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recrl.episodes.training_goals import TrainedOn, from_config, to_config
from recrl.errors import CheckpointError, HubError
from recrl.files import write_json
from recrl.hub import find_source
from recrl.language.prompts import PromptSettings
from recrl.pretrained import load_config, load_tokenizer, refused, without_bars
from recrl.seals import MANIFEST, check_folder

RECORD_FILE = "recrl.json"  # beside the weights of a language model that recrl has trained
ADAPTER_FILE = "adapter_config.json"
ALTERED = (
    "copy it again from where it was made, or train it again; if you changed it on purpose, remove its manifest.json, "
    "and it is read as it is"
)


@dataclass(frozen=True)
class Record:
    """What recrl knows of a language model.

    Attributes:
        prompt: how decisions are told to it; catalog_sha256, trained_on: as of every policy.
        base_model: the model that training began with, as it was named.
        answers: how it was taught to act, one of `recrl.language.choices.ANSWERS`.
        most_words: of each text of the pages that it was shown in conversations with tools; None: all.
    """

    prompt: PromptSettings = field(default_factory=PromptSettings)
    catalog_sha256: str | None = None
    trained_on: TrainedOn = ()
    base_model: str | None = None
    answers: str = "score"
    most_words: int | None = None

    def save(self, folder: str | Path) -> None:
        """Writes it beside the weights."""
        write_json(
            Path(folder) / RECORD_FILE,
            {
                "prompt": asdict(self.prompt),
                "catalog_sha256": self.catalog_sha256,
                "trained_on": to_config(self.trained_on),
                "base_model": self.base_model,
                "answers": self.answers,
                "most_words": self.most_words,
            },
        )


def read_record(source: str | Path) -> Record:
    """The record beside a model; an empty one where there is none, of a model that recrl has not trained.

    Raises:
        CheckpointError: there is no such model, or its record is damaged.
    """
    folder = _find(source)
    with refused(CheckpointError, _expected(source)):
        path = _file(folder, RECORD_FILE)
    if path is None:
        return Record()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            PromptSettings(**found["prompt"]),
            found["catalog_sha256"],
            from_config(found["trained_on"]),
            found["base_model"],
            found.get("answers", "score"),  # of earlier versions, which recorded neither
            found.get("most_words"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is corrupt ({error!r}); train the model again, or download it again") from error


def is_language_model(source: str | Path) -> bool:
    """Whether a folder or Hub id holds a causal language model or an adapter; False too if it cannot be told."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from recrl.scoring.config import ChoiceScoringConfig

    try:
        found = find_source(source)
        if _file(found, ADAPTER_FILE) is not None:
            return True
        config = AutoConfig.from_pretrained(found, trust_remote_code=False)
    except (HubError, OSError, ValueError, KeyError):
        return False
    causal = {name for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _names(names)}
    return not isinstance(config, ChoiceScoringConfig) and bool(causal & set(config.architectures or ()))


def _names(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def load_language_model(source: str | Path, *, device: Any = None, dtype: Any = "auto") -> tuple[Any, Any]:
    """A causal language model, or an adapter on its base model, and the tokenizer.

    Args:
        device: None is the GPU, then Apple's, if there is one.
        dtype: of the weights; "auto" is that in which they are stored.

    Raises:
        CheckpointError: it cannot be loaded, is of another kind, or the adapter does not fit its base; with what to do.
    """
    import torch
    from transformers import AutoModelForCausalLM

    base, adapter = find_weights(source)
    with refused(CheckpointError, _expected(source)), without_bars():
        config = load_config(base)
        model: Any = AutoModelForCausalLM.from_pretrained(base, config=config, dtype=dtype, trust_remote_code=False)
        tokenizer = tokenizer_for(base, adapter, model.get_input_embeddings().num_embeddings)
        if adapter is not None:
            model = _with_adapter(model, adapter, base, source)
    return model.to(torch.device(device or best_device())).eval(), tokenizer


def find_weights(source: str | Path) -> tuple[str, str | None]:
    """Where the weights lie, by folder or Hub id: of the model, and of the adapter if ``source`` is one.

    Raises:
        CheckpointError: they are nowhere, or altered.
    """
    found = _find(source)
    if (Path(found) / MANIFEST).exists():
        check_folder(Path(found), CheckpointError, ALTERED)
    with refused(CheckpointError, _expected(source)):
        adapter = _file(found, ADAPTER_FILE)
        return (found, None) if adapter is None else (_base_of(adapter, source), found)


def _find(source: str | Path) -> str:
    """What to load for a folder or a Hub id; raises CheckpointError if there is no such thing."""
    try:
        return find_source(source)
    except HubError as error:
        raise CheckpointError(f"{_expected(source)}: {error}") from error


def _expected(source: str | Path) -> str:
    return f"expected a causal language model or an adapter for one, by folder or Hub id, got {str(source)!r}"


def tokenizer_for(base: str, adapter: str | None, vocab_size: int) -> Any:
    """The tokenizer beside an adapter if it has one, else that of the base; raises as `load_tokenizer` does."""
    own = adapter is not None and _file(adapter, "tokenizer_config.json") is not None
    return load_tokenizer(adapter if adapter is not None and own else base, vocab_size)


def best_device() -> str:
    """The GPU, then Apple's, then the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _base_of(adapter: Path, source: str | Path) -> str:
    """The base model that an adapter names.

    Raises:
        CheckpointError: it names none, or it is nowhere.
    """
    try:
        named = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
        return find_source(named)
    except HubError as error:
        raise CheckpointError(
            f"{source} is an adapter for {named!r}, which cannot be had: {error}. Put the base model there, or change "
            f"base_model_name_or_path in its {ADAPTER_FILE} and remove its {MANIFEST}, which says what that file was"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{source}: its {ADAPTER_FILE} names no base model; download the adapter again"
        ) from error


def _with_adapter(model: Any, found: str, base: str, source: str | Path) -> Any:
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    fitting = f"{source} is an adapter that does not fit its base model {base}"
    try:
        with warnings.catch_warnings():  # of transformers, about a name that PEFT uses
            warnings.filterwarnings("ignore", ".*is deprecated and will be removed in v6")
            adapted = PeftModel.from_pretrained(model, found)
        saved, used = set(load_peft_weights(found, device="cpu")), set(get_peft_model_state_dict(adapted))
    except (ValueError, RuntimeError, KeyError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if "size mismatch" in line), str(error))
        raise CheckpointError(
            f"{fitting}: {reason.splitlines()[0][:300]}; name the base that it was trained on"
        ) from error
    if saved != used:
        raise CheckpointError(
            f"{fitting}: {len(saved ^ used)} tensors are missing or left over, first {min(saved ^ used)!r}; name the "
            "base that it was trained on"
        )
    return adapted


def _file(source: str | Path, name: str) -> Path | None:
    """A file of a folder or of a Hub repository, None if it has none."""
    from transformers.utils import cached_file

    if Path(source).exists():
        path = Path(source) / name
        return path if path.is_file() else None
    found = cached_file(str(source), name, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def context_length(model: Any) -> int | None:
    """The most tokens that the model can attend to, None if its configuration does not say."""
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return length if isinstance(length, int) else None
