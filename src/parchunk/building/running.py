"""Running tasks side by side: in threads, in worker processes, or in a caller's executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from functools import partial

from parchunk.building.pools import Pools
from parchunk.building.results import Progress
from parchunk.building.task import Task, TaskResult
from parchunk.building.worker import build_task
from parchunk.errors import SourceError
from parchunk.listing.patience import Requests
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Partition

#: Tasks whose coordinators wait side by side; each is a thread that mostly sleeps.
_TASKS_IN_FLIGHT = 32
#: Seconds that Ctrl-C waits for writes under way.
GRACE = 3.0
#: Seconds between two progress reports when nothing is finished meanwhile.
_TICK = 0.5


class Run:
    """The tasks of one build as they run, and what has come of them."""

    def __init__(
        self,
        partitions: Iterable[Partition],
        done: list[Receipt],
        progress: Callable[[Progress], None] | None,
        began: float,
        check: Callable[[], None],
    ) -> None:
        self._check = check
        #: What each task that is under way holds, in chunks.
        self._flying: dict[Future[TaskResult], int] = {}
        #: Whether a write still hangs, somewhere, though the build has ended.
        self.writing = False
        totals = [partition.rows.total for partition in partitions]
        self.partitions_total, self.chunks_total = len(totals), sum(totals)
        self.receipts = done
        self.requests = Requests()
        self.notes: list[str] = []
        self._summed = self._chunks = 0
        self._progress = progress
        self._began = began

    def in_threads(self, tasks: Iterable[Task], most_held: int, concurrency: int) -> None:
        """Run tasks in this process, as many at once as fit the memory bound together."""
        coordinators = ThreadPoolExecutor(_TASKS_IN_FLIGHT, thread_name_prefix="task")
        with Pools(concurrency) as pools:
            call = partial(
                build_task, pools=pools, requests=self.requests, notify=self.receipts.append
            )
            alone = partial(call, pools=pools.here)

            def submit(task: Task) -> Future[TaskResult]:
                if task.small:  # it takes one listing, and the place of one
                    return pools.listings.submit(alone, task)
                return coordinators.submit(call, task)

            try:
                self._run(tasks, submit, most_held)
            except Exception:
                pools.stop.set()
                coordinators.shutdown(cancel_futures=True)
                raise
            except BaseException:  # Ctrl-C
                pools.stop.set()
                pools.writers.shutdown(wait=False, cancel_futures=True)
                pools.partitions.shutdown(wait=False, cancel_futures=True)
                coordinators.shutdown(wait=False, cancel_futures=True)
                self.writing = bool(wait(self._flying, timeout=GRACE).not_done)
                raise
            coordinators.shutdown()

    def in_processes(self, tasks: Iterable[Task], workers: int) -> None:
        """Run tasks in worker processes, one a worker at a time."""
        context = multiprocessing.get_context("spawn")
        before = multiprocessing.active_children()  # of the caller's: not ours to end
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet) as pool:
            try:
                self._run(tasks, partial(_submit_quietly, pool), None, workers)
            except BaseException as error:
                ours = [child for child in multiprocessing.active_children() if child not in before]
                for process in ours:
                    process.terminate()
                # Waited for, which is short now: else the pool's semaphores are left behind.
                pool.shutdown(wait=True, cancel_futures=True)
                if isinstance(error, BrokenExecutor):
                    raise SourceError(
                        "a worker process died, perhaps for lack of memory: lower --memory or "
                        "--workers, and run again to resume"
                    ) from None
                raise

    def anywhere(self, tasks: Iterable[Task], executor: Executor) -> None:
        """Run tasks in an executor of the caller's, a window of tasks at a time."""
        submitted: list[Future[TaskResult]] = []

        def submit(task: Task) -> Future[TaskResult]:
            submitted.append(executor.submit(build_task, task))
            return submitted[-1]

        try:
            self._run(tasks, submit, None, 256)
        except BaseException:
            for future in submitted:  # the executor is the caller's, and goes on
                future.cancel()
            raise

    def _run(
        self,
        tasks: Iterable[Task],
        submit: Callable[[Task], Future[TaskResult]],
        most_held: int | None,
        at_once: int = _TASKS_IN_FLIGHT,
    ) -> None:
        """Submit tasks in order while they fit ``most_held`` together; the first error ends it."""
        # Tasks are made when their turn comes: there may be a hundred thousand.
        rest = iter(tasks)
        following = next(rest, None)
        flying = self._flying
        local = most_held is not None
        while following is not None or flying:
            while following is not None and len(flying) < at_once:
                size = following.held
                if flying and most_held is not None and sum(flying.values()) + size > most_held:
                    break
                flying[submit(following)] = size
                following = next(rest, None)
            finished, _ = wait(flying, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in finished:
                del flying[future]
                result = future.result()
                self.notes += result.notes
                if not local:
                    self.receipts += result.receipts
                    self.requests.add(
                        lists=result.requests,
                        keys=result.keys,
                        retries=result.retries,
                        gets=result.gets,
                    )
            self._check()
            self.report()

    def report(self) -> None:
        """Tell the caller how far the build is."""
        if self._progress is None:
            return
        # Only the new ones are looked at: there may be a hundred thousand.
        while self._summed < len(self.receipts):
            self._chunks += self.receipts[self._summed].expected
            self._summed += 1
        self._progress(
            Progress(
                partitions=self._summed,
                partitions_total=self.partitions_total,
                chunks=self._chunks,
                chunks_total=self.chunks_total,
                listed=self.requests.keys,
                requests=self.requests.lists,
                retries=self.requests.retries,
                seconds=time.monotonic() - self._began,
            )
        )


def _submit_quietly(pool: ProcessPoolExecutor, task: Task) -> Future[TaskResult]:
    """Submit a task; workers that start on it do not see Ctrl-C, not even before `_quiet`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(build_task, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent dies: it must not write after OUT is somebody else's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
