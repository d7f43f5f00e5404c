"""The main job: run a plan's groups, then publish the root. Resumes what was begun."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import accumulate
from os import PathLike
from typing import Any, cast

from obstore.store import MemoryStore

from parchunk import cover
from parchunk.arguments import lenient, refuse_options
from parchunk.bundle_build import BundleTask, Task
from parchunk.bundles import Work, forecast, make_work
from parchunk.errors import InputError, SourceChangedError
from parchunk.group_build import GroupTask, Settings
from parchunk.groups import Group, inline_bound, inlining_of, vector_cells, width_of
from parchunk.inline_room import InlineBound
from parchunk.lease import Lease, held
from parchunk.metadata.meaning import differences
from parchunk.output import ROOT, Output
from parchunk.ownership import begin_output, refuse_foreign, refuse_overlap
from parchunk.plan import Plan
from parchunk.planning import open_source, read_again
from parchunk.planning import plan as make_plan
from parchunk.receipts import Receipt, read_receipts
from parchunk.root import format_notes, mask_notes, published_root
from parchunk.running import Progress, Run
from parchunk.size_notes import size_notes
from parchunk.source import Source
from parchunk.spelling import spelling_notes
from parchunk.stores import is_remote, page_keys
from parchunk.unfinished import finish_update

#: Peak memory above the imports unless a user chooses: holds the sizes of about 47 M chunks.
DEFAULT_MEMORY = 512 << 20
DEFAULT_CONCURRENCY = 8


@dataclass(frozen=True)
class BuildResult:
    """What a finished build came to, over all its runs (``receipts``) and in this one.

    ``requests``, ``requests_least``, ``gets``, ``retries``, ``seconds`` and ``peak_memory`` (bytes,
    of this process and its largest worker) are this run's; the others are the whole output's.
    """

    url: str
    plan: Plan = field(repr=False)
    receipts: tuple[Receipt, ...] = field(repr=False)
    built: int
    requests: int
    requests_least: int
    gets: int
    retries: int
    seconds: float
    peak_memory: int
    notes: tuple[str, ...]

    @property
    def expected(self) -> int:
        """Chunks that the metadata says there can be."""
        return sum(receipt.expected for receipt in self.receipts)

    @property
    def present(self) -> int:
        """Chunks referenced."""
        return sum(receipt.present for receipt in self.receipts)

    @property
    def missing(self) -> int:
        """Chunks without a reference, zero-sized ones included."""
        return sum(receipt.missing for receipt in self.receipts)

    @property
    def shards(self) -> int:
        """Shards that expanded arrays can have."""
        return sum(receipt.shards_expected for receipt in self.receipts)

    @property
    def shards_present(self) -> int:
        """Shards that are there."""
        return sum(receipt.shards_present for receipt in self.receipts)

    @property
    def empty_entries(self) -> int:
        """Chunks missing from shards that are there."""
        return sum(receipt.empty_entries for receipt in self.receipts)

    @property
    def zero_sized(self) -> int:
        """Chunks whose object has no bytes."""
        return sum(receipt.zero_sized for receipt in self.receipts)

    @property
    def strays(self) -> int:
        """Listed objects that are no chunk of the grid."""
        return sum(receipt.strays for receipt in self.receipts)

    @property
    def bytes(self) -> int:
        """Bytes of the referenced chunks."""
        return sum(receipt.bytes for receipt in self.receipts)


@dataclass(frozen=True)
class Effort:
    """What a build may use, and how; see `build`."""

    memory: int = DEFAULT_MEMORY
    concurrency: int = DEFAULT_CONCURRENCY
    workers: int = 1
    executor: Executor | None = None
    trust_listing: bool = False
    settings: Settings | None = None
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.workers < 1:
            raise InputError("--concurrency and --workers must be 1 or more")

    @property
    def processes(self) -> int:
        """Processes that share memory and listings; an executor's tasks have each their own."""
        return 1 if self.executor is not None else self.workers

    @property
    def share(self) -> int:
        """Listings side by side in one process."""
        return max(self.concurrency // self.processes, 1)

    def cells(self, source: Source, plan: Plan) -> int:
        """Return how many chunks' sizes one process may hold.

        Raises
        ------
        InputError
            When the plan cannot be built with that much memory, or in these processes.
        """
        if self.processes > 1 and isinstance(source.store, MemoryStore):
            raise InputError(
                "a store in memory cannot be reached by other processes: use --workers 1"
            )
        return vector_cells(
            self.memory // self.processes, plan.record_size, self.share, inlining_of(plan)
        )

    def inlining(self, plan: Plan) -> InlineBound:
        """Return how much of the memory is for inlining."""
        return inline_bound(
            self.memory, self.processes, plan.record_size, self.share, inlining_of(plan)
        )


@lenient
def build(
    plan: Plan | Source | str | PathLike[str],
    out: str | PathLike[str] | Output,
    *,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    executor: Executor | Any = None,
    trust_listing: bool = False,
    overwrite: bool = False,
    settings: Settings | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
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
        Processes; every large array is shared out so that each has a part of it.
    executor
        Any `concurrent.futures.Executor`, or a Dask ``Client``, in place of processes. Each of
        its tasks may use ``memory`` and ``concurrency``; ``workers`` still says in how many parts
        to share out.
    trust_listing
        Take a chunk that one listing does not show for missing, without a second listing.
    overwrite
        Delete a build of another plan in ``out``; anything else there is never touched.
    settings
        Retries and other fine points; ``concurrency`` and ``trust_listing`` come before its own.

    Raises
    ------
    InputError, OutputError, SourceError, SourceChangedError
        In one line. Finished partitions stay, and the same call resumes.
    KeyboardInterrupt
        Within seconds, whatever the source does; the same call resumes. Tasks that run in an
        ``executor`` of the caller's go on to their ends.
    """
    memory = cast(int, memory)
    effort = Effort(memory, concurrency, workers, executor, trust_listing, settings, progress)
    began = time.monotonic()
    output = out if isinstance(out, Output) else Output.open(str(out), output_options)
    if not isinstance(plan, Plan):
        plan, store_options = make_plan(plan, store_options=store_options), None
    elif store_options and plan.source is not None:
        refuse_options("store_options", "plan", plan.source)
    source = open_source(plan, store_options)
    refuse_overlap(plan, source, output)
    refuse_foreign(output)
    effort.cells(source, plan)  # refused before anything is written
    with held(output) as lease:
        plan = begin_output(plan, output, overwrite)
        return carry_out(plan, source, output, lease, effort, began)


def carry_out(
    plan: Plan, source: Source, output: Output, lease: Lease, effort: Effort, began: float
) -> BuildResult:
    """List and write what has no receipt yet, and publish; ``began`` is by the monotonic clock.

    Raises
    ------
    ParchunkError, KeyboardInterrupt
        As `build` does.
    """
    cells = effort.cells(source, plan)
    done = read_receipts(output, plan)
    partitions = list(plan.partitions())
    pending = [p for p in partitions if (p.array, p.region) not in done]
    width = width_of(source.store, effort.share)
    work = make_work(plan, pending, cells, width, effort.workers)
    least = forecast(plan, work, width).least
    fine = replace(
        effort.settings or Settings(),
        concurrency=effort.share,
        trust_listing=effort.trust_listing,
        inlining=effort.inlining(plan),
    )
    tasks = (_task(plan, source, output, item, fine) for item in work)
    run = Run(partitions, list(done.values()), effort.progress, began, lease.check)
    try:
        if effort.executor is not None:
            run.anywhere(tasks, effort.executor)
        elif effort.workers > 1:
            run.in_processes(tasks, effort.workers)
        else:
            run.in_threads(tasks, cells, effort.concurrency)
    finally:
        if run.writing:
            lease.leave()
    publish(plan, source, output, run.receipts, lease.confirm)
    finish_update(output)
    run.report()
    return BuildResult(
        url=output.url,
        plan=plan,
        receipts=tuple(run.receipts),
        built=len(pending),
        requests=run.requests.lists,
        requests_least=least if is_remote(source.store) else 0,
        gets=run.requests.gets,
        retries=run.requests.retries,
        seconds=time.monotonic() - began,
        peak_memory=peak_memory(),
        notes=(
            *plan.hierarchy.warnings,
            *format_notes(plan),
            *run.notes,
            *lease.notes,
            *mask_notes(plan, run.receipts),
            *size_notes(plan, run.receipts),
            *spelling_notes(plan, run.receipts, output).values(),
        ),
    )


def publish(
    plan: Plan,
    source: Source,
    output: Output,
    receipts: Iterable[Receipt],
    confirm: Callable[[], None] | None = None,
) -> None:
    """Write the root, which makes the references a store, if the source is still what it was.

    ``confirm`` is called right before, and raises when OUT is somebody else's by now.

    Raises
    ------
    SourceChangedError
        When the source's metadata has changed since the plan: nothing is published.
    """
    now = read_again(plan, source, arrays_to_come=False)
    if now.digest() != plan.hierarchy.digest():
        changed = "; ".join(differences(plan.hierarchy, now)[:3])
        raise SourceChangedError(
            f"the metadata of {source.url} changed since it was planned ({changed}): nothing was "
            "published; "
            "run parchunk update if it grew; else build again (--overwrite, or another OUT)"
        )
    root = published_root(plan, receipts)
    if confirm is not None:
        confirm()
    if output.get(ROOT) != root:
        output.put(ROOT, root)
    output.tidy()


def peak_memory(children: bool = True) -> int:
    """Return the peak resident size of this process (and its largest child), in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + children]
    return sum(resource.getrusage(who).ru_maxrss for who in usage) * unit


def _task(plan: Plan, source: Source, output: Output, work: Work, settings: Settings) -> Task:
    if isinstance(work, Group):
        return _group_task(plan, source, output, work, settings)
    cells = [
        sum(partition.objects.cells for partition in group.partitions) for group in work.groups
    ]
    members = (
        _group_task(plan, source, output, group, settings, before)
        for group, before in zip(work.groups, accumulate([0, *cells[:-1]]), strict=True)
    )
    return BundleTask(tuple(members), work.cells)


def _group_task(
    plan: Plan, source: Source, output: Output, group: Group, settings: Settings, before: int = 0
) -> GroupTask:
    """Return the task of a group; ``before`` keys of a bundle come before its own."""
    cells = (partition.objects.cells for partition in group.partitions)
    return GroupTask(
        source=source,
        output=output,
        spec=plan.by_name[group.array].spec,
        group=group,
        dimension=None if plan.split is None else str(plan.split),
        ranges=tuple(plan.elements(partition) for partition in group.partitions),
        least=cover.shares_of_least(cells, page_keys(source.store), before),
        record_size=plan.record_size,
        inline_threshold=plan.inline_threshold,
        fingerprint=plan.fingerprint,
        settings=settings,
    )
