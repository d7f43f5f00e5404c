"""Pages of a listing: the one way in which keys, sizes and times come from a store."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from parchunk.listing.listed_rows import Listed

#: Rows of a page at most where rows cost requests, so that a walk that stops early has fetched no
#: page too many, and a listing that breaks loses none.
PAGE_ROWS = 1_000


class PageError(Exception):
    """A listing that died: ``reason``, in one line without secrets, and whether it is ``final``.

    What is final is not tried again. ``untold``: the last page that came was whole, and said that
    there is more, and not where; in a listing with order, its end shows whether that is so.
    """

    def __init__(self, reason: str, final: bool = False, *, untold: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.untold = untold


@dataclass
class Spent:
    """What a listing has cost: LIST requests, the keys that came, requests tried again.

    ``busy`` are those of the latter that were too many for the store.
    """

    lists: int = 0
    keys: int = 0
    retries: int = 0
    busy: int = 0


@dataclass(frozen=True)
class Enough:
    """When pages are handed on that come together: with so many ``rows``, or one up to ``last``."""

    rows: int = 1
    last: str | None = None


#: Each page as it comes.
EACH = Enough()


class Pages(Protocol):
    """How a store is asked for pages; nothing else knows. Used by many threads at a time."""

    def pages(
        self, prefix: str, after: str | None, spent: Spent, enough: Enough = EACH
    ) -> Generator[Listed, None, None]:
        """Yield the objects below ``prefix`` whose keys sort after ``after``, page by page.

        Several may come at once, until they are ``enough``: fewer may always be, and more never
        are by more than a page.

        ``prefix`` is a whole path: ``t/0`` lists ``t/0/1`` and neither ``t/0`` nor ``t/0.1``;
        an empty one lists the store. Rows come as the store sends them: who relies on their order
        checks it. One request at most is under way, and none once the iterator is closed.
        ``spent`` is right when it ends, is closed, or raises. It may end early, without an error,
        while the build ends.

        Raises
        ------
        PageError
            When no further page can be had.
        """
        ...
