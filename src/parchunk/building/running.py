"""Running jobs side by side, in threads or in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from functools import partial

from parchunk.building.first_gaps import FirstGaps
from parchunk.building.pools import Pools
from parchunk.building.ready_jobs import ReadyJobs
from parchunk.building.results import JobResult, Progress
from parchunk.building.worker import build_jobs
from parchunk.errors import OutputError
from parchunk.listing.patience import Requests
from parchunk.out.many_receipts import ManyReceipts
from parchunk.out.output import Output
from parchunk.out.receipt_blocks import Together
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Partition
from parchunk.workers.processes import worker_processes

#: Jobs whose coordinators wait side by side, each a thread that mostly sleeps: so many for each
#: listing, as some are written while others are listed, ...
_FOR_EACH_LISTING = 2
#: ... and no more than these. What is held of their arrays is held of all of them.
_JOBS_IN_FLIGHT = 32
#: Seconds that Ctrl-C waits for writes under way.
GRACE = 3.0
#: Seconds between two progress reports when nothing is finished meanwhile.
_TICK = 0.5

#: What is to be run: how many chunks it holds, and what starts it.
Start = tuple[int, Callable[[], Future[JobResult]]]


class Run:
    """The jobs of one build as they run, and what has come of them."""

    def __init__(
        self,
        partitions: Iterable[Partition],
        done: Iterable[Receipt],
        progress: Callable[[Progress], None] | None,
        began: float,
        check: Callable[[], None],
    ) -> None:
        #: Raises when OUT is somebody else's by now.
        self.check = check
        #: What each job that is under way holds, in chunks.
        self._flying: dict[Future[JobResult], int] = {}
        #: Whether a write still hangs, somewhere, though the build has ended.
        self.writing = False
        self.partitions_total = self.chunks_total = 0
        for partition in partitions:
            self.partitions_total += 1
            self.chunks_total += partition.rows.total
        self.receipts = ManyReceipts(done)
        self._before = self.receipts.expected
        self.requests = Requests()
        self.notes: list[str] = []
        self._progress = progress
        #: What makes progress say what others have done, too.
        self.watch: Callable[[Progress], Progress] | None = None
        self._began = began

    def in_threads(
        self,
        jobs: Iterable[ReadyJobs],
        most_held: int,
        concurrency: int,
        writes: int,
        output: Output,
        blocks: Together | None = None,
    ) -> None:
        """Run jobs in this process, as many at once as fit the memory bound together.

        Up to ``writes`` small partitions are written at a time.

        They add the receipts of small arrays to ``blocks``, unless each has its own.
        """
        at_once = min(_FOR_EACH_LISTING * concurrency, _JOBS_IN_FLIGHT)
        # One more than there are jobs, for receipts that are due meanwhile.
        coordinators = ThreadPoolExecutor(at_once + 1, thread_name_prefix="job")
        with Pools(concurrency, output.writes_at_once(writes)) as pools:
            call = partial(
                build_jobs,
                pools=pools,
                requests=self.requests,
                notify=self.receipted,
                blocks=blocks,
                gaps=FirstGaps(output, self.check),
            )
            alone = partial(call, pools=pools.here)

            def submit(ready: ReadyJobs) -> Future[JobResult]:
                if ready.small:  # it takes one listing, and the place of one
                    return pools.listings.submit(alone, ready)
                return coordinators.submit(call, ready)

            def write() -> Future[JobResult]:
                return coordinators.submit(_written, blocks)

            def write_due() -> None:
                if blocks is not None and blocks.due:
                    self._flying[write()] = 0

            try:
                starts = ((ready.held, partial(submit, ready)) for ready in jobs)
                self.drive(starts, at_once, most_held, tick=write_due)
                self.drive([(0, write)], 1)
            except Exception:
                pools.stop.set()
                coordinators.shutdown(cancel_futures=True)
                with suppress(OutputError):
                    _written(blocks)
                raise
            except BaseException:  # Ctrl-C
                pools.stop.set()
                pools.writers.shutdown(wait=False, cancel_futures=True)
                pools.small.shutdown(wait=False, cancel_futures=True)
                pools.partitions.shutdown(wait=False, cancel_futures=True)
                coordinators.shutdown(wait=False, cancel_futures=True)
                last = ThreadPoolExecutor(1, thread_name_prefix="receipts")
                self._flying[last.submit(_written, blocks)] = 0
                last.shutdown(wait=False)
                self.writing = bool(wait(self._flying, timeout=GRACE).not_done)
                raise
            coordinators.shutdown()

    def in_processes(self, jobs: Iterable[ReadyJobs], workers: int) -> None:
        """Run jobs in worker processes, one a worker at a time."""
        with worker_processes(workers) as pool:
            starts = ((0, partial(pool.submit, build_jobs, ready)) for ready in jobs)
            self.drive(starts, workers, take=self.add)

    def drive(
        self,
        starts: Iterable[Start],
        at_once: int,
        most_held: int | None = None,
        result_of: Callable[[Future[JobResult]], JobResult] = Future.result,
        take: Callable[[JobResult], None] | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        """Start what there is in order while it fits ``most_held`` together.

        ``take`` is given what each has come to, and ``tick`` is called now and then. The first
        error ends it.
        """
        # What is to be started is made when its turn comes: there may be a hundred thousand.
        rest = iter(starts)
        following = next(rest, None)
        flying = self._flying
        while following is not None or flying:
            while following is not None and len(flying) < at_once:
                held, start = following
                if flying and most_held is not None and sum(flying.values()) + held > most_held:
                    break
                flying[start()] = held
                following = next(rest, None)
            finished, _ = wait(flying, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in finished:
                del flying[future]
                result = result_of(future)
                self.notes += result.notes
                if take:
                    take(result)
            self.check()
            if tick:
                tick()
            self.report()

    def receipted(self, receipt: Receipt) -> None:
        """Take in a receipt that is written, alone or in a block; from any thread."""
        self.receipts.append(receipt)

    def add(self, result: JobResult) -> None:
        """Take in what was built in another process."""
        self.receipts.extend(result.receipts)
        self.requests.add(
            lists=result.requests,
            keys=result.keys,
            retries=result.retries,
            gets=result.gets,
            heads=result.heads,
            busy=result.busy,
        )

    def report(self) -> None:
        """Tell the caller how far the build is."""
        if self._progress is None:
            return
        now = Progress(
            partitions=len(self.receipts),
            partitions_total=self.partitions_total,
            chunks=self.receipts.expected,
            chunks_total=self.chunks_total,
            listed=self.requests.keys,
            requests=self.requests.lists,
            retries=self.requests.retries,
            seconds=time.monotonic() - self._began,
            before=self._before,
        )
        self._progress(now if self.watch is None else self.watch(now))


def _written(blocks: Together | None) -> JobResult:
    """Write the receipts that are kept; return what that took, which is nothing to count."""
    if blocks is not None:
        blocks.flush()
    return JobResult((), 0, 0, 0)
