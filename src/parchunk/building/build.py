"""The main job: run a plan's jobs, then publish the root. Resumes what was begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike
from typing import Any, cast

from parchunk.arguments.lenient import called, lenient, refuse_options
from parchunk.building.carrying import forget
from parchunk.building.doing import do_here
from parchunk.building.effort import Effort
from parchunk.building.elsewhere import do_elsewhere
from parchunk.building.preflight import alone_in, begin_output, refuse_foreign, refuse_overlap
from parchunk.building.publishing import notes_of, publish_root
from parchunk.building.results import BuildResult, Progress
from parchunk.building.running import Run
from parchunk.building.staging import go_on_without
from parchunk.cover.limits import Limits
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY, peak_memory
from parchunk.errors import OutputError
from parchunk.listing.choosing import choose
from parchunk.listing.patience import Patience
from parchunk.out.claims import forget_claims
from parchunk.out.lease import Lease
from parchunk.out.lost_files import lost_files, lost_notes
from parchunk.out.many_receipts import ManyReceipts, each
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.receipt_files import settled_receipts
from parchunk.out.receipts import Receipt
from parchunk.out.unfinished import finish_update
from parchunk.planning.from_source import plan as make_plan
from parchunk.planning.inventory import require_few, require_inventory
from parchunk.planning.many_sources import StoreLike
from parchunk.planning.plan import Partition, Plan
from parchunk.planning.source_again import open_source
from parchunk.stores.source import Source
from parchunk.wording import counted

#: Said of references that were begun without what is the default now.
_NOT_INLINE = (
    "coordinates of dimensions are not kept in these references, as they were begun without: a "
    "producer who writes them anew breaks readers until the next update; build with --overwrite to "
    "keep them"
)


def inventory_notes(source: Source) -> tuple[str, ...]:
    """Return what a user should know of the inventory that stands for the listing."""
    objects = source.objects
    if objects is None:
        return ()
    return (
        *objects.notes,
        f"chunks are as of the inventory of {objects.date}: what was written since is missing; "
        "parchunk update with a newer one takes it in",
    )


@lenient
def build(
    plan: Plan | StoreLike,
    out: str | PathLike[str] | Output,
    *,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    executor: Executor | Any = None,
    trust_listing: bool = False,
    overwrite: bool = False,
    patience: Patience | None = None,
    limits: Limits | None = None,
    listing: str | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | bool | None = None,
) -> BuildResult:
    """Build the references of ``plan`` in ``out``, or finish a build of the same plan there.

    Parameters
    ----------
    plan
        What `parchunk.plan` returned; or a source as it takes one, planned without options.
    out
        Path or URL of the folder to write.
    memory
        Bound on the peak above the imports, in bytes or as text such as ``"1GiB"``; shared out
        among ``workers``.
    concurrency
        Listings side by side, over all workers.
    workers
        Processes, no more than ``concurrency``; every large array is shared out so that each has a
        part of it.
    executor
        Any `concurrent.futures.Executor`, or a Dask ``Client``, in place of processes. Each of
        its tasks may use ``memory`` and ``concurrency``; ``workers`` says among how many at least
        to share out. What is done is seen in OUT, and a task that is run again does the rest.
    trust_listing
        Take a chunk that one listing does not show for missing, without a second listing.
    overwrite
        Delete a build of another plan in ``out``; anything else there is never touched.
    patience
        How often listings and reads that break are tried again, and how long is waited.
    limits
        Sizes that jobs are cut by.
    listing
        Who lists the source, as for `parchunk.plan`; by default, who was to when it was planned.
    progress
        True shows a bar: in a terminal, in a notebook, or as lines now and then. Or what is called
        with how far it is, a `parchunk.Progress`.
    store_options, output_options
        Options of obstore's stores (endpoint, region, ...) for the source, where ``plan`` did not
        open it, and for ``out``; above all credentials that are not in the environment.

    Raises
    ------
    InputError, OutputError, SourceError, SourceChangedError
        In one line. Finished partitions stay, and the same call resumes.
    KeyboardInterrupt
        Within seconds, whatever the source does; the same call resumes. Tasks that run in an
        ``executor`` of the caller's go on to their ends.
    """
    memory = cast(int, memory)
    effort = Effort(
        memory, concurrency, workers, executor, trust_listing, patience, limits, called(progress)
    )
    began = time.monotonic()
    output = open_output(out, output_options)
    if not isinstance(plan, Plan):
        plan, store_options = make_plan(plan, store_options=store_options), None
    elif store_options and plan.source is not None:
        refuse_options("store_options", "plan", plan.source)
    source = open_source(plan, store_options, listing)
    refuse_overlap(plan, source, output)
    refuse_foreign(output)
    effort.most_held(source, plan, plan.partitions())  # refused before anything is written
    choose(source)
    require_inventory(plan.inventory, source)
    with alone_in(output) as lease:
        begun = begin_output(plan, output, overwrite)
        source = require_inventory(begun.inventory, source)
        go_on_without(begun, output)
        done = ManyReceipts(settled_receipts(output, begun).values())
        lost = lost_files(output, done)
        if lost:
            forget(begun, output, lambda partition, _: partition.key in lost)
            done = ManyReceipts(receipt for receipt in done if receipt.key not in lost)
        result = carry_out(begun, source, output, done, lease, effort, began)
        result = replace(result, notes=(*result.notes, *lost_notes(lost)))
    joined = () if begun.stores is None else begun.stores.kept
    if set(plan.inlined_coordinates).difference(joined) and not begun.inline_coordinates:
        return replace(result, notes=(*result.notes, _NOT_INLINE))
    return result


def carry_out(
    plan: Plan,
    source: Source,
    output: Output,
    done: ManyReceipts,
    lease: Lease,
    effort: Effort,
    began: float,
) -> BuildResult:
    """List and write what is not ``done``, by the receipts in OUT that are settled, and publish.

    ``began`` is by the monotonic clock.

    Raises
    ------
    ParchunkError, KeyboardInterrupt
        As `build` does.
    """
    keys = {receipt.key for receipt in done}
    pending = [partition for partition in plan.partitions() if partition.key not in keys]
    require_few(source, sum(partition.objects.total for partition in pending))
    del keys  # of very many partitions they take more than what is kept of their receipts
    run = Run(plan.partitions(), done, effort.progress, began, lease.check)
    try:
        if effort.executor is not None:
            least = do_elsewhere(plan, source, output, run, effort, lease.id)
        else:
            least = do_here(plan, source, output, pending, run, effort)
    finally:
        if run.writing:
            lease.leave()
    if effort.executor is not None:
        forget_claims(output)  # of workers that died
    _refuse_unbuilt(plan.partitions(), run.receipts, output)
    built = len(pending)
    del pending
    publish_root(plan, source, output, run.receipts, lease.confirm)
    finish_update(plan, output)
    run.report()
    return BuildResult(
        **run.receipts.counts.values(),
        url=output.url,
        plan=plan,
        receipts=run.receipts,
        built=built,
        requests=run.requests.lists,
        requests_least=least,
        gets=run.requests.gets,
        heads=run.requests.heads,
        retries=run.requests.retries,
        busy=run.requests.busy,
        seconds=time.monotonic() - began,
        peak_memory=peak_memory(),
        listing=str(choose(source)),
        notes=notes_of(
            plan, output, run.receipts, (*inventory_notes(source), *run.notes, *lease.notes)
        ),
    )


def _refuse_unbuilt(
    partitions: Iterable[Partition], receipts: Iterable[Receipt], output: Output
) -> None:
    """Refuse to publish references of which some partitions have no receipt.

    Raises
    ------
    OutputError
        Naming one of them: a fault in parchunk.
    """
    done = set(each(receipts, "array", "region"))
    left = [partition for partition in partitions if partition.key not in done]
    if left:
        raise OutputError(
            f"{counted(len(left), 'partition')} of {output.url} ({left[0]}) came to no end, so "
            "that nothing was published: run the same command again to resume, and please report "
            "it: this cannot be"
        )
