"""Many questions to a store, asked side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from parchunk.stores.answering import Waiting, looked_after

#: Threads that ask.
AT_ONCE = 16

#: Seconds between two looks at whether a thread waits for too long.
_LOOK = 0.5

#: What an item is before it is answered.
_NOTHING = object()

#: How a thread asks: itself, looked after, or as any other does.
_Way = Callable[[Waiting], AbstractContextManager[object]]

T = TypeVar("T")
U = TypeVar("U")


def in_threads(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Return what ``function`` makes of each item, in their order; it is called from many threads.

    The first item for which it raises raises for all; those behind it may not be asked any more.
    Where a request has no answer for as long as one may wait, ``function`` is called once more,
    unless none at all had one.
    """
    todo = list(items)
    if len(todo) < 2:
        return [function(item) for item in todo]
    return _Questions(function, todo).answered()


class _Questions(Generic[T, U]):
    """Items, each of which the next thread takes by itself.

    A future for each would take longer than to read a small document, and so would handing each
    request to another thread that may hang: these ask themselves, and are left where they hang.
    """

    def __init__(self, function: Callable[[T], U], todo: list[T]) -> None:
        self._function = function
        self._todo = todo
        self._found: list[Any] = [_NOTHING] * len(todo)
        self._failed: dict[int, BaseException] = {}
        self._stop = False
        self._ended: SimpleQueue[Waiting] = SimpleQueue()

    def answered(self) -> list[U]:
        """Ask, and return what came of it."""
        try:
            has_heard = self._ask(range(len(self._todo)), looked_after)
            left = [at for at, found in enumerate(self._found) if found is _NOTHING]
            if left and not self._failed and has_heard:
                # Threads were left with them: each request is waited for by itself now.
                self._ask(left, nullcontext)
            elif left and not self._failed:
                self._fail(left)
        finally:
            self._stop = True
        if self._failed:
            try:
                raise self._failed[min(self._failed)]
            finally:
                self._failed.clear()  # it holds this frame, and all that was found
        return self._found

    def _fail(self, items: Sequence[int]) -> None:
        """Say of items what is said where no answer comes: a store that has none hangs again."""
        waiting = Waiting()
        waiting.is_left = True
        with looked_after(waiting):
            for at in items:
                self._found[at] = self._function(self._todo[at])

    def _ask(self, items: Sequence[int], way: _Way) -> bool:
        """Ask for items in new threads; return when each has ended, or was left.

        Whether any request has come back is known of those that are looked after.
        """
        turns = iter(items)
        all_of_them = [Waiting() for _ in range(min(AT_ONCE, len(items)))]
        at_work = {*all_of_them}
        for waiting in at_work:
            run = threading.Thread(target=self._run, args=(turns, waiting, way), name="ask")
            run.daemon = True
            run.start()
        while at_work:
            try:
                at_work.discard(self._ended.get(timeout=_LOOK))
            except Empty:
                at_work = {waiting for waiting in at_work if not waiting.is_left_if_late()}
        return any(waiting.has_heard for waiting in all_of_them)

    def _run(self, turns: Iterator[int], waiting: Waiting, way: _Way) -> None:
        with way(waiting):
            for at in turns:
                if self._stop or self._failed:
                    break
                try:
                    found = self._function(self._todo[at])
                except BaseException as error:  # raised where all were asked for
                    if not waiting.is_left:
                        self._failed[at] = error
                else:
                    if not waiting.is_left:
                        self._found[at] = found
                if waiting.is_left:
                    break
        self._ended.put(waiting)
