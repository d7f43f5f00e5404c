"""One build at a time: who may write in OUT, and until when.

A lease is ``OUT/.parchunk/lease.json``, created only if it is not there and renewed only if it is
still the one that was written, so of two builds one works. A store that ignores such conditions is
found out when the lease is taken: there it is read before each renewal. It expires, so a killed
build blocks nobody for long; one whose process is known to be dead, on this host, blocks nobody at
all. Clocks of hosts may differ: a lease that was taken over too early is noticed by its holder's
next renewal and before it publishes, and both have then written the same bytes, or ``--overwrite``
was given.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from parchunk.errors import HeldError, OutputError
from parchunk.out.output import LEASE, Output

#: Seconds that a lease lasts unless it is renewed...
EXPIRY = 60.0
#: ...and between two renewals.
RENEWAL = 20.0
#: Longest expiry believed: a lease from a broken clock must not lock OUT for ever.
_LONGEST = 3600.0
#: Seconds that giving a lease back may take.
_RELEASE = 5.0
#: What is said of a store that ignores conditions.
IGNORED = (
    "the store of OUT ignores conditional writes, so two builds of it may go on side by side for "
    "up to 20 s: start one at a time"
)
#: Tries to take a lease while others take and release it.
_TRIES = 5


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: ``started`` and ``space`` tell a process from another of its number."""

    id: str
    host: str
    pid: int
    started: str
    space: str
    taken: float
    expires: float
    #: Whether the store of OUT honours conditional writes.
    conditional: bool = True

    def encode(self) -> bytes:
        """Return the bytes of lease.json."""
        return json.dumps({"parchunk_lease": 1, **asdict(self)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Holder | None:
        """Return the holder that lease.json names, or None when it is none."""
        try:
            document: Any = json.loads(data)
            return cls(
                id=str(document["id"])[:200],
                host=str(document["host"])[:200],
                pid=int(document["pid"]),
                started=str(document["started"])[:200],
                space=str(document["space"])[:200],
                taken=float(document["taken"]),
                expires=float(document["expires"]),
                conditional=document.get("conditional", True) is not False,
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def is_over(self, now: float) -> bool:
        """Whether the lease binds nobody any more: expired, or its process is dead."""
        return not now < self.expires < now + _LONGEST or self._is_dead()

    def _is_dead(self) -> bool:
        if (self.host, self.space) != (socket.gethostname(), _process_space()) or self.pid < 1:
            return False  # only the processes that this one can see
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        # A process of the same number that began at another time is another process.
        return self.started != _started(self.pid) != ""

    def __str__(self) -> str:
        """Return what a message calls it."""
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.expires))
        return f"process {self.pid} on {self.host}, until {until} unless it renews that"


class Lease:
    """A lease that is held, and renewed by a thread until it is released."""

    def __init__(self, output: Output, expiry: float = EXPIRY, renewal: float = RENEWAL) -> None:
        self._output = output
        self._expiry = expiry
        self._renewal = renewal
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._lost = ""
        self._left = False
        self._version: str | None = None
        now = time.time()
        self._holder = Holder(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=_started(os.getpid()),
            space=_process_space(),
            taken=round(now, 3),
            expires=0.0,
        )
        self._until = (0.0, 0.0)
        self._thread = threading.Thread(target=self._renew_on, name="lease", daemon=True)

    def take(self) -> None:
        """Take the lease.

        Raises
        ------
        HeldError
            When another build holds it, in one line that says who and until when.
        OutputError
            When OUT cannot be written.
        """
        for _ in range(_TRIES):
            seen = self._output.get_version(LEASE)
            if seen is not None:
                holder = Holder.decode(seen[0])
                if holder is not None and holder.id == self._holder.id:
                    self._hold(holder, seen[1])  # a success whose answer was lost on its way
                    self._begin()
                    return
                if holder is not None and not holder.is_over(time.time()):
                    raise HeldError(
                        f"{self._output.url} is being built by another process ({holder}): "
                        "wait for it, or name another OUT"
                    )
            if self._put_or_find(None if seen is None else seen[1]):
                self._begin()
                return
        raise HeldError(
            f"{self._output.url} is being taken by several builds at once: run again in a minute"
        )

    def check(self) -> None:
        """Make sure that the lease is still held, without a request unless it has run out.

        Raises
        ------
        HeldError
            When another build has taken it over, or it could not be renewed in time.
        """
        if not self._lost and (
            time.monotonic() > self._until[0] or time.time() > self._until[1]
        ):  # this process, or its host, was stopped for a while
            self._renew()
        if self._lost:
            raise HeldError(
                f"{self._output.url}: {self._lost}; nothing was published; run the same command "
                "again to resume"
            )

    def confirm(self) -> None:
        """Make sure, with a request, that the lease is held now: to be called before publishing.

        Raises
        ------
        HeldError
            As `check`.
        """
        if not self._lost:
            self._renew()
        self.check()
        # A store that ignores conditions lets every renewal succeed: what is there now counts.
        with self._lock:
            self._compare(self._output.get_version(LEASE))
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
        self._stop.set()
        if not self._left:
            releasing = threading.Thread(target=self._release, name="release", daemon=True)
            releasing.start()
            releasing.join(_RELEASE)

    def _release(self) -> None:
        with self._lock:
            if not self._lost and self._version is not None:
                # What ended the build is worth more than this.
                with contextlib.suppress(OutputError):
                    self._give_back(self._version)

    def _give_back(self, version: str) -> None:
        try:
            self._output.delete_if(LEASE, version)
        except OutputError:  # who may write may not always delete
            ended = replace(self._holder, expires=0.0)
            self._output.put_if(LEASE, ended.encode(), version)

    def _begin(self) -> None:
        """Find out whether the store honours conditions, and renew from now on."""
        honoured, version = self._output.try_condition(LEASE, self._holder.encode())
        if not honoured:
            self._holder = replace(self._holder, conditional=False)
            self._version = version or self._version
            # Written once more, so that all who read it know; then it is seen who came last.
            self._renew()
            with self._lock:
                self._compare(self._output.get_version(LEASE))
            self.check()
        self._thread.start()

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
        self._lost = (
            f"the build's lease {'is gone' if holder is None else f'is now held by {holder}'}"
        )
        return False

    def _renew_on(self) -> None:
        wait = self._renewal
        while not self._stop.wait(wait) and not self._lost:
            wait = self._renewal if self._renew() else min(self._renewal, 2.0)

    def _renew(self) -> bool:
        """Renew; False when that must be tried again (or all is lost)."""
        with self._lock:
            if self._lost or self._stop.is_set():
                return False
            try:
                if not (self._holder.conditional or self._compare(self._output.get_version(LEASE))):
                    return False
                if self._put(self._version):
                    return True
            except OutputError as error:
                if time.monotonic() > self._until[0] or time.time() > self._until[1]:
                    self._lost = f"the build's lease could not be renewed in time ({error})"
                return False
            # An answer that was lost on its way may have been a success.
            with contextlib.suppress(OutputError):
                self._compare(self._output.get_version(LEASE))
            return False

    def _output_lease(self) -> tuple[Holder, str] | None:
        try:
            seen = self._output.get_version(LEASE)
        except OutputError:
            return None
        holder = None if seen is None else Holder.decode(seen[0])
        return None if seen is None or holder is None else (holder, seen[1])

    def _hold(self, holder: Holder, version: str) -> None:
        """Take a lease that is there for one's own, for as long as it says."""
        left = holder.expires - time.time()
        self._holder, self._version = holder, version
        self._until = (time.monotonic() + left, holder.expires)

    def _put(self, version: str | None) -> bool:
        monotonic, now = time.monotonic(), time.time()
        holder = replace(self._holder, expires=round(now + self._expiry, 3))
        put = self._output.put_if(LEASE, holder.encode(), version)
        if put is None:
            return False
        self._holder, self._version = holder, put
        self._until = (monotonic + self._expiry, now + self._expiry)
        return True


@contextlib.contextmanager
def held(output: Output, expiry: float = EXPIRY, renewal: float = RENEWAL) -> Iterator[Lease]:
    """Hold the lease of OUT: taken, renewed meanwhile, and released however this ends.

    Raises
    ------
    HeldError
        When another build holds it.
    """
    lease = Lease(output, expiry, renewal)
    try:
        lease.take()  # within: an interrupt may come right after it
        yield lease
    finally:
        lease.release()


def _process_space() -> str:
    """Return which processes this one can see: containers may share a host's name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began, in whatever unit the system has, or nothing."""
    try:
        # Fields after the command, which is in parentheses and may hold spaces; the 22nd of all.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
