"""The search analyzer and its stemmer against hand-checked cases, NLTK and Lucene's recorded tokens."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import read_recording
from recrl.webshop.analyzer import _EMOJI_RANGES, STOP_WORDS, analyze
from recrl.webshop.porter import stem


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n", []),
        ("The Running SHOES", ["run", "shoe"]),
        ("women's men’s dogs' kids＇S", ["women", "men", "dog", "kid"]),
        ("the and of", []),
        ('32.5 1,000 16" x 3-4', ["32.5", "1,000", "16", "x", "3", "4"]),
        ("e.g. usb_c _ __ - / %", ["e.g", "usb_c"]),
        ("½ cup", ["cup"]),
        ("١٢٣", ["١٢٣"]),
        ("İstanbul ΣΑΣ", ["istanbul", "σασ"]),  # no contextual lower-casing: the last sigma stays σ
        ("漢字 カタカナ ひら", ["漢", "字", "カタカナ", "ひ", "ら"]),
        ("สวัสดี 한국어", ["สวัสดี", "한국어"]),
        ("aั", ["aั"]),  # a Thai sign on a Latin letter belongs to it
        ("★★ poo💩poo ©", ["★", "★", "poo", "💩", "poo", "©"]),
        ("👨\u200d💼 King", ["👨\u200d💼", "king"]),
        ("a" * 300, ["a" * 255, "a" * 45]),
        ("ส" * 300, ["ส" * 255, "ส" * 45]),
        ("tom's's", ["tom'"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert analyze(text) == tokens


def test_emoji_are_those_of_unicode_15_1() -> None:
    """The number of code points that Extended_Pictographic had up to 15.1; later versions dropped some."""
    bounds = [[int(bound, 16) for bound in item.split("-")] for item in _EMOJI_RANGES.split()]
    assert sum(bound[-1] - bound[0] + 1 for bound in bounds) == 3537


def test_there_are_33_stop_words() -> None:
    assert len(STOP_WORDS) == 33


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r"), max_size=12), max_size=6)
)
def test_blanks_separate(pieces: list[str]) -> None:
    """The pieces between blanks can be analysed one by one, and no token is empty or too long."""
    tokens = analyze(" ".join(pieces))
    assert tokens == [token for piece in pieces for token in analyze(piece)]
    assert all(0 < len(token) <= 255 for token in tokens)


@pytest.mark.parametrize(
    ("word", "stemmed"),
    [
        *[("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("feed", "feed"), ("agreed", "agre")],
        *[("plastered", "plaster"), ("bled", "bled"), ("motoring", "motor"), ("sing", "sing"), ("sized", "size")],
        *[("hopping", "hop"), ("falling", "fall"), ("hissing", "hiss"), ("failing", "fail"), ("filing", "file")],
        *[("happy", "happi"), ("sky", "sky"), ("relational", "relat"), ("conditional", "condit")],
        *[("vietnamization", "vietnam"), ("sensibility", "sensibl"), ("triplicate", "triplic"), ("goodness", "good")],
        *[("replacement", "replac"), ("adjustment", "adjust"), ("adoption", "adopt"), ("homologous", "homolog")],
        *[("probate", "probat"), ("rate", "rate"), ("cease", "ceas"), ("controlling", "control"), ("roll", "roll")],
        *[("us", "us"), ("assembly", "assembl"), ("dermatology", "dermatolog"), ("ing", "ing"), ("syzygy", "syzygi")],
    ],
)
def test_stems_of_the_paper_and_its_departures(word: str, stemmed: str) -> None:
    assert stem(word) == stemmed


SUFFIXES = """
ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti
biliti logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous
ive ize ing ed eed y s es ies sses ll e
""".split()


@settings(deadline=None, derandomize=True)
@given(st.text("abcdefgilnostuwxyzé", max_size=6), st.lists(st.sampled_from(SUFFIXES), max_size=3).map("".join))
def test_stemmer_equals_nltk(root: str, ending: str) -> None:
    porter = pytest.importorskip("nltk.stem.porter")
    reference = porter.PorterStemmer(mode=porter.PorterStemmer.MARTIN_EXTENSIONS)
    assert stem(root + ending) == reference.stem(root + ending, to_lowercase=False)


@pytest.mark.realdata
def test_tokens_equal_the_recorded_ones(golden_dir: Path) -> None:
    records = read_recording(golden_dir / "quirks", "analyzer")
    assert len(records) == 1544
    different = [record["text"] for record in records if analyze(record["text"]) != record["tokens"]]
    assert different == []
