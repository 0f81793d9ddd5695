"""Values of YAML files and flags, as the types that a dataclass's annotations name.

Commands and recipes share it, so that one value means the same wherever it is written: ``1e-1``, which YAML takes for a
text, is a number where a number is meant; one value is a list of one where a list is meant; and ``null`` is no value in
flags too.
"""

import importlib
import json
import math
import sys
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

EXPECTED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
}
BOOLEANS = dict.fromkeys(("true", "yes", "on", "t", "y", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "f", "n", "0"), False
)
NULL = "null"
UNFIT = object()  # what a value becomes that is of another type


def convert(hint: Any, value: Any) -> Any:
    """The value that an annotation means by a value of a YAML file or the text of a flag.

    Args:
        hint: a type, or a union: then the first type that fits, from the narrowest to text and to lists.

    Raises:
        ValueError: no type of the annotation fits; the message says what was expected.
    """
    kinds = alternatives(hint)
    if any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds):
        kinds = tuple(kind for kind in kinds if kind is not str)  # which stands for the text of a member
    for kind in sorted(kinds, key=_width):
        converted = _as(kind, value)
        if converted is not UNFIT:
            return converted
    listed = next((kind for kind in kinds if typing.get_origin(kind) in (list, tuple)), None)
    if listed is not None and value is not None and not isinstance(value, (list, tuple, dict)):
        return [convert(typing.get_args(listed)[0], value)]
    raise ValueError(f"{value!r}, expected {' or '.join(dict.fromkeys(_expected(kind) for kind in kinds))}")


def from_flag(hint: Any, text: str) -> Any:
    """The value that an annotation means by a flag's text, in which ``null`` is None where None is allowed.

    Raises:
        ValueError: see `convert`.
    """
    return None if text == NULL and types.NoneType in alternatives(hint) else convert(hint, text)


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)


def _as(kind: Any, value: Any) -> Any:
    """The value as one type, or `UNFIT`."""
    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return next((one for one in typing.get_args(kind) if one is value or str(one) == value), UNFIT)
    if isinstance(origin, type) and issubclass(origin, Enum):
        known = {one.value for one in origin}
        word = "no" if value is False else value  # YAML takes `no` for false
        return word if isinstance(word, str) and word in known else UNFIT
    if origin in (list, tuple) and isinstance(value, (list, tuple)):
        return [convert(typing.get_args(kind)[0], part) for part in value]
    return _SCALARS[origin](value) if origin in _SCALARS else UNFIT


def _none(value: Any) -> Any:
    return value if value is None else UNFIT


def _bool(value: Any) -> Any:
    return value if isinstance(value, bool) else BOOLEANS.get(value.lower(), UNFIT) if isinstance(value, str) else UNFIT


def _number(kind: Callable[[str], Any]) -> Callable[[Any], Any]:
    def convert_number(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return UNFIT
        try:
            number = kind(str(value))
        except ValueError:
            return UNFIT
        return number if math.isfinite(number) else UNFIT

    return convert_number


def _text(value: Any) -> Any:
    return UNFIT if value is None or isinstance(value, (bool, list, tuple, dict)) else str(value)


def _mapping(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return UNFIT
    return value if isinstance(value, dict) else UNFIT


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    types.NoneType: _none,
    bool: _bool,
    int: _number(int),
    float: _number(float),
    dict: _mapping,
    str: _text,
}


def _width(kind: Any) -> int:
    """The narrower a type, the earlier it is tried: text fits almost everything."""
    order = list(_SCALARS)
    return order.index(origin) if (origin := typing.get_origin(kind) or kind) in order else -1


def _expected(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if isinstance(origin, type) and issubclass(origin, Enum):
        return f"one of {', '.join(str(one.value) for one in origin)}"
    return EXPECTED.get(origin, f"a {getattr(origin, '__name__', origin)}")


def find_named(spec: str) -> Any:
    """What ``module:name`` stands for; the module may lie in the working folder.

    Raises:
        ValueError: it cannot be imported; the message says why.
    """
    module, _, name = spec.partition(":")
    working_folder = str(Path.cwd())
    if working_folder not in sys.path:
        sys.path.insert(0, working_folder)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{spec!r} cannot be imported: {error}; expected module:function") from error
