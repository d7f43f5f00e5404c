"""Threads for work that is Python in part, and in part waits for OUT: as many as that takes.

On a fast disk one thread is quickest: several that run Python take turns at every call that leaves
it, and to wait for turns costs more than the work. Where a write takes long, as in object stores
and network file systems, many must be under way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between two looks at how busy the process is.
LOOK = 0.03
#: Of one processor: a process that is less busy waits, ...
_WAITS = 0.7
#: ... and the threads of one that is busier wait for each other.
_CROWDED = 1.1


class Hands(Executor):
    """Does one thing after another, in one thread, or in up to ``most`` of them.

    There are as many as keep this process busy. What was submitted first begins first.
    """

    def __init__(self, most: int, name: str, used: Callable[[], float] = time.process_time) -> None:
        """``used`` says how many seconds of a processor the process has used."""
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._most, self._used = most, used
        self._wanted = 1
        self._at_work = 0
        self._ended = False
        self._todo: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._seen = time.monotonic(), used()
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return the future of a call that is made when its turn comes."""
        future: Future[T] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError("it was shut down")
            if not self._at_work:
                self._seen = time.monotonic(), self._used()
            self._todo.append((future, lambda: fn(*args, **kwargs)))
            self._begin()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once all is done, or cancelled."""
        with self._lock:
            self._ended = True
            for future, _ in self._todo if cancel_futures else ():
                future.cancel()
        self._threads.shutdown(wait=wait)

    def _begin(self) -> None:
        if self._todo and self._at_work < self._wanted and not self._ended:
            self._threads.submit(self._work)
            self._at_work += 1

    def _work(self) -> None:
        """Do what is to be done until nothing is left, or fewer threads are wanted."""
        while True:
            with self._lock:
                if not self._todo or self._at_work > self._wanted:
                    self._at_work -= 1
                    return
                future, call = self._todo.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del future, call  # what they hold goes before the next begins
            if time.monotonic() >= self._seen[0] + LOOK:
                self._look()

    def _look(self) -> None:
        """Let one more thread begin, or one end, by how busy the process was of late."""
        with self._lock:
            now, used = time.monotonic(), self._used()
            since, before = self._seen
            if now < since + LOOK:
                return  # another thread has looked
            self._seen = now, used
            busy = (used - before) / (now - since)
            if busy < _WAITS:
                self._wanted = min(self._wanted + 1, self._most)
            elif busy > _CROWDED:
                self._wanted = max(self._wanted - 1, 1)
            self._begin()
