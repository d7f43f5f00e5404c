"""Answers of a store, each of which is waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

#: Seconds that an answer may take: more than a client of `parchunk.stores` tries by itself.
QUIET = 240.0

_T = TypeVar("_T")


class UnansweredError(Exception):
    """No answer came for as long as one may wait; ``args[0]`` says so."""


def answer(ask: Callable[[], _T], quiet: float) -> _T:
    """Return what ``ask`` returns, or raise what it raises, if that is within ``quiet`` seconds.

    Requests of obstore cannot be interrupted, and go on for ever where a client was given no
    time-out, or a listing never ends. A thread that is left behind only reads, and ends with its
    request or with the process.

    Raises
    ------
    UnansweredError
        When nothing came in that time.
    """
    come: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            come.put((ask(), None))
        except BaseException as error:  # raised where it was asked for
            come.put((None, error))

    threading.Thread(target=run, name="answer", daemon=True).start()
    try:
        found, error = come.get(timeout=quiet)
    except Empty:
        raise UnansweredError(
            f"no answer came for {quiet:g} s: check the endpoint and the network, and try again"
        ) from None
    if error is not None:
        raise error
    result: _T = found
    return result
