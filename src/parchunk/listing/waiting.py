"""Waiting for listings, without missing that the build ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, wait
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from parchunk.errors import ParchunkError
from parchunk.listing.batches import TICK

T = TypeVar("T")


def next_from(passed: SimpleQueue[T], stop: threading.Event) -> T:
    """Return what comes next, unless the build is ending."""
    while True:
        try:
            return passed.get(timeout=TICK)
        except Empty:
            go_on(stop)


def go_on(stop: threading.Event) -> None:
    """Do not wait for a listing that may hang while the build is ending.

    Raises
    ------
    Cancelled
        When it is.
    """
    if stop.is_set():
        raise Cancelled("cancelled")


def leave(stop: threading.Event, futures: Iterable[Future[Any]]) -> None:
    """Leave nothing running, but what hangs while the build is ending: it only reads."""
    for future in futures:
        future.cancel()
    while wait(futures, TICK).not_done and not stop.is_set():
        pass


class Cancelled(ParchunkError):
    """The build is ending for another reason; not an error of its own."""


def result_unless(stop: threading.Event, future: Future[T]) -> T:
    """Return a future's result; raise `Cancelled` once ``stop`` is set, however long it hangs."""
    while not future.done():
        wait([future], TICK)
        if stop.is_set():
            raise Cancelled("cancelled")
    return future.result()
