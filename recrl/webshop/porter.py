"""Porter's stemmer in its author's revised form, the one that Lucene uses.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the three departures listed at
https://tartarus.org/martin/PorterStemmer: ``bli`` becomes ``ble`` (for ``abli`` to ``able``), ``logi`` becomes ``log``,
and words of one or two letters stay as they are. NLTK's `PorterStemmer` in mode MARTIN_EXTENSIONS computes the same
(tested), but importing it takes seconds and hundreds of megabytes, because it loads scikit-learn and pandas.

The paper's words: the measure m of a stem is the number of times that a consonant follows a vowel.
"""

from collections.abc import Sequence

_STEP_2 = """
ational:ate tional:tion enci:ence anci:ance izer:ize bli:ble alli:al entli:ent eli:e ousli:ous ization:ize ation:ate
ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble logi:log
""".split()
_STEP_3 = ["icate:ic", "ative:", "alize:al", "iciti:ic", "ical:ic", "ful:", "ness:"]
_STEP_4 = """
al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize
""".split()


def stem(word: str) -> str:
    """The stem of a lower-cased word; characters other than a, e, i, o, u and y count as consonants."""
    if len(word) <= 2:
        return word
    word = _past_and_progressive(_plural(word))
    if word.endswith("y") and "v" in _shape(word[:-1]):  # step 1c: happy, happi
        word = word[:-1] + "i"
    word = _replace_suffix(word, _STEP_2)
    word = _replace_suffix(word, _STEP_3)
    return _final_e_and_l(_long_suffix(word))


def _shape(text: str) -> str:
    """``text`` with every consonant as ``c`` and every vowel as ``v``; y is a vowel after a consonant."""
    shape: list[str] = []
    for letter in text:
        is_vowel = letter in "aeiou" or (letter == "y" and shape[-1:] == ["c"])
        shape.append("v" if is_vowel else "c")
    return "".join(shape)


def _measure(text: str) -> int:
    """The paper's m."""
    return _shape(text).count("vc")


def _ends_short(text: str) -> bool:
    """The paper's ``*o``: consonant, vowel, consonant at the end, the last one not w, x or y."""
    return _shape(text)[-3:] == "cvc" and text[-1] not in "wxy"


def _ends_double_consonant(text: str) -> bool:
    """The paper's ``*d``."""
    return len(text) > 1 and text[-1] == text[-2] and _shape(text)[-1] == "c"


def _plural(word: str) -> str:
    """Step 1a: caresses, caress; ponies, poni; cats, cat."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past_and_progressive(word: str) -> str:
    """Step 1b: agreed, agree; plastered, plaster; hopping, hop; filing, file."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    if word.endswith("ed"):
        text = word[:-2]
    elif word.endswith("ing"):
        text = word[:-3]
    else:
        return word
    if "v" not in _shape(text):
        return word
    if text.endswith(("at", "bl", "iz")):
        return text + "e"
    if _ends_double_consonant(text):
        return text if text[-1] in "lsz" else text[:-1]
    if _measure(text) == 1 and _ends_short(text):
        return text + "e"
    return text


def _replace_suffix(word: str, rules: Sequence[str]) -> str:
    """Steps 2 and 3: the first ``suffix:replacement`` that fits is applied if what stands before it has m > 0."""
    for rule in rules:
        suffix, _, replacement = rule.partition(":")
        if word.endswith(suffix):
            text = word[: -len(suffix)]
            return text + replacement if _measure(text) > 0 else word
    return word


def _long_suffix(word: str) -> str:
    """Step 4: the first suffix that fits is dropped if what stands before it has m > 1."""
    for suffix in _STEP_4:
        if word.endswith(suffix):
            text = word[: -len(suffix)]
            droppable = _measure(text) > 1 and (suffix != "ion" or text[-1] in "st")
            return text if droppable else word
    return word


def _final_e_and_l(word: str) -> str:
    """Step 5: probate, probat; cease, ceas; controll, control."""
    if word.endswith("e"):
        text = word[:-1]
        measure = _measure(text)
        if measure > 1 or (measure == 1 and not _ends_short(text)):
            word = text
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word
