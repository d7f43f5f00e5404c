"""What stands around the objects of a page: read by a parser once, and known again afterwards.

Pages of one listing are alike around their objects, too: they differ in the token that was asked
with and in that of the next page. Where nothing else differs, byte by byte, a parser would find
what it found in the one before, but that token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from parchunk.listing.wire.strict_reader import Document

_NEXT = "NextContinuationToken"
#: Tokens that need no parser: of characters that can be seen, and that begin or end nothing.
_TOKENS = re.compile(rb"<((?:Next)?ContinuationToken)>([!-%'-;=-\\^-~]+)</")


@dataclass(frozen=True)
class Frame:
    """A page around its objects: what a parser found there, and all texts beside tokens."""

    document: Document
    texts: tuple[bytes, ...]

    @classmethod
    def of(cls, around: bytes, document: Document) -> Frame | None:
        """Return the frame that is ``around`` the objects of a page, None where it is like none."""
        texts, token = _parts(around)
        # Then nothing is hidden, and what looks like the one element is the one element.
        plain = b"<!" not in around and around.rfind(b"<?") <= 0
        if not plain or around.count(_NEXT.encode()) != 2 or document.said.get(_NEXT) != token:
            return None
        return cls(document, texts)

    def token(self, around: bytes) -> str | None:
        """Return the next page's token where the same stands around a page's objects, else None."""
        texts, token = _parts(around)
        return token if texts == self.texts else None


def _parts(around: bytes) -> tuple[tuple[bytes, ...], str | None]:
    """Return what stands beside tokens, and the token of the next page."""
    pieces = _TOKENS.split(around)
    names, tokens = pieces[1::3], pieces[2::3]
    token = dict(zip(names, tokens, strict=True)).get(_NEXT.encode(), b"")
    return (*pieces[::3], *names), token.decode("ascii") or None
