"""Leases and claims of machines whose clocks differ: they last by the clock of OUT's store."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.out.leases import holder_in, output_in, write_lease

from parchunk.errors import HeldError
from parchunk.out.claims import Claimed, clear_claims, forget_claims, read_claims
from parchunk.out.lease import Lease, held
from parchunk.out.output import LEASE, Output


def seconds_until(said: str) -> float:
    """Return how far in the future a time is that a message tells."""
    then = datetime.strptime(said, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()


@contextlib.contextmanager
def clock_of_another_machine(monkeypatch: pytest.MonkeyPatch, askew: float) -> Iterator[None]:
    """Have the clock of this process be that of another machine meanwhile, which is askew."""
    now = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now() + askew)
        patched.setattr(socket, "gethostname", lambda: "elsewhere")
        yield


#: Seconds by which another machine's clock is ahead; none of them lets a lease seem to last.
ASKEW = [-100.0, -5000.0, 5000.0]


@pytest.mark.parametrize("askew", ASKEW)
def test_a_lease_of_a_machine_with_another_clock_is_given_back(
    output: Output, monkeypatch: pytest.MonkeyPatch, askew: float
) -> None:
    """It lasts by the clock of the store; once it does not any more, it is taken over."""
    with clock_of_another_machine(monkeypatch, askew):
        theirs = Lease(output, expiry=60)
        theirs.take()
    before = holder_in(output)
    time.sleep(0.05)  # a store's clock may tell some milliseconds for one moment
    with pytest.raises(HeldError, match=r"on elsewhere.*whose clock is not this machine's"):
        Lease(output).take()
    after = holder_in(output)
    assert replace(after, lasts=before.lasts) == before
    assert 0 < after.lasts < before.lasts  # else those who look in vain would keep it for ever
    theirs.confirm()
    theirs.leave()
    theirs.release()
    with clock_of_another_machine(monkeypatch, askew):
        again = Lease(output, expiry=0.01)
        again._put(theirs._version)
    time.sleep(0.05)
    with held(output) as mine:
        mine.confirm()


def test_a_killed_one_of_a_machine_with_another_clock_is_waited_for(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was there for a moment only, and others who wait do not prolong it."""
    with clock_of_another_machine(monkeypatch, ASKEW[0]):
        killed = Lease(output, expiry=60, renewal=1000, purpose="publish")
        killed.take()
    before = holder_in(output)
    time.sleep(0.05)
    other = Lease(output)
    with pytest.raises(HeldError, match="whose clock is not this machine's"):
        other.take(0.2)
    after = holder_in(output)
    assert 0 < after.lasts < before.lasts
    output.put(LEASE, replace(after, lasts=0.5).encode())  # as much later
    with held(output, wait=200) as mine:
        mine.confirm()
    killed.leave()
    killed.release()


def test_one_that_expired_a_moment_ago_is_waited_for(tmp_path: Path) -> None:
    """By the clock of the store it lasts still: it came there after its holder looked at his."""
    output = output_in("local", tmp_path)

    def expire(path: str, write: Callable[[float], object]) -> float:
        """Have it written so that it lasts for 4 s, and for 0.2 s more by the store's clock."""
        expires = time.time() - 0.1
        write(expires)
        os.utime(tmp_path / "out" / path, (expires - 3.8, expires - 3.8))
        return expires

    def lease(expires: float) -> None:
        write_lease(output, host="elsewhere", expires=expires, lasts=4.0)

    expired = expire(LEASE, lease)
    with held(output) as mine:
        assert time.time() >= expired + 0.4
        mine.confirm()
    expire(LEASE, lease)
    task = Claimed(output, "t region 3", 1)
    task.take()
    task.release()
    output.delete(LEASE)

    def claim(expires: float) -> None:
        ended = replace(task._claim.holder, host="elsewhere", expires=expires, lasts=4.0)
        output.put(task._claim.path, replace(task._claim, holder=ended).encode())

    expire(task._claim.path, claim)
    with held(output):
        clear_claims(output)
        assert not read_claims(output)


def test_one_is_given_back_where_the_answer_of_taking_it_was_lost(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client asks again, and is told that the lease is another than it knows: its own."""
    with clock_of_another_machine(monkeypatch, -300.0):
        theirs = Lease(output, expiry=60)
        theirs.take()
    put, asked = type(output).put_if, 0

    def unheard(self: Output, path: str, data: bytes, version: Any) -> Any:
        nonlocal asked
        asked += 1
        found = put(self, path, data, version)
        return None if asked == 1 else found

    monkeypatch.setattr(type(output), "put_if", unheard)
    with pytest.raises(HeldError, match=r"on elsewhere.*whose clock is not this machine's"):
        Lease(output).take()
    theirs.leave()
    theirs.release()


@pytest.mark.parametrize("askew", ASKEW)
def test_a_claim_of_a_machine_with_another_clock_holds(
    output: Output, monkeypatch: pytest.MonkeyPatch, askew: float
) -> None:
    """So do claims of tasks against a build, and its lease against them."""
    output.prepare()
    with clock_of_another_machine(monkeypatch, askew):
        claim = Claimed(output, "t region 3", 1)
        claim.take()
    with held(output):
        with pytest.raises(HeldError, match="tasks are at work in it") as error:
            clear_claims(output)
        over = str(error.value).rpartition("are over at ")[2]
        assert 0 < seconds_until(over) <= 60  # by this clock, which is his who reads it
        forget_claims(output)
        assert len(read_claims(output)) == 1
    claim.release()
    assert not read_claims(output)
    with clock_of_another_machine(monkeypatch, askew):
        lease = Lease(output)
        lease.take()
    with pytest.raises(HeldError, match="is being built by another process"):
        Claimed(output, "t region 3", 1).take()
    lease.release()
