"""Waiting for listings, without missing that the build ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from parchunk.errors import ParchunkError
from parchunk.listing.batches import TICK

T = TypeVar("T")


def next_from(passed: SimpleQueue[T], stop: threading.Event) -> T:
    """Return what comes next; raise `Cancelled` when the build is ending before it does."""
    while True:
        try:
            return passed.get(timeout=TICK)
        except Empty:
            go_on(stop)


def go_on(stop: threading.Event) -> None:
    """Raise `Cancelled` when the build is ending: a listing that hangs is not waited for then."""
    if stop.is_set():
        raise Cancelled("cancelled")


def leave(stop: threading.Event, futures: Iterable[Future[Any]]) -> None:
    """Cancel futures, and wait for those that run; no longer once the build is ending.

    What still runs then only reads.
    """
    for future in futures:
        future.cancel()
    while wait(futures, TICK).not_done and not stop.is_set():
        pass


class Cancelled(ParchunkError):
    """The build is ending for another reason; not an error of its own."""


def all_unless(stop: threading.Event, futures: Iterable[Future[Any]]) -> None:
    """Wait for futures; raise the first error, or `Cancelled` once ``stop`` is set.

    Whoever waits is woken once, not for each of very many.
    """
    left = set(futures)
    while left:
        done, left = wait(left, TICK, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        if left:
            go_on(stop)


def result_unless(stop: threading.Event, future: Future[T]) -> T:
    """Return a future's result; raise `Cancelled` once ``stop`` is set, however long it hangs."""
    while not future.done():
        wait([future], TICK)
        if stop.is_set():
            raise Cancelled("cancelled")
    return future.result()
