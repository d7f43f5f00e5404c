"""As many threads as keep the process busy: one on a fast disk, all where writes take long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from itertools import count

import pytest

from parchunk.building.hands import LOOK, Hands

#: Threads, at most, and seconds of a task.
MOST, SHORT = 3, LOOK / 10


def who() -> int:
    time.sleep(SHORT)
    return threading.get_ident()


def always_busy() -> Callable[[], float]:
    """Return a clock that goes on by very many seconds whenever it is looked at."""
    return count(0, 1_000_000).__next__


def hands_in(used: Callable[[], float]) -> Hands:
    return Hands(MOST, "hand", used)


def test_a_process_that_is_busy_has_one_thread_which_does_all_in_order() -> None:
    done: list[int] = []
    with hands_in(always_busy()) as hands:

        def noted(at: int) -> int:
            done.append(at)
            return who()

        threads = [hands.submit(noted, at) for at in range(50)]
        assert len({one.result() for one in threads}) == 1
    assert done == list(range(50))


def test_a_process_that_waits_has_them_all_and_no_more() -> None:
    with hands_in(lambda: 0.0) as hands:
        threads = [hands.submit(who) for _ in range(100)]
        assert len({one.result() for one in threads}) == MOST


def test_threads_that_crowd_end_until_there_is_one() -> None:
    busy = threading.Event()
    rising = always_busy()
    with hands_in(lambda: rising() if busy.is_set() else 0.0) as hands:
        assert len({one.result() for one in [hands.submit(who) for _ in range(100)]}) == MOST
        busy.set()
        rest = [hands.submit(who) for _ in range(200)]
        assert len({one.result() for one in rest[-20:]}) == 1


def test_what_fails_fails_alone() -> None:
    def fail() -> int:
        raise ValueError("no")

    with hands_in(always_busy()) as hands:
        failed, done = hands.submit(fail), hands.submit(who)
        assert done.result()
        with pytest.raises(ValueError, match=r"^no$"):
            failed.result()


@pytest.mark.parametrize("waiting", [True, False])
def test_what_was_cancelled_is_not_done_and_nothing_is_taken_in_at_the_end(waiting: bool) -> None:
    begun, going = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        assert going.wait(60)
        return "done"

    hands = hands_in(lambda: 0.0)
    under_way, alone = hands.submit(first), hands.submit(who)
    others: list[Future[int]] = [hands.submit(who) for _ in range(10)]
    assert begun.wait(60)
    assert alone.cancel()
    if waiting:
        going.set()
    hands.shutdown(wait=waiting, cancel_futures=not waiting)
    going.set()
    assert under_way.result(60) == "done"
    for other in others:
        if waiting:
            assert other.result(60)
        else:
            with pytest.raises(CancelledError):
                other.result(60)
    with pytest.raises(CancelledError):
        alone.result(60)
    with pytest.raises(RuntimeError, match="shut down"):
        hands.submit(who)
