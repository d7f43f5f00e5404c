"""JSON documents of very many entries read back, an entry at a time.

So that neither their text nor what it says is held whole: of both there is several times as much as
of what is made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
#: Takes an entry's name, or its number in a list, and its value; returns what is held of it.
Take: TypeAlias = Callable[[Any, Any], Any]

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")
#: What may stand behind a value.
_BEHIND = frozenset(",:]} \t\n\r")
#: Bytes that are text at a time.
WINDOW = 256 << 10


def gathered(data: bytes, takes: Mapping[Path, Take], window: int = WINDOW) -> Any:
    """Return what `json.loads` does, but for the entries of some of its objects and lists.

    Those that lie at the paths of ``takes``, by names, hold what that makes of each entry. So many
    bytes are text at a time as the ``window`` has, unless an entry has more.

    Raises
    ------
    ValueError
        When this is no JSON.
    RecursionError
        When it is nested too deep.
    """
    if not data.isascii() or b"\0" in data[:4]:
        # Not as `parchunk.metadata.spreading` writes it: perhaps in UTF-16.
        return _taken(json.loads(data), takes, ())
    reading = _Reading(data, takes, window)
    document = reading.value(())
    if reading.next():
        raise ValueError("there is more behind the document")
    return document


def _taken(value: Any, takes: Mapping[Path, Take], path: Path) -> Any:
    """Return a value at a path with what is taken of it."""
    take = takes.get(path)
    if isinstance(value, dict):
        if take is not None:
            return {name: take(name, entry) for name, entry in value.items()}
        return {name: _taken(entry, takes, (*path, name)) for name, entry in value.items()}
    if isinstance(value, list) and take is not None:
        return [take(number, entry) for number, entry in enumerate(value)]
    return value


class _Reading:
    """A document as far as it is read."""

    def __init__(self, data: bytes, takes: Mapping[Path, Take], window: int) -> None:
        self._data, self._takes, self._window = data, takes, window
        self._above = {path[:depth] for path in takes for depth in range(len(path) + 1)}
        #: The bytes from ``_begin`` to ``_end`` are text, of which those to ``_at`` are read.
        self._begin = self._end = self._at = 0
        self._text = ""
        self._show(window)

    def value(self, path: Path) -> Any:
        """Return the value that is next, which lies at a path."""
        opened = self.next()
        if path not in self._above or opened not in ("{", "["):
            return self._whole()
        self._at += 1
        return self._object(path) if opened == "{" else self._list(path)

    def next(self) -> str:
        """Return the character behind blanks that is next; none at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._end == len(self._data):
                return ""
            self._show(self._window)

    def _object(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        take = self._takes.get(path)
        if self._passed("}"):
            return found
        while True:
            if self.next() != '"':
                raise ValueError("an entry without a name")
            name = self._whole()
            self._pass(":")
            if take is None:
                found[name] = self.value((*path, name))
            else:
                found[name] = take(name, self._whole())
            if self._passed("}"):
                return found
            self._pass(",")

    def _list(self, path: Path) -> list[Any]:
        found: list[Any] = []
        take = self._takes.get(path)
        if self._passed("]"):
            return found
        while True:
            value = self._whole()
            found.append(value if take is None else take(len(found), value))
            if self._passed("]"):
                return found
            self._pass(",")

    def _passed(self, character: str) -> bool:
        if self.next() != character:
            return False
        self._at += 1
        return True

    def _pass(self, character: str) -> None:
        if not self._passed(character):
            raise ValueError(f"{character} is missing")

    def _whole(self) -> Any:
        """Return the value that is next, whatever it is."""
        self.next()
        size = self._window
        while True:
            try:
                value, at = _DECODER.raw_decode(self._text, self._at)
                # A number may go on behind the window's end, of which "1.5e" shows a part.
                if self._text[at : at + 1] in _BEHIND or self._end == len(self._data):
                    self._at = at
                    return value
            except ValueError:
                if self._end == len(self._data):
                    raise
            self._show(size)
            size *= 2

    def _show(self, size: int) -> None:
        """Go on with so many bytes more than from what is next."""
        self._begin += self._at
        self._end = min(self._begin + size, len(self._data))
        self._at = 0
        self._text = self._data[self._begin : self._end].decode("ascii")
