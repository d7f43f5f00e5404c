"""What a listing server can do wrong, by script or by chance, the same each time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "401",
    "403",
    "404",
    "408",
    "429",
    "500",
    "501",
    "503",
    "reset",
    "hang",
    "cut",
    "reset-body",
    "stall",
    "error-body",
    "empty",
    "no-token",
    "short",
    "drop",
    "repeat-page",
    "swap-pages",
    "reverse",
    "ignore-start-after",
    "repeat-token",
    "expired-token",
]
"""
======================  ===========================================================================
``401`` ... ``503``     that status with S3's ``<Error>`` body (``503`` is SlowDown)
``reset``               the connection is reset before any answer
``hang``                no answer for ``seconds``, then a reset
``cut``                 head and half of the body, then an orderly close
``reset-body``          head and half of the body, then a reset
``stall``               head and half of the body, then nothing for ``seconds``, then a reset
``error-body``          200 whose body is ``<Error>``
``empty``               a page without keys that says the listing ends here
``no-token``            a page that says truncated and gives no token
``short``               a full page that says the listing ends here
``drop``                the page leaves out its second half; the next one goes on after it
``repeat-page``         the page before this one once more; then this one
``swap-pages``          the next page first, then this one, then the one after both
``reverse``             the page's keys in falling order
``ignore-start-after``  the listing starts at its prefix
``repeat-token``        the token of the next page is the one of this page
``expired-token``       400 InvalidArgument, as S3 answers a token that it does not know
======================  ===========================================================================

From ``error-body`` on they befall LIST requests only; ``repeat-page`` and ``expired-token`` only
those with a token, ``ignore-start-after`` only those with start-after and no token.
"""

BEFORE_ANSWER = frozenset({"reset", "hang"})
INSIDE_BODY = frozenset({"cut", "reset-body", "stall"})
ANY_METHOD = BEFORE_ANSWER | INSIDE_BODY | {k for k in get_args(Kind) if k.isdigit()}
_WITH_TOKEN = frozenset({"repeat-page", "expired-token"})


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, and the requests that it befalls.

    Requests of method ``on`` whose prefix (LIST) or key (GET, HEAD) begins with ``within`` are
    counted from 0; those ``first`` to ``first + times - 1`` are befallen (``times`` None: all from
    ``first`` on), of these each ``every``-th, and a share of ``rate``, drawn by request number from
    ``seed``. Where several faults would befall a request, the first one named does. A client's
    retry is a request too: ``Fault("503", first=3)`` fails the fourth LIST, and its retry passes.
    """

    kind: Kind
    first: int = 0
    times: int | None = 1
    every: int = 1
    rate: float = 1.0
    seed: int = 0
    on: Literal["LIST", "GET", "HEAD"] = "LIST"
    within: str = ""
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(get_args(Kind))}")

    def concerns(self, method: str, name: str, token: bool, start_after: bool) -> bool:
        """Tell whether a request is one of those that are counted."""
        if method != self.on or not name.startswith(self.within):
            return False
        if self.kind in _WITH_TOKEN:
            return token
        return self.kind != "ignore-start-after" or (start_after and not token)

    def befalls(self, number: int) -> bool:
        """Tell whether the request counted as ``number`` is befallen."""
        if number < self.first or (self.times is not None and number >= self.first + self.times):
            return False
        if (number - self.first) % self.every:
            return False
        if self.rate >= 1:
            return True
        drawn = hashlib.sha256(b"%d %d" % (self.seed, number)).digest()
        return int.from_bytes(drawn[:8]) < self.rate * 2**64
