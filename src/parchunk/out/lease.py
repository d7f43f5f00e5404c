"""One build at a time: who may write in OUT, and until when.

A lease is ``OUT/.parchunk/lease.json``, created only if it is not there and renewed only if it is
still the one that was written, so of two builds one works. A store that ignores such conditions is
found out when the lease is taken: there it is read before each renewal. It expires, so a killed
build blocks nobody for long; one whose process is known to be dead, on this host, blocks nobody at
all. Clocks of hosts may differ: who takes a lease over that has expired by his own looks how long
before his the other one was written, by the clock of the store, and gives back one that lasts, for
what is left of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from parchunk.errors import HeldError, OutputError
from parchunk.out.holder import Holder, pause
from parchunk.out.output import LEASE, Output
from parchunk.out.renewal import Renewal

#: Seconds that a lease lasts unless it is renewed...
EXPIRY = 60.0
#: ...and between two renewals.
RENEWAL = 20.0
#: What is said of a store that ignores conditions.
IGNORED = (
    "the store of OUT ignores conditional writes, so two builds of it may go on side by side for "
    "up to 20 s: start one at a time"
)
#: Tries to take a lease while others take and release it.
_TRIES = 5


class Lease:
    """A lease that is held, and renewed by a thread until it is released."""

    def __init__(
        self,
        output: Output,
        expiry: float = EXPIRY,
        renewal: float = RENEWAL,
        purpose: str = "build",
        path: str = LEASE,
    ) -> None:
        """Prepare; nothing is written before it is taken. ``path`` is where it lies below OUT."""
        self._output = output
        self._path = path
        self._kept = Renewal("lease", self._renew, expiry, renewal)
        self._left = False
        self._version: str | None = None
        self._holder = Holder.of_this_process(purpose)

    @property
    def id(self) -> str:
        """What tells this lease from all others."""
        return self._holder.id

    @property
    def lost(self) -> str:
        """Why it is not held any more, in words; empty while it is, as far as is known."""
        return self._kept.lost

    def take(self, wait: float = 0.0) -> None:
        """Take the lease; wait so many seconds for one that is held for a moment only.

        Raises
        ------
        HeldError
            When another build holds it, in one line that says who and until when.
        OutputError
            When OUT cannot be written.
        """
        tries, until = _TRIES, time.monotonic() + wait
        kept: tuple[str, float] = ("", 0.0)  # whose lease lasts, and until when
        other: tuple[Holder, datetime] | None = None  # whose this one replaces, and written when
        while tries > 0:
            seen = self._output.get_version(self._path)
            holder = None if seen is None else Holder.decode(seen[0])
            is_mine = False
            if seen is not None and holder is not None and holder.id == self._holder.id:
                is_mine = True
                self._hold(holder, seen[1])  # a success whose answer was lost on its way
            else:
                if holder is not None and self._waits_for(holder, kept, until):
                    pause()
                    continue
                before = None if holder is None else self._output.stat(self._path)
                other = None if holder is None or before is None else (holder, before[1])
            if is_mine or self._put_or_find(None if seen is None else seen[1]):
                left = 0.0 if other is None else self._give_back_if_early(*other)
                if not left:
                    self._begin()
                    return
                assert other is not None
                kept = (other[0].id, time.monotonic() + left)
                if not other[0].is_brief:
                    raise self._of_another_clock(other[0])
                continue
            if time.monotonic() >= until:
                tries -= 1
        raise HeldError(
            f"{self._output.url} is being taken by several builds at once: run again in a minute"
        )

    def _waits_for(self, holder: Holder, kept: tuple[str, float], until: float) -> bool:
        """Whether the lease that another holds is to be waited for, and not to be taken over.

        Raises
        ------
        HeldError
            When it lasts, and was waited for long enough.
        """
        now = time.time()
        waited = time.monotonic() >= until
        if holder.id == kept[0] and time.monotonic() < kept[1]:
            if waited:
                raise self._of_another_clock(holder)
            return True
        if holder.may_be_taken(now):
            return False
        if not holder.is_ending(now) and (waited or not holder.is_brief):
            raise HeldError(
                f"{self._output.url} is being built by another process ({holder}): "
                "wait for it, or name another OUT"
            )
        return True

    def check(self) -> None:
        """Make sure that the lease is still held, without a request unless it has run out.

        Raises
        ------
        HeldError
            When another build has taken it over, or it could not be renewed in time.
        """
        if not self.lost and self._kept.is_out:
            self._renew()
        if self.lost:
            raise HeldError(
                f"{self._output.url}: {self.lost}; nothing was published; run the same "
                "command again to resume"
            )

    def confirm(self) -> None:
        """Make sure, with a request, that the lease is held now: to be called before publishing.

        Raises
        ------
        HeldError
            As `check`.
        """
        if not self.lost:
            self._renew()
        self.check()
        # A store that ignores conditions lets every renewal succeed: what is there now counts.
        with self._kept.lock:
            self._compare(self._output.get_version(self._path))
        self.check()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the store of OUT."""
        return () if self._holder.conditional else (IGNORED,)

    def leave(self) -> None:
        """Let the lease expire instead of giving it back: something may still be written."""
        self._left = True

    def release(self) -> None:
        """Give the lease back, if it is still this one; where that hangs, it is left to expire."""
        self._kept.release(None if self._left else self._release)

    def _release(self) -> None:
        with self._kept.lock:
            if not self.lost and self._version is not None:
                # What ended the build is worth more than this.
                with contextlib.suppress(OutputError):
                    self._give_back(self._version)

    def _give_back_if_early(self, other: Holder, written: datetime) -> float:
        """Give a lease back to the one that it was taken from, if it lasts by the store's clock.

        Return how many seconds are left of it: it does not last longer for having been taken.
        """
        now = self._output.stat(self._path)
        age = 0.0 if now is None else (now[1] - written).total_seconds()
        if now is None or not other.may_go_on(age):
            return 0.0
        version, self._version = self._version, None
        left = min(other.lasts, other.lasts - age)
        self._output.put_if(self._path, replace(other, lasts=left).encode(), version)
        return left

    def _of_another_clock(self, other: Holder) -> HeldError:
        return HeldError(
            f"{self._output.url} is being built by another process ({other.pid} on {other.host}), "
            "whose clock is not this machine's: set the clocks, and wait for it, or name another "
            "OUT"
        )

    def _give_back(self, version: str) -> None:
        try:
            self._output.delete_if(self._path, version)
        except OutputError:  # who may write may not always delete
            ended = replace(self._holder, expires=0.0, lasts=0.0)
            self._output.put_if(self._path, ended.encode(), version)

    def _begin(self) -> None:
        """Find out whether the store honours conditions, and renew from now on."""
        honoured, version = self._output.try_condition(self._path, self._holder.encode())
        if not honoured:
            self._holder = replace(self._holder, conditional=False)
            self._version = version or self._version
            # Written once more, so that all who read it know; then it is seen who came last.
            self._renew()
            with self._kept.lock:
                self._compare(self._output.get_version(self._path))
            self.check()
        self._kept.start()

    def _put_or_find(self, version: str | None) -> bool:
        """Put the lease; an error may be the lost answer of a success."""
        try:
            return self._put(version)
        except OutputError:
            seen = self._output_lease()
            if seen is None or seen[0].id != self._holder.id:
                raise
            self._hold(*seen)
            return True

    def _compare(self, seen: tuple[bytes, str] | None) -> bool:
        """Take note of the lease that is there; False, and the lease is lost, when it is no more
        this one.
        """
        holder = None if seen is None else Holder.decode(seen[0])
        if seen is not None and holder is not None and holder.id == self._holder.id:
            self._version = seen[1]
            return True
        self._kept.lost = (
            f"the build's lease {'is gone' if holder is None else f'is now held by {holder}'}"
        )
        return False

    def _renew(self) -> bool:
        """Renew; False when that must be tried again (or all is lost)."""
        with self._kept.lock:
            if self._kept.has_ended:
                return False
            try:
                seen = self._holder.conditional or self._output.get_version(self._path)
                if seen is not True and not self._compare(seen):
                    return False
                if self._put(self._version):
                    return True
            except OutputError as error:
                if self._kept.is_out:
                    self._kept.lost = f"the build's lease could not be renewed in time ({error})"
                return False
            # An answer that was lost on its way may have been a success.
            with contextlib.suppress(OutputError):
                self._compare(self._output.get_version(self._path))
            return False

    def _output_lease(self) -> tuple[Holder, str] | None:
        try:
            seen = self._output.get_version(self._path)
        except OutputError:
            return None
        holder = None if seen is None else Holder.decode(seen[0])
        return None if seen is None or holder is None else (holder, seen[1])

    def _hold(self, holder: Holder, version: str) -> None:
        """Take a lease that is there for one's own, for as long as it says."""
        self._holder, self._version = holder, version
        self._kept.lasts_until(holder.expires)

    def _put(self, version: str | None) -> bool:
        holder, began = self._kept.lasting(self._holder)
        put = self._output.put_if(self._path, holder.encode(), version)
        if put is None:
            return False
        self._holder, self._version = holder, put
        self._kept.wrote(holder, began)
        return True


@contextlib.contextmanager
def held(
    output: Output,
    expiry: float = EXPIRY,
    renewal: float = RENEWAL,
    purpose: str = "build",
    wait: float = 0.0,
) -> Iterator[Lease]:
    """Hold the lease of OUT: taken, renewed meanwhile, and released however this ends.

    One that is held for a moment, to plan or to publish, is waited for ``wait`` seconds.

    Raises
    ------
    HeldError
        When another build holds it.
    """
    lease = Lease(output, expiry, renewal, purpose)
    try:
        lease.take(wait)  # within: an interrupt may come right after it
        yield lease
    finally:
        lease.release()
