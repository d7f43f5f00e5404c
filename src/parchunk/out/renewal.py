"""What in OUT expires unless it is renewed: until when it lasts, and the thread that renews it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from parchunk.out.holder import Holder

#: Seconds between two tries to renew, at most, where one has failed.
_AGAIN = 2.0
#: Seconds that taking it away may take.
_RELEASE = 5.0


class Renewal:
    """Keeps one lease or claim: ``renew`` is called every ``every`` seconds, from `start` on.

    It says whether it has renewed; else it is called again soon. ``expiry`` is for how many seconds
    each writing lasts. ``lost`` is why nothing is renewed any more, in words; empty until then.
    ``lock`` is for who writes.
    """

    def __init__(self, name: str, renew: Callable[[], bool], expiry: float, every: float) -> None:
        """Prepare a thread of that name; it runs from `start` on."""
        self.lost = ""
        self.lock = threading.Lock()
        self._renew, self._expiry, self._every = renew, expiry, every
        self._stop = threading.Event()
        self._until = (0.0, 0.0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Renew from now on."""
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether it is lost, or released."""
        return bool(self.lost) or self._stop.is_set()

    @property
    def is_out(self) -> bool:
        """Whether it has run out, by either clock: this process, or its host, may have stopped."""
        return time.monotonic() > self._until[0] or time.time() > self._until[1]

    def lasting(self, holder: Holder) -> tuple[Holder, float]:
        """Return a holder that lasts from now on, to be written, and now by the monotonic clock."""
        expires = round(time.time() + self._expiry, 3)
        return replace(holder, expires=expires, lasts=self._expiry), time.monotonic()

    def wrote(self, holder: Holder, began: float) -> None:
        """Take note that what `lasting` returned is written."""
        self._until = (began + holder.lasts, holder.expires)

    def lasts_until(self, expires: float) -> None:
        """Take note that it is there already, and lasts until a time of this clock."""
        self._until = (time.monotonic() + expires - time.time(), expires)

    def release(self, take_away: Callable[[], None] | None) -> None:
        """Renew no more, and take it away; where that hangs, or is None, it is left to expire."""
        self._stop.set()
        if take_away is not None:
            releasing = threading.Thread(target=take_away, name="release", daemon=True)
            releasing.start()
            releasing.join(_RELEASE)

    def _run(self) -> None:
        wait = self._every
        while not self._stop.wait(wait) and not self.lost:
            wait = self._every if self._renew() else min(self._every, _AGAIN)
