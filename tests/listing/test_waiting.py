"""Waiting for many futures: one failure ends it, and so does the end of the build."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from parchunk.listing.waiting import Cancelled, all_unless


def done(error: Exception | None = None) -> Future[int]:
    future: Future[int] = Future()
    if error is None:
        future.set_result(1)
    else:
        future.set_exception(error)
    return future


def test_nothing_is_waited_for_that_is_done() -> None:
    all_unless(threading.Event(), [])
    all_unless(threading.Event(), [done(), done()])


def test_a_failure_is_not_kept_back_by_what_still_runs() -> None:
    running: Future[int] = Future()
    with pytest.raises(ValueError, match="no"):
        all_unless(threading.Event(), [done(), running, done(ValueError("no"))])


def test_what_hangs_is_not_waited_for_when_the_build_ends() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        all_unless(stop, [done(), Future()])


def test_it_waits_for_all() -> None:
    running: Future[int] = Future()

    class Asked(threading.Event):
        """Asked while it waits whether the build ends: only then is there a result."""

        def is_set(self) -> bool:
            running.set_result(2)
            return False

    all_unless(Asked(), [done(), running])
    assert running.done()
