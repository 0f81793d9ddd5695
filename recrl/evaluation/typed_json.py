"""Frozen dataclasses as JSON files with a version, and back with every type checked.

A file says in ``format_version`` how it is laid out. One without it is of version 1, from before there were versions.
"""

import dataclasses
import functools
import json
import reprlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from recrl.errors import DatasetError
from recrl.files import read_text
from recrl.seals import unsealed

FORMAT_VERSION = 3  # is written; earlier ones are read
VERSION_FIELD = "format_version"
SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "null"}

ABSENT_IF_NONE = {"absent_if_none": True}  # metadata of a field that does not appear in JSON where it is None

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """A dataclass as JSON can hold it: an object, with lists for tuples."""
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: to_json(inner)
            for field, inner in fields
            if not (inner is None and field.metadata.get("absent_if_none"))
        }
    if isinstance(value, dict):
        return {name: to_json(inner) for name, inner in value.items()}
    return [to_json(inner) for inner in value] if isinstance(value, (tuple, list)) else value


def from_json(kind: Any, value: Any, where: str = "") -> Any:
    """The value of a type that JSON holds; the opposite of `to_json`.

    Args:
        kind: a dataclass, or what annotates its fields: bool, int, float, str, None, Any, tuples, ``dict[str, ...]``
            and unions of them.
        where: names the value in messages: ``episodes[3].reward``.

    Raises:
        DatasetError: the value is of another type, or a dataclass refuses it.
    """
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _object(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _unexpected(where, value, "an object")
        return {name: from_json(arguments[1], inner, f"{where}.{name}") for name, inner in value.items()}
    if not _is_scalar(kind, value):
        raise _unexpected(where, value, SCALARS[kind])
    return value


def with_version(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a file, behind the version of its layout."""
    return {VERSION_FIELD: FORMAT_VERSION} | fields


def read_versioned(
    kind: type[T],
    path: str | Path,
    *,
    what: str,
    advice: str,
    upgrade: Callable[[dict[str, Any], int], None] = lambda fields, version: None,
) -> T:
    """Reads a file that holds a dataclass in any version so far.

    Args:
        upgrade: gives the fields of an earlier version, in place, the names of the present one; it is called with the
            version, and sees what nobody has checked yet.
        what: names what was expected: "result of `recrl evaluate --output_json`".
        advice: what to do about a damaged file: "evaluate again".

    Raises:
        DatasetError: the file is missing, foreign, of a later version, or damaged.
    """
    if not Path(path).is_file():
        raise DatasetError(f"{path}: no such file; expected a {what}")
    try:
        value = unsealed(json.loads(read_text(path), parse_constant=_refuse_constant))
    except (OSError, ValueError, RecursionError) as error:  # not readable, not UTF-8, not JSON
        raise DatasetError(f"{path} cannot be read as a {what}: {error}; {advice}") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} is no {what}: it holds {reprlib.repr(value)}, expected an object")
    version = value.pop(VERSION_FIELD, 1)
    if not _is_scalar(int, version) or version < 1:
        raise DatasetError(f"{path} has {VERSION_FIELD}={version!r}, expected 1 to {FORMAT_VERSION}; {advice}")
    if version > FORMAT_VERSION:
        raise DatasetError(
            f"{path} has {VERSION_FIELD}={version}, this recrl reads 1 to {FORMAT_VERSION}; update recrl, or {advice}"
        )
    upgrade(value, version)
    missing = _missing(kind, value)
    if missing:
        raise DatasetError(f"{path} is no {what}: it lacks {', '.join(sorted(missing))}; {advice}")
    try:
        return from_json(kind, value)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}; {advice}") from error


def _object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(where, value, "an object")
    hints, prefix = _hints(kind), f"{where}." if where else ""
    missing = _missing(kind, value)
    if missing:
        raise DatasetError(f"{where or 'the file'} lacks {', '.join(sorted(missing))}")
    unknown = value.keys() - hints.keys()
    if unknown:
        raise DatasetError(f"{where or 'the file'} has the unknown fields {', '.join(sorted(unknown))}")
    fields = {name: from_json(hints[name], inner, f"{prefix}{name}") for name, inner in value.items()}
    try:
        return kind(**fields)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}" if where else str(error)) from error


def _missing(kind: Any, value: dict[str, Any]) -> set[str]:
    required = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    return required - value.keys()


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: hint for name, hint in get_type_hints(kind).items() if name in names}


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    scalars = [kind for kind in kinds if kind in SCALARS]
    if any(_is_scalar(kind, value) for kind in scalars):
        return value
    others = [kind for kind in kinds if kind not in SCALARS]
    if others and (isinstance(value, (dict, list)) or scalars == [types.NoneType]):
        return from_json(others[0], value, where)  # a union has one type that is no scalar at most
    raise _unexpected(where, value, " or ".join(SCALARS[kind] for kind in scalars))


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    each = kinds[0] if kinds[-1] is Ellipsis else None
    if not isinstance(value, list) or (each is None and len(value) != len(kinds)):
        raise _unexpected(where, value, "a list" if each is not None else f"a list of {len(kinds)}")
    wanted = kinds if each is None else [each] * len(value)
    return tuple(
        from_json(kind, inner, f"{where}[{place}]")
        for place, (kind, inner) in enumerate(zip(wanted, value, strict=True))
    )


def _is_scalar(kind: Any, value: Any) -> bool:
    """Whether a value is of a scalar type; a whole number is a number too, true and false are none."""
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, (int, float)) and not -sys.float_info.max <= value <= sys.float_info.max:
        return False
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no JSON number")


def _unexpected(where: str, value: Any, expected: str) -> DatasetError:
    return DatasetError(f"{where or 'the file'} is {reprlib.repr(value)}, expected {expected}")
