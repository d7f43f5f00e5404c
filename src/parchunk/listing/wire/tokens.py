"""A token that goes with each request: got when it is needed, before it ends, and when refused."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from parchunk.listing.pages import PageError

#: Seconds before its end from which on a token is renewed, as obstore does.
EARLY = 240.0
#: Seconds until it is tried again where no longer one was to be had.
_REST = 1.0
#: Seconds for which a token that was got because another was refused is no old one.
_NEW = 60.0
#: What can be sent as a token.
_SENDABLE = re.compile(r"[!-~]*")


@dataclass(frozen=True, eq=False)
class Token:
    """A token, and when it ends by the monotonic clock; None where nobody says."""

    text: str = field(repr=False)
    ends: float | None = None

    def lasts(self, seconds: float) -> bool:
        """Whether it is good for longer than so many seconds."""
        return self.ends is None or time.monotonic() + seconds < self.ends


@dataclass(eq=False)
class _Held:
    """What a process holds: a token, why there is none, and what each thread has sent."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: threading.local = field(default_factory=threading.local)
    token: Token | None = None
    #: How often one was asked for, and an answer came.
    asked: int = 0
    again: float = 0.0
    failure: PageError | None = None
    refused: bool = False
    #: The token that was got because another was refused, and since when.
    instead: Token | None = None
    since: float = 0.0


class Tokens:
    """Tokens that ``fetch`` gets, one at a time for all threads of a process.

    ``fetch`` raises `PageError`. Where what it gets never changes, it is not ``renewable``.
    """

    def __init__(self, fetch: Callable[[], Token], renewable: bool = True) -> None:
        self._fetch, self._renewable = fetch, renewable
        self._of: dict[int, _Held] = {}

    def current(self) -> str:
        """Return the token to send.

        Raises
        ------
        PageError
            When none can be had.
        """
        held = self._here()
        token = held.token
        if token is None or not token.lasts(EARLY):
            asked = held.asked
            with held.lock:
                token = self._renewed(held, asked)
        held.sent.token = token
        return token.text

    def refused(self) -> bool:
        """Note that the token this thread sent last was refused.

        Return whether another may be believed: once, not for ever.
        """
        held = self._here()
        sent = getattr(held.sent, "token", None)
        if sent is None or not self._renewable:
            return False
        with held.lock:
            if sent is not held.token:
                return True  # it has been renewed meanwhile
            if sent is held.instead and time.monotonic() < held.since + _NEW:
                return False
            held.token, held.refused = None, True
            return True

    def _here(self) -> _Held:
        # A fork has none of the threads that may hold a lock.
        return self._of.setdefault(os.getpid(), _Held())

    def _renewed(self, held: _Held, asked: int) -> Token:
        """Return a token that lasts, and one that still does where no other is to be had."""
        token, now = held.token, time.monotonic()
        if token is not None and (token.lasts(EARLY) or (now < held.again and token.lasts(0))):
            return token
        if held.asked != asked and held.failure is not None:
            # Another thread has tried while this one waited: all at once, not one by one.
            raise PageError(held.failure.reason, held.failure.final)
        try:
            held.token, held.failure = self._fetch(), None
            if not _SENDABLE.fullmatch(held.token.text):
                raise PageError("credentials cannot be had: what came as a token is none", True)
        except PageError as error:
            held.token = token
            held.failure = error
            if token is None or not token.lasts(0):
                raise
        finally:
            held.asked += 1
        if held.refused and held.token is not token:
            held.instead, held.since, held.refused = held.token, time.monotonic(), False
        held.again = time.monotonic() + _REST
        assert held.token is not None
        return held.token
