"""Foreign text in Markdown: names, protocols and settings that must not become HTML, links, tables or headings."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_STRUCTURE = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)")  # underscores at the edges of words only


class Fields(dict[str, Any]):
    """Escaped fields; asked for one that is not there, they say so instead of giving nothing."""

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"{name!r} is missing")  # a KeyError would be an empty text to Jinja


def escaped(value: Any) -> Any:
    """A value with every text in it on one line and its Markdown characters as references such as ``&#124;``.

    Mappings become `Fields`, sequences lists; numbers, booleans and None stay as they are.
    """
    if isinstance(value, str):
        return _STRUCTURE.sub(lambda found: f"&#{ord(found[0])};", one_line(value))
    if isinstance(value, Mapping):
        return Fields({str(escaped(str(name))): escaped(inner) for name, inner in value.items()})
    if isinstance(value, Sequence):
        return [escaped(inner) for inner in value]
    return value


def one_line(text: str) -> str:
    """The text with every run of white space as one blank."""
    return " ".join(text.split())


def code_span(text: str) -> str:
    """The text as inline code, fenced by more backticks than it has in a row."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def python_string(text: str) -> str:
    """The text as a Python literal on one line."""
    return json.dumps(text, ensure_ascii=False)
