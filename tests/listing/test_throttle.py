"""Requests become fewer when a server says that they are too many, and more again after that."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from obstore.store import S3Store

from parchunk.errors import InputError
from parchunk.listing.patience import Patience
from parchunk.stores.same_store import SameStore
from parchunk.stores.throttle import Pace, Throttle, throttle_of


def test_half_as_many_once_a_rush_and_one_more_a_round() -> None:
    throttle, stop = Throttle(), threading.Event()
    rush = [throttle.begin(stop) for _ in range(32)]
    assert throttle.most == math.inf
    for begun in rush:  # all of one rush: it is answered for once
        throttle.end(begun, busy=True)
    assert throttle.most == 16
    for _ in range(16):
        throttle.end(throttle.begin(stop), busy=False)
    assert throttle.most == pytest.approx(17, abs=0.1)
    for _ in range(10):
        throttle.end(throttle.begin(stop), busy=True)
    assert throttle.most == 1  # never none


def test_who_waits_goes_on_when_the_build_ends() -> None:
    throttle, stop = Throttle(), threading.Event()
    throttle.end(throttle.begin(stop), busy=True)
    throttle.begin(stop)
    waiting = threading.Thread(target=throttle.begin, args=(stop,))
    waiting.start()
    stop.set()
    waiting.join(250)
    assert not waiting.is_alive()


def test_it_settles_near_what_a_server_bears() -> None:
    """One that answers 503 to whoever comes while six others are being served."""
    throttle, stop, lock = Throttle(), threading.Event(), threading.Lock()
    serving = refused = served = 0

    def ask(_: int) -> None:
        nonlocal serving, refused, served
        while True:
            begun = throttle.begin(stop)
            with lock:
                busy = serving >= 6
                serving += not busy
            if not busy:
                stop.wait(0.001)
                with lock:
                    serving -= 1
            throttle.end(begun, busy)
            with lock:
                refused, served = refused + busy, served + (not busy)
            if not busy:
                return

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(2_000)))
    assert served == 2_000
    assert refused < 600  # of 32 that know no bound it would be most


class Clock:
    """A time that passes where it is waited for, and an event that never comes."""

    def __init__(self) -> None:
        self.now = 100.0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def is_set(self) -> bool:
        return False


def test_so_many_begin_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = Clock()
    monkeypatch.setattr("parchunk.stores.throttle.time.monotonic", lambda: clock.now)
    throttle, begun = Throttle(Pace(4)), []
    for asked in (True, True, False, True):
        begins = throttle.begin(clock)
        begun.append(clock.now - 100)
        throttle.end(begins, busy=False, asked=asked)
    assert begun == [0, 0.25, 0.5, 0.5]  # what was not asked for is the next one's
    clock.now += 10
    throttle.begin(clock)
    throttle.begin(clock)
    assert clock.now == 110.75  # nothing is saved up


def test_several_stores_of_a_process_keep_a_rate_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = Clock()
    monkeypatch.setattr("parchunk.stores.throttle.time.monotonic", lambda: clock.now)
    for bucket in ("a", "b", "c"):
        store = SameStore(S3Store(bucket, region="us-east-1", skip_signature=True))
        throttle_of(store, "", 0.2, -1).begin(clock)
    assert clock.now == 110


def test_waits_are_no_longer_than_python_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = Clock()
    monkeypatch.setattr("parchunk.stores.throttle.time.monotonic", lambda: clock.now)
    throttle = Throttle(Pace(1e-300))
    throttle.begin(clock)
    throttle.begin(clock)
    assert clock.now == 100 + threading.TIMEOUT_MAX


@pytest.mark.parametrize("rate", [0, -1, math.nan, "5"])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(InputError, match="give a number above 0"):
        Patience(lists_per_second=rate)
