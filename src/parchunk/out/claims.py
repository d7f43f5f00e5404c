"""Claims: which tasks are being worked on, by whom, and until when.

A claim is ``OUT/.parchunk/claims/<id>.json``: every run of a task has one of its own, so that it
keeps nobody from doing the same task. It keeps builds and updates of the whole OUT from beginning
meanwhile, as a lease keeps tasks from beginning: whoever comes writes his own first and then looks
for the other's, so of two that come at once one sees the other at least. It expires like a lease.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from parchunk.errors import HeldError, OutputError
from parchunk.out.holder import Holder, pause
from parchunk.out.lease import EXPIRY, RENEWAL
from parchunk.out.output import CLAIMS, LEASE, PLAN, Output
from parchunk.out.renewal import Renewal
from parchunk.out.side_by_side import of_each


@dataclass(frozen=True)
class Claim:
    """A run of a task: whose, what, and how far; ``listed`` keys and ``done`` of ``partitions``."""

    holder: Holder
    task: str
    partitions: int
    done: int = 0
    listed: int = 0
    requests: int = 0
    retries: int = 0

    def encode(self) -> bytes:
        """Return the bytes of its file."""
        return json.dumps({"parchunk_claim": 1, **asdict(self)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Claim | None:
        """Return the claim that a file has, or None when it is none."""
        try:
            document: Any = json.loads(data)
            holder = Holder.of_document(document["holder"])
            if holder is None:
                return None
            numbers = ("partitions", "done", "listed", "requests", "retries")
            return cls(
                holder, str(document["task"])[:500], **{key: int(document[key]) for key in numbers}
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    @property
    def is_over(self) -> bool:
        """Whether nobody works on it any more: it ran out, or its process is dead."""
        return self.holder.is_over(time.time())

    @property
    def path(self) -> str:
        """Where it lies below OUT."""
        return f"{CLAIMS}/{self.holder.id}.json"

    def __str__(self) -> str:
        """Return what a message calls it."""
        return f"{self.task} by process {self.holder.pid} on {self.holder.host}"


class Claimed:
    """A claim that is held, and renewed by a thread with how far the task is.

    ``under`` is the lease that the task works under, where it is one of a build that holds it.
    """

    def __init__(
        self,
        output: Output,
        task: str,
        partitions: int,
        under: str = "",
        expiry: float = EXPIRY,
        renewal: float = RENEWAL,
    ) -> None:
        self._output, self._under = output, under
        self._claim = Claim(Holder.of_this_process("task"), task, partitions)
        self._kept = Renewal("claim", self._renew, expiry, renewal)
        self._put_at = 0.0
        self._plan: object = None
        self._written = False

    def take(self) -> None:
        """Write the claim, then make sure that nobody else builds in OUT.

        Raises
        ------
        HeldError
            When a build holds OUT's lease, or the one that this works under has ended.
        OutputError
            When OUT cannot be written.
        """
        self._written = True  # before it is: an answer may be lost
        self._put()
        self._plan = self._output.stat(PLAN)
        self._refuse_others()
        self.check()
        self._kept.start()

    def note(self, done: int, listed: int, requests: int, retries: int) -> None:
        """Take note of how far the task is, for the next renewal."""
        self._claim = replace(
            self._claim, done=done, listed=listed, requests=requests, retries=retries
        )

    def check(self) -> None:
        """Make sure, without a request unless it has run out, that the claim still holds.

        Raises
        ------
        HeldError
            When it could not be renewed in time, or OUT is another build's now.
        """
        if not self._kept.lost and self._kept.is_out:
            self._renew()
        if self._kept.lost:
            raise HeldError(
                f"{self._output.url}, {self._claim.task}: {self._kept.lost}; run the same again to "
                "resume"
            )

    def release(self) -> None:
        """Take the claim away; where that hangs, it is left to expire."""
        self._kept.release(self._release if self._written else None)

    def _release(self) -> None:
        with self._kept.lock, contextlib.suppress(OutputError):
            self._output.delete(self._claim.path)

    def _renew(self) -> bool:
        """Renew; False when that must be tried again (or all is lost)."""
        with self._kept.lock:
            if self._kept.has_ended:
                return False
            was_out = self._kept.is_out
            try:
                self._put()
                self._refuse_others()
                # Others may have come and gone while this process, or its host, was stopped.
                if self._output.stat(PLAN) != self._plan:
                    self._kept.lost = "the plan of OUT was replaced meanwhile"
                return not self._kept.lost
            except OutputError as error:
                if was_out and not self._kept.lost:
                    self._kept.lost = f"the task's claim could not be renewed in time ({error})"
                return False

    def _refuse_others(self) -> None:
        holder = self._holder_of_lease()
        while holder is not None and holder.is_ending(time.time()):
            pause()
            holder = self._holder_of_lease()
        if holder is not None and holder.is_over(time.time()) and not self._lasts(holder):
            holder = None
        if self._under:
            if holder is None or holder.id != self._under:
                self._kept.lost = "the build that it is a task of has ended"
        elif holder is not None and not holder.is_brief:
            self._kept.lost = f"OUT is being built by another process ({holder}): wait for it"

    def _holder_of_lease(self) -> Holder | None:
        data = self._output.get(LEASE)
        return None if data is None else Holder.decode(data)

    def _lasts(self, holder: Holder) -> bool:
        """Whether a lease lasts by the clock of the store, which has written the claim since."""
        if not holder.may_go_on(0.0):
            return False
        lease, mine = self._output.stat(LEASE), self._output.stat(self._claim.path)
        if lease is None or mine is None:
            return False
        age = (mine[1] - lease[1]).total_seconds() + time.monotonic() - self._put_at
        return holder.may_go_on(age)

    def _put(self) -> None:
        holder, began = self._kept.lasting(self._claim.holder)
        self._output.put(self._claim.path, replace(self._claim, holder=holder).encode())
        self._put_at = time.monotonic()
        self._kept.wrote(holder, began)


@contextlib.contextmanager
def claimed(output: Output, task: str, partitions: int, under: str = "") -> Iterator[Claimed]:
    """Hold a claim on a task: written, renewed meanwhile, and taken away however this ends.

    Raises
    ------
    HeldError
        When a build holds OUT's lease, other than the one that this works ``under``.
    """
    claim = Claimed(output, task, partitions, under)
    try:
        claim.take()
        yield claim
    finally:
        claim.release()


def read_claims(output: Output) -> list[Claim]:
    """Return all claims in OUT, also those that are over; what is none of them is left out."""
    paths = output.paths(CLAIMS)
    claims = (Claim.decode(data or b"") for data in of_each(output, output.get, paths))
    return [
        claim
        for path, claim in zip(paths, claims, strict=True)
        if claim is not None and claim.path == path
    ]


def stale_claims(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return those that are over, and whose task nobody has taken up since."""
    claims = tuple(claims)
    taken_up = {claim.task for claim in claims if not claim.is_over}
    return tuple(claim for claim in claims if claim.is_over and claim.task not in taken_up)


def clear_claims(output: Output) -> None:
    """Refuse an OUT in which tasks are at work, and forget those that are over.

    To be called once OUT's lease is held.

    Raises
    ------
    HeldError
        Naming who is at work.
    """
    began, claims = time.monotonic(), read_claims(output)
    while _are_ending(claims):
        pause()
        claims = read_claims(output)
    left = _seconds_left(output, claims, time.monotonic() - began)
    alive = [claim for claim in claims if left[claim.path]]
    if alive:
        others = f", and {len(alive) - 1} more" if len(alive) > 1 else ""
        until = time.gmtime(time.time() + max(left.values()))
        raise HeldError(
            f"{output.url}: tasks are at work in it ({alive[0]}{others}): wait for them; those "
            f"that were killed are over at {time.strftime('%Y-%m-%d %H:%M:%S UTC', until)}"
        )
    for claim in claims:
        output.delete(claim.path)


def _are_ending(claims: Collection[Claim]) -> bool:
    """Whether it is known in a moment that all of them are over."""
    now = time.time()
    return all(claim.holder.is_over(now) for claim in claims) and any(
        claim.holder.is_ending(now) for claim in claims
    )


def _seconds_left(
    output: Output, claims: Collection[Claim], later: float = 0.0
) -> dict[str, float]:
    """Return for how long each still binds, by path; 0.0: nobody works on it.

    One that is over by this clock may not be by that of the store, which is as late, at least, as
    when the last of them was written, or the lease of OUT; so many seconds ``later``, at least.
    """
    clock = time.time()
    left = {
        claim.path: 0.0 if claim.holder.is_over(clock) else claim.holder.expires - clock
        for claim in claims
    }
    doubtful = [claim for claim in claims if not left[claim.path] and claim.holder.may_go_on(0.0)]
    if not doubtful:
        return left
    paths = [LEASE, *(claim.path for claim in claims)]
    found = zip(paths, of_each(output, output.stat, paths), strict=True)
    written = {path: stat[1] for path, stat in found if stat is not None}
    now = max(written.values(), default=None)
    for claim in doubtful:
        if now is not None and claim.path in written:
            age = (now - written[claim.path]).total_seconds() + later
            left[claim.path] = claim.holder.lasts - age if claim.holder.may_go_on(age) else 0.0
    return left


def forget_claims(output: Output, claims: Iterable[Claim] | None = None) -> None:
    """Delete the claims that are over, of which nobody else would."""
    found = [*(read_claims(output) if claims is None else claims)]
    left = _seconds_left(output, found)
    for claim in found:
        if not left[claim.path]:
            output.delete(claim.path)
