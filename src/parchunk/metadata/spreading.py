"""JSON documents of very many entries: an entry a line, each spelled by the library's quick way.

An indented document would be for people, too, but its lines are made one by one in Python: of a
hundred thousand arrays that takes longer than to list them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")


class Each(Iterable[Any]):
    """A list of a document whose entries are made one at a time, whenever they are asked for."""

    def __init__(self, entry: Callable[[_T], Any], values: Collection[_T]) -> None:
        """Make each entry of one of ``values``."""
        self._entry: Callable[[Any], Any] = entry
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        """Yield the entries."""
        return map(self._entry, self._values)


class Pairs:
    """An object of a document whose entries come one at a time, from an iterator that is used up.

    Their names are rising where the document is put in its canonical spelling.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Take names and values."""
        self._pairs = pairs

    def items(self) -> Iterable[tuple[str, Any]]:
        """Yield the names and values."""
        return self._pairs


def listed(entry: Callable[[_T], Any], values: Collection[_T]) -> list[Any]:
    """Return a list of what `Each` makes one at a time."""
    return [entry(value) for value in values]


def spread(value: object, levels: int) -> bytes:
    """Return the JSON of a value whose outer ``levels`` stand on lines of their own.

    Below, an entry is one line, however deep it is. Read back it is what `json.dumps` would give:
    keys of dicts are text. `Each` and `Pairs` are among the outer levels.
    """
    held = io.BytesIO()
    for piece in _pieces(value, levels, "\n"):
        held.write(piece.encode())
    return held.getvalue()


def is_spread(data: bytes, value: object, levels: int) -> bool:
    """Whether bytes are what `spread` gives, which is not held whole beside them."""
    at = 0
    for piece in _pieces(value, levels, "\n"):
        spelled = piece.encode()
        if not data.startswith(spelled, at):
            return False
        at += len(spelled)
    return at == len(data)


def dumped(value: object, levels: int, size: int = 1 << 16) -> Iterator[str]:
    """Yield the text that `json.dumps` gives of a value, in pieces of some ``size``, in one line.

    Entries of its outer ``levels`` are made one at a time.
    """
    held, length = [], 0
    for piece in _pieces(value, levels, ""):
        held.append(piece)
        length += len(piece)
        if length >= size:
            yield "".join(held)
            held, length = [], 0
    yield "".join(held)


def _pieces(value: object, levels: int, line: str, head: str = "") -> Iterator[str]:
    """Yield the pieces of JSON, ``head`` before the first.

    Entries of outer levels begin with a ``line`` and more.
    """
    if not levels or not isinstance(value, (Mapping, list, Each, Pairs)):
        yield head + json.dumps(value)
        return
    within = f"{line} " if line else ""
    before, between = within, f",{within or ' '}"
    if isinstance(value, (Mapping, Pairs)):
        yield f"{head}{{"
        for key, entry in value.items():
            yield from _pieces(entry, levels - 1, within, f"{before}{json.dumps(key)}: ")
            before = between
        yield f"{line}}}" if before is between else "}"
    else:
        yield f"{head}["
        for entry in value:
            yield from _pieces(entry, levels - 1, within, before)
            before = between
        yield f"{line}]" if before is between else "]"
