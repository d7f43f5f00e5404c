"""What objects of a page have in common, by the example of one: their tags, and texts between."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

OPEN, CLOSE = b"<Contents>", b"</Contents>"
#: How stores spell the quotes in which entity tags stand.
_QUOTES = (b"&quot;", b"&#34;")
_PIECES = re.compile(rb"(<[^<>]*>)([^<]*)")
_PLAIN_TAG = re.compile(rb"</?[A-Za-z0-9]+>")
_NEEDED = (b"<Key>", b"<LastModified>", b"<Size>")
_TAG = b"<ETag>"


class Literal(NamedTuple):
    """Tags without a text between them, the same in each object.

    They begin ``before`` bytes before the object's angle bracket number ``column``.
    """

    column: int
    before: int
    text: bytes


@dataclass(frozen=True)
class Template:
    """What all objects of a page have in common, and where their texts stand.

    An object has so many ``brackets`` and ``quotes``; text number n, of so many bytes in the
    example, follows literal number n; ``needed`` are the numbers of those that are wanted: key,
    time, size, perhaps an entity tag.
    """

    brackets: int
    quotes: int
    literals: tuple[Literal, ...]
    lengths: tuple[int, ...]
    needed: tuple[int, ...]
    example: bytes = field(compare=False)

    @classmethod
    def of(cls, example: bytes, tagged: bool) -> Template | None:
        """Return the template of an object, None where it has what only a parser understands."""
        literals: list[Literal] = []
        lengths: list[int] = []
        wanted = (*_NEEDED, _TAG) if tagged else _NEEDED
        needed: dict[bytes, int] = {}
        quotes, begins = 0, Literal(0, 0, b"")
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
            lengths.append(len(text))
            begins = Literal(at + 1, before, quote if before else b"")
        literals.append(begins)
        if len(needed) < len(wanted):
            return None
        numbers = tuple(needed[tag] for tag in wanted)
        return cls(len(pieces), quotes, tuple(literals), tuple(lengths), numbers, example)
