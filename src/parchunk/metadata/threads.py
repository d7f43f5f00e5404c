"""Many questions to a store, asked side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from typing import Any, TypeVar

#: Threads that ask.
AT_ONCE = 16

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Return what ``function`` makes of each item, in their order; it is called from many threads.

    The first item for which it raises raises for all; those behind it may not be asked any more.
    """
    todo = list(items)
    if len(todo) < 2:
        return [function(item) for item in todo]
    # Each thread takes the next item by itself: a future for each would take longer than to read
    # a small document.
    found: list[Any] = [None] * len(todo)
    failed: dict[int, Exception] = {}
    turns = count()
    stop = False

    def ask() -> None:
        while not (stop or failed) and (at := next(turns)) < len(todo):
            try:
                found[at] = function(todo[at])
            except Exception as error:
                failed[at] = error

    threads = min(AT_ONCE, len(todo))
    with ThreadPoolExecutor(threads) as pool:
        asking = [pool.submit(ask) for _ in range(threads)]
        try:
            wait(asking)
        finally:
            stop = True
    if failed:
        raise failed[min(failed)]
    for one in asking:
        one.result()  # raises what is no Exception, as where a library in Rust panics
    return found
