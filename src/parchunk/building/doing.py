"""Doing pending partitions: their jobs are made, and run in this process or its workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from parchunk.building.effort import Effort
from parchunk.building.ready_jobs import ready_jobs
from parchunk.building.receipting import together
from parchunk.building.running import Run
from parchunk.building.storeless import write_storeless
from parchunk.cover.jobs import Job
from parchunk.cover.limits import USUAL
from parchunk.cover.store_work import store_works
from parchunk.cover.walks import width_of
from parchunk.out.known import read_known
from parchunk.out.output import Output
from parchunk.planning.plan import Partition, Plan
from parchunk.stores.source import Source


def do_here(
    plan: Plan,
    source: Source,
    output: Output,
    pending: Sequence[Partition],
    run: Run,
    effort: Effort,
) -> int:
    """List and write ``pending`` partitions; return the fewest LIST requests that could do.

    ``run`` takes in their receipts, and what they cost.

    Raises
    ------
    ParchunkError, KeyboardInterrupt
        As `parchunk.building.build.build` does.
    """
    if not pending:
        return 0  # whatever memory there is
    most_held = effort.most_held(source, plan, pending)
    width = width_of(source.manner, effort.listings)
    limits = effort.limits or USUAL
    share = effort.share(plan)
    # An inventory's date is that of all rows of a partition.
    known = {} if source.objects is not None else read_known(output, plan, pending)
    rows_known = {key: receipt.expected for key, receipt in known.items()}
    # Made when their turn comes: there may be ten thousand stores.
    jobs = (
        (work, job)
        for work in store_works(plan, source, pending, effort.processes, rows_known)
        for job in _taken(work.jobs(most_held, width, limits))
    )
    ready = ready_jobs(plan, jobs, pending, output, share, known)
    before = len(run.receipts)
    run.receipts.extend(write_storeless(plan, output, pending))
    run.notes += effort.notes
    if effort.processes > 1:
        run.in_processes(ready, effort.processes)
    else:
        blocks = together(output, effort.shared, run.receipted, run.check)
        run.in_threads(ready, most_held, effort.concurrency, share.writes, output, blocks)
    least = sum(least for (least,) in islice(run.receipts.each("requests_least"), before, None))
    return least if source.manner.remote else 0


def _taken(jobs: list[Job]) -> Iterator[Job]:
    """Yield jobs, and hold none that was yielded: of very many arrays they take much."""
    jobs.reverse()
    while jobs:
        yield jobs.pop()
