"""Opening models and tokenizers that others have made. What they bring is read as data: no code of theirs runs.

Every load says ``trust_remote_code=False``: without it transformers asks on the terminal whether to run the code that a
configuration names. Pickled weights are read by transformers as tensors alone (``weights_only=True``).
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recrl.errors import CheckpointError, RecrlError, StorageError
from recrl.files import FULL

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation")  # may name compiled code on the Hub
MIN_VOCABULARY = 0.5  # of the embedding's rows that a tokenizer must name; a few are to spare in many models
REASON_LENGTH = 200  # characters of a library's message that ours repeats


@contextlib.contextmanager
def refused(kind: type[RecrlError], message: str, advice: str = "") -> Iterator[None]:
    """Turns whatever a library raises for a file that it cannot read into an error of ours.

    Around calls of libraries alone: what damaged bytes make of a parser is not foreseeable, so every exception counts.

    Args:
        kind: the error to raise; message: its beginning, which names the file; advice: its end, what to do.

    Raises:
        RecrlError: of that kind; or a StorageError, where the library could not write because the disk is full.
    """
    try:
        yield
    except RecrlError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise StorageError(
                f"{message}: could not write a file beside it or in the cache: {first_line(error)}; free space and run "
                "the same command again"
            ) from error
        end = f". {advice}" if advice else ""
        raise kind(f"{message}: {first_line(error)}{end}") from error


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Keeps transformers from drawing a bar for every load."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """What an error says, shortened, without its full stop."""
    text = " ".join(str(error).strip().split("\n")[0].split())
    if "trust_remote_code" in str(error):
        return "it can only be loaded by running code that comes with it, which recrl never does"
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    return text[:REASON_LENGTH].rstrip(".") or type(error).__name__


def load_config(source: str | Path) -> "PreTrainedConfig":
    """The configuration of a model.

    Raises:
        CheckpointError: it names code to be run, or compiled code on the Hub.
        OSError, ValueError: as transformers says them; see `refused`.
    """
    from transformers import AutoConfig, PreTrainedConfig

    fields, _ = PreTrainedConfig.get_config_dict(str(source))
    for name, value in _kernels(fields):
        raise CheckpointError(
            f"{source} names compiled code on the Hub ({name}={value!r}), which recrl never runs; remove that line of "
            "its config.json to load it without"
        )
    return AutoConfig.from_pretrained(source, trust_remote_code=False)


def _kernels(fields: Any) -> Iterator[tuple[str, Any]]:
    """The settings of a configuration and its parts that name compiled code."""
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            if name in KERNELS and isinstance(value, str) and "/" in value:
                yield name, value
            yield from _kernels(value)


def load_tokenizer(source: str | Path, vocab_size: int | None = None) -> "PreTrainedTokenizerBase":
    """A tokenizer.

    Args:
        vocab_size: rows of the token embeddings of the model that it belongs to.

    Raises:
        CheckpointError: it does not fit the model. Without its vocabulary file transformers makes one that knows
            nothing but special tokens.
        OSError, ValueError: as transformers says them; see `refused`.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if vocab_size is not None and not MIN_VOCABULARY * vocab_size <= len(tokenizer) <= vocab_size:
        raise CheckpointError(
            f"the tokenizer of {source} has {len(tokenizer)} tokens and the model {vocab_size}: its file "
            "(tokenizer.json) is missing or of another model"
        )
    return tokenizer
