"""Answers of a store, each of which is waited for only so long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

#: Seconds that an answer may take: more than a client of `parchunk.stores` tries by itself.
QUIET = 240.0

#: Seconds that a thread waits for another request before it ends.
_IDLE = 5.0

_T = TypeVar("_T")


class UnansweredError(Exception):
    """No answer came for as long as one may wait; ``args[0]`` says so."""


class _Asker:
    """A thread that asks for one thing after another, and ends when nobody wants any for a while.

    To start one for each request would take longer than all else that Python does for it.
    """

    def __init__(self) -> None:
        self._wanted: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._come: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._is_left = False
        threading.Thread(target=self._run, name="answer", daemon=True).start()

    def _run(self) -> None:
        while not self._is_left:
            try:
                ask = self._wanted.get(timeout=_IDLE)
            except Empty:
                if _ASKERS.forget(self):
                    return
                continue
            try:
                self._come.put((ask(), None))
            except BaseException as error:  # raised where it was asked for
                self._come.put((None, error))
            del ask  # what it holds is not needed until another comes

    def ask(self, ask: Callable[[], Any], quiet: float) -> tuple[Any, BaseException | None]:
        """Return what ``ask`` returns and None, or None and what it raises; raise `Empty` later."""
        self._wanted.put(ask)
        try:
            return self._come.get(timeout=quiet)
        except BaseException:
            self._is_left = True
            raise


class _Askers:
    """Askers that have nothing to do."""

    def __init__(self) -> None:
        self._idle: list[_Asker] = []
        self._lock = threading.Lock()

    def take(self) -> _Asker:
        """Return one that nobody else has."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Asker()

    def give(self, asker: _Asker) -> None:
        """Take back one that has answered."""
        with self._lock:
            self._idle.append(asker)

    def forget(self, asker: _Asker) -> bool:
        """Whether this one may end: it is not given away any more then."""
        with self._lock:
            if asker in self._idle:
                self._idle.remove(asker)
                return True
        return False


_ASKERS = _Askers()
if hasattr(os, "register_at_fork"):
    # A forked process has the list, and none of the threads.
    os.register_at_fork(after_in_child=_ASKERS.__init__)  # type: ignore[misc]


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
    asker = _ASKERS.take()
    try:
        found, error = asker.ask(ask, quiet)
    except Empty:
        raise UnansweredError(
            f"no answer came for {quiet:g} s: check the endpoint and the network, and try again"
        ) from None
    _ASKERS.give(asker)
    if error is not None:
        raise error
    result: _T = found
    return result
