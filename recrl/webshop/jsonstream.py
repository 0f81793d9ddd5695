"""Reading the items of one huge JSON list or object one by one, plain or gzip, in bounded memory."""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from recrl.errors import CatalogError

CHUNK = 1 << 22  # bytes read at a time
LARGEST_ITEM = 1 << 28  # characters; whatever is longer is taken for damage
_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER_GOES_ON = re.compile(r"[0-9.eE+-]*")
_decoder = json.JSONDecoder()


def stream_list(path: Path, progress: Callable[[float], None] = lambda share: None) -> Iterator[Any]:
    """Yields the items of a file that holds one JSON list.

    Args:
        progress: called with the share of the file that was read, 0 to 1, whenever more of it was.

    Raises:
        CatalogError: the file cannot be read, is truncated or is no JSON list; items before the damage were yielded.
    """
    with _opened(path) as raw:
        text = _Text(path, raw, progress)
        text.begin("list")
        if not text.skips("]"):
            while True:
                yield text.value()
                if not text.skips(","):
                    text.expect("]")
                    break
        text.end()


def stream_object(path: Path) -> Iterator[tuple[str, Any]]:
    """Yields the names and values of a file that holds one JSON object; raises as `stream_list` does."""
    with _opened(path) as raw:
        text = _Text(path, raw)
        text.begin("dict")
        if not text.skips("}"):
            while True:
                name = text.value()
                if not isinstance(name, str):
                    raise text.error(f"expected a name in double quotes, got {name!r:.60}")
                text.expect(":")
                yield name, text.value()
                if not text.skips(","):
                    text.expect("}")
                    break
        text.end()


def _opened(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: object) -> CatalogError:
    return CatalogError(f"{path} cannot be read as JSON ({error}); it may be truncated, fetch it again")


class _Text:
    """A window on the file's text; what was read is dropped."""

    def __init__(self, path: Path, raw: IO[bytes], progress: Callable[[float], None] = lambda share: None) -> None:
        self.path, self.raw, self.progress = path, raw, progress
        self.file = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        self.size = max(path.stat().st_size, 1)
        self.window, self.place, self.dropped, self.is_whole = "", 0, 0, False
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode

    def error(self, what: object) -> CatalogError:
        return _unreadable(self.path, f"{what} at character {self.dropped + self.place}")

    def begin(self, kind: str) -> None:
        """Enters the list or object that the file must hold."""
        if self.skips({"list": "[", "dict": "{"}[kind]):
            return
        raise CatalogError(f"{self.path}: expected a JSON {kind}, got {type(self.value()).__name__}; fetch it again")

    def end(self) -> None:
        """Raises unless nothing but blanks is left."""
        if self._next():
            raise self.error("more than one JSON value")

    def skips(self, character: str) -> bool:
        """Whether this is the next character that is no blank; if so, goes past it."""
        found = self._next() == character
        self.place += found
        return found

    def expect(self, character: str) -> None:
        if not self.skips(character):
            raise self.error(f"expected {character!r}")

    def value(self) -> Any:
        """The next JSON value."""
        self._next()
        while True:
            try:
                value, stop = _decoder.raw_decode(self.window, self.place)
            except ValueError as error:  # damaged, or not yet read to its end
                if self.is_whole or len(self.window) - self.place > LARGEST_ITEM:
                    what = (
                        error.msg.removesuffix(" starting at")
                        if isinstance(error, json.JSONDecodeError)
                        else str(error)
                    )
                    raise self.error(what) from error
            except RecursionError as error:
                raise self.error("lists or objects in one another without end") from error
            else:
                if self.is_whole or _NUMBER_GOES_ON.match(self.window, stop).end() < len(self.window):  # type: ignore[union-attr]
                    self.place = stop
                    return value
            self._read()

    def _next(self) -> str:
        """The next character that is no blank, or nothing at the end."""
        while True:
            self.place = _BLANKS.match(self.window, self.place).end()  # type: ignore[union-attr]
            if self.place < len(self.window):
                return self.window[self.place]
            if self.is_whole:
                return ""
            self._read()

    def _read(self) -> None:
        """Reads on, as much again as is waiting, so that a long value is not decoded too often."""
        waiting = self.window[self.place :]
        try:
            data = self.file.read(max(CHUNK, len(waiting)))
            text = self.decode(data, final=not data)
        except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: no UTF-8
            raise _unreadable(self.path, error) from error
        self.is_whole = not data
        self.progress(1.0 if self.is_whole else self.raw.tell() / self.size)
        self.dropped += self.place
        self.window, self.place = waiting + text, 0
