"""Answers of a store, each of which is waited for only so long."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from parchunk.stores.hanging import HANGING, TOO_MANY, Request

#: Seconds that an answer may take: more than a client of `parchunk.stores` tries by itself.
QUIET = 240.0

#: Seconds that a thread waits for another request before it ends.
_IDLE = 5.0

#: Said of as many seconds.
_NONE_CAME = "no answer came for {:g} s: check the endpoint and the network, and try again"

_T = TypeVar("_T")
#: What a thread is to ask for, None for no more, and what it was told.
_Wanted = SimpleQueue[tuple[Callable[[], Any], Request] | None]
_Come = SimpleQueue[tuple[Any, BaseException | None]]


class UnansweredError(Exception):
    """No answer came for as long as one may wait; ``args[0]`` says so."""


class _Asker:
    """A thread that asks for one thing after another, and ends when nobody wants any for a while.

    To start one for each request would take longer than all else that Python does for it. It ends,
    too, when this is gone, as where who asked was interrupted.
    """

    def __init__(self) -> None:
        self._wanted: _Wanted = SimpleQueue()
        self._come: _Come = SimpleQueue()
        weakref.finalize(self, self._wanted.put, None).atexit = False
        of = (weakref.ref(self), self._wanted, self._come)
        threading.Thread(target=_run, args=of, name="answer", daemon=True).start()

    def ask(self, ask: Callable[[], Any], quiet: float) -> tuple[Any, BaseException | None]:
        """Return what ``ask`` returns and None, or None and what it raises; raise `Empty` later."""
        request = Request()
        self._wanted.put((ask, request))
        try:
            return self._come.get(timeout=quiet)
        except BaseException:
            request.leave()
            raise


def _run(of: weakref.ref[_Asker], wanted: _Wanted, come: _Come) -> None:
    """Ask for what is wanted; hold no asker meanwhile, which is its user's alone."""
    while True:
        try:
            found = wanted.get(timeout=_IDLE)
        except Empty:
            asker = of()
            if asker is not None and _ASKERS.forget(asker):
                return
            del asker
            continue
        if found is None:
            return
        ask, request = found
        try:
            come.put((ask(), None))
        except BaseException as error:  # raised where it was asked for
            come.put((None, error))
        request.end()
        del ask, request, found  # what they hold is not needed until another comes


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


class Waiting:
    """What a thread that is looked after waits for: it asks by itself, and may be left."""

    def __init__(self) -> None:
        #: Whether nobody looks after it any more, nor wants what it finds.
        self.is_left = False
        #: Whether any request of it has come back.
        self.has_heard = False
        self._late = math.inf
        self._request: Request | None = None

    @property
    def is_asking(self) -> bool:
        """Whether a request of it is under way."""
        return self._request is not None

    def ask(self, ask: Callable[[], _T], quiet: float) -> _T:
        """Return what ``ask`` returns, in this thread."""
        if self.is_left:
            raise UnansweredError(_NONE_CAME.format(quiet))
        request = self._request = Request()
        self._late = time.monotonic() + quiet
        try:
            return ask()
        finally:
            self.has_heard = True
            self._late = math.inf
            self._request = None
            request.end()

    def is_left_if_late(self) -> bool:
        """Leave the thread if a request has had no answer for too long; return whether it has."""
        request = self._request
        if request is None or time.monotonic() < self._late:
            return False
        self.is_left = True
        request.leave()
        return True


class _Here(threading.local):
    waiting: Waiting | None = None


_HERE = _Here()


@contextmanager
def looked_after(waiting: Waiting) -> Iterator[None]:
    """Ask in this thread from now on: somebody else looks whether ``waiting`` is late."""
    before, _HERE.waiting = _HERE.waiting, waiting
    try:
        yield
    finally:
        _HERE.waiting = before


def answer(ask: Callable[[], _T], quiet: float) -> _T:
    """Return what ``ask`` returns, or raise what it raises, if that is within ``quiet`` seconds.

    Requests of obstore cannot be interrupted, and go on for ever where a client was given no
    time-out, or a listing never ends. A thread that is left behind only reads, and ends with its
    request or with the process. In one that is looked after, that is this thread.

    Raises
    ------
    UnansweredError
        When nothing came in that time; when too many requests of before hang.
    """
    if HANGING.is_full():
        raise UnansweredError(TOO_MANY)
    waiting = _HERE.waiting
    if waiting is not None and not waiting.is_asking:
        return waiting.ask(ask, quiet)
    asker = _ASKERS.take()
    try:
        found, error = asker.ask(ask, quiet)
    except Empty:
        raise UnansweredError(_NONE_CAME.format(quiet)) from None
    _ASKERS.give(asker)
    if error is not None:
        try:
            raise error
        finally:
            # It holds this frame, and those of who asked, with all that they hold: in a ring no
            # longer than until it is caught.
            del error
    result: _T = found
    return result
