"""Batches of a listing, each of which is waited for only so long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from parchunk.stores.hanging import HANGING, TOO_MANY, Request

#: Seconds after which one who waits looks whether the build is ending.
TICK = 0.25


class Stalled(Exception):
    """Nothing came for as long as one may wait; ``args[0]`` says so."""


class Batches:
    """Batches of a stream, asked for one by one in a thread of its own.

    obstore's streams cannot be interrupted, and go on for ever where a server sends empty pages, or
    where the client knows no time-out. A thread that is left behind only reads, and ends with its
    request or with the process.
    """

    def __init__(
        self, open_stream: Callable[[], Iterator[Any]], quiet: float, stop: threading.Event
    ) -> None:
        """Open the stream when the first batch is asked for; wait ``quiet`` seconds at most.

        Raises
        ------
        Stalled
            When too many requests of before hang.
        """
        if HANGING.is_full():
            raise Stalled(TOO_MANY)
        self._quiet, self._stop = quiet, stop
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._come: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._request = Request()
        run = threading.Thread(target=self._run, args=(open_stream,), name="batches", daemon=True)
        run.start()

    def __iter__(self) -> Iterator[Any]:
        """Yield batches; what the stream raises is raised.

        It ends early, without an error, once ``stop`` is set.

        Raises
        ------
        Stalled
            When none came for ``quiet`` seconds.
        """
        try:
            while True:
                self._asked.put(True)
                batch, error = self._next()
                if error is not None:
                    try:
                        raise error
                    finally:
                        del error  # it holds this frame, and would hold itself
                if batch is None:
                    return
                yield batch
        finally:
            self._asked.put(False)

    def _next(self) -> tuple[Any, BaseException | None]:
        until = time.monotonic() + self._quiet
        while True:
            try:
                return self._come.get(timeout=TICK)
            except Empty:
                if self._stop.is_set():
                    self._request.leave()
                    return None, None
                if time.monotonic() >= until:
                    self._request.leave()
                    raise Stalled(f"nothing came for {self._quiet:g} s") from None

    def _run(self, open_stream: Callable[[], Iterator[Any]]) -> None:
        stream: Iterator[Any] | None = None
        while self._asked.get():
            try:
                stream = stream or iter(open_stream())
                self._come.put((next(stream, None), None))
            except BaseException as error:  # raised where the batch was asked for
                self._come.put((None, error))
        self._request.end()
