"""What an answer to a listing says: objects, whether there are more, and where they begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from parchunk.listing.listed_rows import Listed


class UnreadablePage(Exception):
    """An answer that is no page of a listing; ``args[0]`` says what is wrong with it."""


@dataclass(frozen=True)
class Glance:
    """What can be told of a page before it is read: the token of the next one, and its last key.

    Both are None where only reading it tells, or where there is none.
    """

    token: str | None = None
    last: bytes | None = None


@dataclass(frozen=True)
class WirePage:
    """A page of a listing: its objects, and the token of the next page, None on the last.

    ``fault`` says why nobody knows what follows, where a page says that something does.
    """

    listed: Listed
    token: str | None
    fault: str = ""


class Reader(Protocol):
    """Reads the pages of one listing, several together where that is cheaper."""

    def add(self, body: bytes) -> Glance:
        """Take a page that is to be read, behind those that were not read yet.

        Raises
        ------
        UnreadablePage
            When it is none; it is not taken then.
        """
        ...

    def read(self) -> Iterator[WirePage]:
        """Yield what was taken, in its order, as a page or several; nothing is left.

        It ends behind a page that says otherwise what follows it than it did at a glance.

        Raises
        ------
        UnreadablePage
            When the next page is none.
        """
        ...
