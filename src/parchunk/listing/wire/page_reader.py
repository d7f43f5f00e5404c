"""Pages of S3 read with vector kernels, where they look as they do; strictly where they do not.

A page is a head, objects, and a tail. Head and tail are read by an XML parser, with one object
between them. The others are read by its example: where every object has the very same tags, between
them nothing that needs a parser, then vectors find all the same texts as a parser would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.columns import Bytes, Places, numbers, stands_at, times
from parchunk.listing.wire.page import UnreadablePage, WirePage
from parchunk.listing.wire.strict_reader import Document, read_strictly

_OPEN, _CLOSE = b"<Contents>", b"</Contents>"
_QUOTE = b"&quot;"
_PIECES = re.compile(rb"(<[^<>]*>)([^<]*)")
_PLAIN_TAG = re.compile(rb"</?[A-Za-z0-9]+>")
_NEEDED = (b"<Key>", b"<LastModified>", b"<Size>")
_SLASH, _DOT = ord("/"), ord(".")
#: What objects are of: the characters that can be seen, and the space.
_LOWEST, _HIGHEST = 0x20, 0x7E


class PageReader:
    """Reads the pages of a listing; what the objects of one looked like is tried on the next."""

    def __init__(self) -> None:
        self._template: _Template | None = None

    def read(self, body: bytes) -> WirePage:
        """Return the page that an answer is.

        Raises
        ------
        UnreadablePage
            When it is none.
        """
        return self.read_by_example(body) or read_strictly(body)

    def read_by_example(self, body: bytes) -> WirePage | None:
        """Return the page read by the example of its first object; None where one differs."""
        first = body.find(_OPEN)
        second = body.find(_CLOSE, first) + len(_CLOSE)
        stop = body.rfind(_CLOSE) + len(_CLOSE)
        if first < 0 or second <= first:
            return None
        try:
            document = Document(body[:second] + body[stop:])
        except UnreadablePage:
            return None
        if len(document.objects) != 1 or "EncodingType" in document.said:
            return None
        listed = self._template.read(body, first, stop) if self._template else None
        if listed is None:
            self._template = _Template.of(body[first:second])
            listed = self._template.read(body, first, stop) if self._template else None
        return None if listed is None else document.page(listed)


class _Literal(NamedTuple):
    """Tags without a text between them, the same in each object.

    They begin ``before`` bytes before the object's angle bracket number ``column``.
    """

    column: int
    before: int
    text: bytes


@dataclass(frozen=True)
class _Template:
    """What all objects of a page have in common, and where their texts stand.

    An object has so many ``brackets`` and ``quotes``; text number n follows literal number n;
    ``needed`` are the numbers of those that are wanted.
    """

    brackets: int
    quotes: int
    literals: tuple[_Literal, ...]
    needed: tuple[int, int, int]

    @classmethod
    def of(cls, example: bytes) -> _Template | None:
        """Return the template of an object, None where it has what only a parser understands."""
        literals: list[_Literal] = []
        needed: dict[bytes, int] = {}
        quotes, begins = 0, _Literal(0, 0, b"")
        pieces = _PIECES.findall(example)
        for at, (tag, text) in enumerate(pieces):
            if not _PLAIN_TAG.fullmatch(tag) or tag in needed:
                return None
            begins = begins._replace(text=begins.text + tag)
            if tag in _NEEDED:
                needed[tag] = len(literals)
            elif not text:
                continue
            before = 0
            if tag not in _NEEDED:
                # Entity tags stand in quotes.
                if text.startswith(_QUOTE):
                    text, quotes = text[len(_QUOTE) :], quotes + 1
                    begins = begins._replace(text=begins.text + _QUOTE)
                if text.endswith(_QUOTE):
                    text, quotes, before = text[: -len(_QUOTE)], quotes + 1, len(_QUOTE)
            if b"&" in text:
                return None
            literals.append(begins)
            begins = _Literal(at + 1, before, _QUOTE if before else b"")
        literals.append(begins)
        if len(needed) < len(_NEEDED):
            return None
        key, time, size = (needed[tag] for tag in _NEEDED)
        return cls(len(pieces), quotes, tuple(literals), (key, time, size))

    def read(self, body: bytes, first: int, stop: int) -> Listed | None:
        """Return the objects that stand from ``first`` to ``stop``; None where one is unlike."""
        region = np.frombuffer(body, np.uint8)[first:stop]
        brackets = np.flatnonzero(region == ord("<")) + first
        count, odd = divmod(len(brackets), self.brackets)
        if (
            odd
            or int(region.min()) < _LOWEST
            or int(region.max()) > _HIGHEST
            or np.count_nonzero(region == ord("&")) != self.quotes * count
            or body.find(b"]", first, stop) >= 0  # two of them may end what was not begun
        ):
            return None
        columns = np.ascontiguousarray(brackets.reshape(count, self.brackets).T)
        ends = columns[-1] + len(_CLOSE)
        if int(ends[-1]) != stop or not (ends[:-1] == columns[0, 1:]).all():
            return None
        begins = [columns[literal.column] - literal.before for literal in self.literals]
        try:
            for literal, places in zip(self.literals, begins, strict=True):
                if not stands_at(body, places, literal.text):
                    return None
            spans = [
                (begins[at] + len(self.literals[at].text), begins[at + 1]) for at in self.needed
            ]
            (key, key_ends), (when, when_ends), (size, size_ends) = spans
            paths = _paths(body, key, key_ends)
            sizes = numbers(body, size, size_ends)
            modified = times(body, when, when_ends - when)
        except IndexError:
            return None  # a tag would end behind the page
        if paths is None or sizes is None or modified is None:
            return None
        return Listed(paths, sizes, modified)


def _paths(body: bytes, starts: Places, stops: Places) -> pa.StringArray | None:
    """Return keys as paths; None where one is not spelled the same as the other."""
    count = len(starts)
    if int((stops - starts).min()) < 1:
        return None
    # What stands between keys is text, too, for as long as it takes Arrow to take the keys out.
    offsets = np.empty((count, 2), np.int32)
    offsets[:, 0], offsets[:, 1] = starts, stops
    both = pa.StringArray.from_buffers(2 * count - 1, pa.py_buffer(offsets), pa.py_buffer(body))
    keys: pa.StringArray = both.take(_every_other(count))
    _, ends, text = keys.buffers()
    if not _are_paths(np.frombuffer(text, np.uint8), np.frombuffer(ends, np.int32)[: count + 1]):
        return None
    return keys


@lru_cache(maxsize=8)
def _every_other(count: int) -> pa.Array:
    """Return the numbers 0, 2, 4 ...; of most pages they are the same, and dear to make."""
    return pa.array(np.arange(0, 2 * count, 2, dtype=np.int32))


def _are_paths(text: Bytes, offsets: NDArray[np.int32]) -> bool:
    """Whether no key begins or ends with a slash, begins with a dot, or has either after a slash.

    Those may have segments that no path has; most have not.
    """
    begin, end = text[offsets[:-1]], text[offsets[1:] - 1]
    if (begin == _SLASH).any() or (begin == _DOT).any() or (end == _SLASH).any():
        return False
    # The last bit is all that tells a dot from a slash.
    return not ((text[:-1] == _SLASH) & (text[1:] | 1 == _SLASH)).any()
