"""Who holds a lease or a claim in OUT, and until when: a process, on a host."""

from __future__ import annotations

import json
import os
import random
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from parchunk.out.processes import is_gone, process_space, started

#: Longest expiry believed: one from a broken clock must not lock OUT for ever.
_LONGEST = 3600.0
#: Seconds that a lease which has expired is left alone for, where it lasts for long enough. By the
#: clock of OUT's store it was written somewhat later, after a request had come there, and that
#: clock may count whole seconds only: it lasts by it a moment longer than its holder says.
_GRACE = 2.0
#: How much of what a lease lasts that is, at most.
_SHARE = 0.1


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
    #: What it is held for: to ``build``, or for a moment to ``plan`` or to ``publish``.
    purpose: str = "build"
    #: Seconds that it lasts from when it was written; 0: nobody knows.
    lasts: float = 0.0

    @classmethod
    def of_this_process(cls, purpose: str = "build") -> Holder:
        """Return this process as a holder of something that it has yet to take."""
        return cls(
            id=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=started(os.getpid()),
            space=process_space(),
            taken=round(time.time(), 3),
            expires=0.0,
            purpose=purpose,
        )

    def encode(self) -> bytes:
        """Return the bytes of lease.json."""
        return json.dumps({"parchunk_lease": 1, **asdict(self)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Holder | None:
        """Return the holder that lease.json names, or None when it is none."""
        try:
            return cls.of_document(json.loads(data))
        except (ValueError, RecursionError):
            return None

    @classmethod
    def of_document(cls, document: Any) -> Holder | None:
        """Return the holder that a JSON value names, or None when it is none."""
        try:
            return cls(
                id=str(document["id"])[:200],
                host=str(document["host"])[:200],
                pid=int(document["pid"]),
                started=str(document["started"])[:200],
                space=str(document["space"])[:200],
                taken=float(document["taken"]),
                expires=float(document["expires"]),
                conditional=document.get("conditional", True) is not False,
                purpose=str(document.get("purpose", "build"))[:200],
                lasts=float(document.get("lasts", 0.0)),
            )
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
            return None

    @property
    def is_brief(self) -> bool:
        """Whether it is held for a moment, and so waited for."""
        return self.purpose in ("plan", "publish")

    def is_over(self, now: float) -> bool:
        """Whether the lease binds nobody any more: expired, or its process is dead."""
        return not now < self.expires < now + _LONGEST or self._is_dead()

    def may_be_taken(self, now: float) -> bool:
        """Whether another may take it over: it is over, and not only since a moment ago."""
        return self.is_over(now - min(_GRACE, max(self.lasts, 0.0) * _SHARE))

    def is_ending(self, now: float) -> bool:
        """Whether it has expired a moment ago, so that it is known in a moment if it is over."""
        return self.is_over(now) and not self.may_be_taken(now)

    def may_go_on(self, age: float) -> bool:
        """Whether it still binds, although it is over by a clock that may be wrong, as this one.

        ``age`` is how many seconds ago it was written, by the clock of OUT's store.
        """
        return age < self.lasts <= _LONGEST and not self._is_dead()

    def _is_dead(self) -> bool:
        if (self.host, self.space) != (socket.gethostname(), process_space()):
            return False  # only the processes that this one can see
        return is_gone(self.pid, self.started)

    def __str__(self) -> str:
        """Return what a message calls it."""
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.expires))
        return f"process {self.pid} on {self.host}, until {until} unless it renews that"


def pause() -> None:
    """Wait a moment for another who holds something, as long as others do not."""
    time.sleep(random.uniform(0.1, 0.5))
