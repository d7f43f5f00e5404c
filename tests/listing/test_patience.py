"""Asking again: as often as was said, not when it cannot help, and not when the build ends."""

from __future__ import annotations

import threading

import pytest

from parchunk.listing.patience import Patience, Requests
from parchunk.listing.waiting import Cancelled

PATIENCE = Patience(attempts=4, first_wait=0.001, longest_wait=0.001)


class Failing:
    """Fails so many times before it answers."""

    def __init__(self, times: int, stop: threading.Event | None = None) -> None:
        self.times = times
        self.asked = 0
        self.stop = stop

    def __call__(self) -> int:
        """Answer how often this was asked."""
        self.asked += 1
        if self.stop is not None:
            self.stop.set()
        if self.asked <= self.times:
            raise OSError(f"failure {self.asked}")
        return self.asked


def tried(failing: Failing, requests: Requests, *, final: bool = False) -> int:
    stop = failing.stop or threading.Event()
    return PATIENCE.tried(failing, lambda _: final, lambda: requests.add(retries=1), stop)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_what_fails_a_few_times_is_asked_again(times: int) -> None:
    requests = Requests()
    assert tried(Failing(times), requests) == times + 1
    assert requests.retries == times


def test_the_last_failure_is_raised() -> None:
    failing, requests = Failing(9), Requests()
    with pytest.raises(OSError, match="failure 4"):
        tried(failing, requests)
    assert (failing.asked, requests.retries) == (4, 3)


def test_what_is_final_is_not_asked_again() -> None:
    failing, requests = Failing(1), Requests()
    with pytest.raises(OSError, match="failure 1"):
        tried(failing, requests, final=True)
    assert (failing.asked, requests.retries) == (1, 0)


def test_nothing_is_asked_of_a_build_that_ends() -> None:
    failing = Failing(9, threading.Event())
    with pytest.raises(Cancelled):
        tried(failing, Requests())
    assert failing.asked == 1
