"""Threads that the jobs of one process share."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from copy import copy

from parchunk.building.arrow_memory import SYSTEM_MEMORY
from parchunk.cover.memory import TAKERS, WRITERS
from parchunk.listing.wire.server import hang_up
from parchunk.workers.here import Here
from parchunk.writing.inline_room import InlineRoom


class Pools:
    """Threads that the jobs of one process share; a context manager that ends them.

    A `KeyboardInterrupt` does not wait for those that read: a listing may hang for as long as a
    server likes, and writes nothing when it returns.

    Meanwhile Arrow takes memory from the system.
    """

    def __init__(self, concurrency: int, small: int = 1) -> None:
        """Make room for so many listings, and as many writes; for ``small`` of small partitions."""
        self.listings: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="listing")
        self.takers: Executor = ThreadPoolExecutor(TAKERS, thread_name_prefix="taker")
        self.writers: Executor = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self.fetches: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
        #: For small partitions: each is written from its rows to its receipt by one thread.
        self.small: Executor = ThreadPoolExecutor(small, thread_name_prefix="small")
        #: Whether they are written some at a time: else some would wait for others' writes.
        self.together = small == 1
        #: For others: each waits for the last of its record files.
        self.partitions: Executor = ThreadPoolExecutor(concurrency, thread_name_prefix="partition")
        #: Whose turn it is to read a page of small arrays.
        self.turn = threading.Lock()
        self.stop = threading.Event()
        self.room = InlineRoom(self.stop)

    @property
    def here(self) -> Pools:
        """These for a job so small that to hand work over would take longer than the work."""
        same = copy(self)
        same.listings = same.takers = same.writers = Here()
        return same

    def __enter__(self) -> Pools:
        SYSTEM_MEMORY.use()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.stop.set()
        SYSTEM_MEMORY.leave()
        orderly = error is None or isinstance(error, Exception)
        readers = (self.listings, self.takers, self.fetches)
        for pool in (*readers, self.writers, self.small, self.partitions):
            pool.shutdown(wait=orderly, cancel_futures=True)
        hang_up()
