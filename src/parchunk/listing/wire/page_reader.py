"""Pages of S3 read with vector kernels, where they look as they do; strictly where they do not.

A page is a head, objects, and a tail. Head and tail are read by an XML parser, with one object
between them. The others are read by its example: where every object has the very same tags, between
them nothing that needs a parser, then vectors find all the same texts as a parser would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.columns import numbers, stands_at, times
from parchunk.listing.wire.page import UnreadablePage, WirePage
from parchunk.listing.wire.paths import paths, texts
from parchunk.listing.wire.strict_reader import Document, read_strictly
from parchunk.stores.identity import tags_of

_OPEN, _CLOSE = b"<Contents>", b"</Contents>"
#: How stores spell the quotes in which entity tags stand.
_QUOTES = (b"&quot;", b"&#34;")
_PIECES = re.compile(rb"(<[^<>]*>)([^<]*)")
_PLAIN_TAG = re.compile(rb"</?[A-Za-z0-9]+>")
_NEEDED = (b"<Key>", b"<LastModified>", b"<Size>")
_TAG = b"<ETag>"
#: What objects are of: the characters that can be seen, and the space.
_LOWEST, _HIGHEST = 0x20, 0x7E


class PageReader:
    """Reads the pages of a listing; what the objects of one looked like is tried on the next."""

    def __init__(self, tagged: bool = False) -> None:
        """Begin; with ``tagged``, objects have their entity tags."""
        self._tagged = tagged
        self._template: _Template | None = None

    def read(self, body: bytes) -> WirePage:
        """Return the page that an answer is.

        Raises
        ------
        UnreadablePage
            When it is none.
        """
        return self.read_by_example(body) or read_strictly(body, self._tagged)

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
            self._template = _Template.of(body[first:second], self._tagged)
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
    ``needed`` are the numbers of those that are wanted: key, time, size, perhaps an entity tag.
    """

    brackets: int
    quotes: int
    literals: tuple[_Literal, ...]
    needed: tuple[int, ...]

    @classmethod
    def of(cls, example: bytes, tagged: bool) -> _Template | None:
        """Return the template of an object, None where it has what only a parser understands."""
        literals: list[_Literal] = []
        wanted = (*_NEEDED, _TAG) if tagged else _NEEDED
        needed: dict[bytes, int] = {}
        quotes, begins = 0, _Literal(0, 0, b"")
        pieces = _PIECES.findall(example)
        for at, (tag, text) in enumerate(pieces):
            if not _PLAIN_TAG.fullmatch(tag) or tag in needed:
                return None
            begins = begins._replace(text=begins.text + tag)
            if tag in wanted:
                needed[tag] = len(literals)
            elif not text:
                continue
            before = 0
            if tag not in _NEEDED:
                # Entity tags stand in quotes.
                quote = next(filter(text.startswith, _QUOTES), b"")
                if quote:
                    text, quotes = text[len(quote) :], quotes + 1
                    begins = begins._replace(text=begins.text + quote)
                if quote and text.endswith(quote):
                    text, quotes, before = text[: -len(quote)], quotes + 1, len(quote)
            if b"&" in text:
                return None
            literals.append(begins)
            begins = _Literal(at + 1, before, quote if before else b"")
        literals.append(begins)
        if len(needed) < len(wanted):
            return None
        numbers = tuple(needed[tag] for tag in wanted)
        return cls(len(pieces), quotes, tuple(literals), numbers)

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
            (key, key_ends), (when, when_ends), (size, size_ends), *tag = spans
            found = paths(body, key, key_ends)
            sizes = numbers(body, size, size_ends)
            modified = times(body, when, when_ends - when)
        except IndexError:
            return None  # a tag would end behind the page
        if found is None or sizes is None or modified is None:
            return None
        tags = tags_of(texts(body, *tag[0]), found) if tag else None
        return Listed(found, sizes, modified, tags)
