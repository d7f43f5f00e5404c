"""What an answer to a listing says: objects, whether there are more, and where they begin."""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.listing.listed_rows import Listed


class UnreadablePage(Exception):
    """An answer that is no page of a listing; ``args[0]`` says what is wrong with it."""


@dataclass(frozen=True)
class WirePage:
    """A page of a listing: its objects, and the token of the next page, None on the last.

    ``fault`` says why nobody knows what follows, where a page says that something does.
    """

    listed: Listed
    token: str | None
    fault: str = ""
