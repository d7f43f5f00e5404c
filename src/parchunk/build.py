"""The main job: run a plan's groups, then publish the root. Resumes what was begun."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass, field, replace
from functools import partial

from obstore.store import MemoryStore

from parchunk.errors import InputError, SourceChangedError, SourceError
from parchunk.group_build import GroupResult, GroupTask, Pools, Settings, build_group
from parchunk.groups import Group, forecast, make_groups, vector_cells, width_of
from parchunk.lease import held
from parchunk.listing import Requests
from parchunk.output import LEASE, OWN, PLAN, ROOT, Output
from parchunk.plan import Partition, Plan
from parchunk.planning import open_source, read_again
from parchunk.receipts import Receipt, read_receipts
from parchunk.root import format_notes, mask_notes, published_root
from parchunk.source import Source
from parchunk.stores import Location, is_remote

#: Peak memory above the imports unless a user chooses: holds the sizes of about 47 M chunks.
DEFAULT_MEMORY = 512 << 20
DEFAULT_CONCURRENCY = 8
#: Groups whose coordinators wait side by side; each is a thread that mostly sleeps.
_GROUPS_IN_FLIGHT = 32
#: Chunks of a group that is built by one thread from its listing to its receipt.
_SMALL = 1_000
#: Seconds that Ctrl-C waits for writes under way.
GRACE = 3.0
#: Seconds between two progress reports when nothing is finished meanwhile.
_TICK = 0.5


@dataclass(frozen=True)
class Progress:
    """How far a build is. ``partitions`` and ``chunks`` count those done before, too."""

    partitions: int
    partitions_total: int
    chunks: int
    chunks_total: int
    listed: int
    requests: int
    retries: int
    seconds: float


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


def build(
    plan: Plan,
    out: str | Output,
    *,
    memory: int = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    executor: Executor | None = None,
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
    out
        Path or URL of the folder to write.
    memory
        Bound on the peak, in bytes above the imports; shared out among ``workers``.
    concurrency
        Listings side by side, over all workers.
    workers
        Processes; every large array is shared out so that each has a part of it.
    executor
        Any `concurrent.futures.Executor` in place of processes. Each of its tasks may use
        ``memory`` and ``concurrency``; ``workers`` still says in how many parts to share out.
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
    if concurrency < 1 or workers < 1:
        raise InputError("--concurrency and --workers must be 1 or more")
    began = time.monotonic()
    output = out if isinstance(out, Output) else Output.open(out, output_options)
    source = open_source(plan, store_options)
    _refuse_overlap(plan, source, output)
    if workers > 1 and executor is None and isinstance(source.store, MemoryStore):
        raise InputError("a store in memory cannot be reached by other processes: use --workers 1")
    processes = 1 if executor is not None else workers
    share = max(concurrency // processes, 1)
    cells = vector_cells(memory // processes, plan.record_size, share)
    _refuse_foreign(output)
    with held(output) as lease:
        begin_output(plan, output, overwrite)
        done = read_receipts(output, plan)
        partitions = list(plan.partitions())
        pending = [p for p in partitions if (p.array, p.region) not in done]
        width = width_of(source.store, share)
        groups = make_groups(plan, pending, cells, width, workers)
        fine = replace(settings or Settings(), concurrency=share, trust_listing=trust_listing)
        tasks = [_task(plan, source, output, group, fine) for group in groups]
        run = _Run(partitions, list(done.values()), progress, began, lease.check)
        try:
            if executor is not None:
                run.anywhere(tasks, executor)
            elif workers > 1:
                run.in_processes(tasks, workers)
            else:
                run.in_threads(tasks, cells, concurrency)
        finally:
            if run.writing:
                lease.leave()
        publish(plan, source, output, run.receipts, lease.confirm)
    least = forecast(plan, groups, width).least
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
            *mask_notes(plan, run.receipts),
        ),
    )


def begin_output(plan: Plan, output: Output, overwrite: bool) -> None:
    """Make OUT ready for a build of ``plan``: new, or to be resumed.

    Raises
    ------
    InputError
        When OUT is a file or holds something else; another plan's build, unless ``overwrite``.
    """
    saved = _refuse_foreign(output)
    if saved is not None:
        try:
            old = Plan.from_json(_parse(saved, output.describe(PLAN)), output.describe(PLAN))
        except InputError:
            if not overwrite:
                raise
            old = None
        if old is None or old.fingerprint != plan.fingerprint:
            if not overwrite:
                assert old is not None
                raise InputError(
                    f"{output.url} holds a build of another plan "
                    f"({'; '.join(old.differences(plan)[:3])}): give --overwrite to replace it, "
                    "or name another OUT"
                )
            output.clear(_own_paths(output, old))
        elif overwrite:
            output.clear(_own_paths(output, old))
        else:
            output.prepare()
            return
    output.prepare()
    output.put(PLAN, json.dumps(plan.to_json(), indent=1).encode())


def _refuse_foreign(output: Output) -> bytes | None:
    """Return the plan.json of OUT, None for an empty OUT; refuse one that holds something else."""
    if output.is_empty():
        return None
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(
            f"{output.url} holds something that parchunk did not write: name another OUT"
        )
    return saved


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
        raise SourceChangedError(
            f"the metadata of {source.url} changed since it was planned: nothing was published; "
            "plan and build again (--overwrite, or another OUT)"
        )
    root = published_root(plan, receipts)
    if confirm is not None:
        confirm()
    if output.get(ROOT) != root:
        output.put(ROOT, root)
    output.tidy()


def load_plan(output: Output) -> Plan:
    """Return the plan of a build in OUT.

    Raises
    ------
    InputError
        When there is none, or it cannot be read.
    """
    saved = output.get(PLAN)
    if saved is None:
        raise InputError(f"{output.url} holds no parchunk build: there is no {PLAN}")
    where = output.describe(PLAN)
    return Plan.from_json(_parse(saved, where), where)


def peak_memory() -> int:
    """Return the peak resident size of this process and its largest child, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in usage) * unit


class _Run:
    """The groups of one build as they run, and what has come of them."""

    def __init__(
        self,
        partitions: Iterable[Partition],
        done: list[Receipt],
        progress: Callable[[Progress], None] | None,
        began: float,
        check: Callable[[], None],
    ) -> None:
        self._check = check
        #: The cells of each group that is under way.
        self._flying: dict[Future[GroupResult], int] = {}
        #: Whether a write still hangs, somewhere, though the build has ended.
        self.writing = False
        cells = [partition.rows.cells for partition in partitions]
        self.partitions_total, self.chunks_total = len(cells), sum(cells)
        self.receipts = done
        self.requests = Requests()
        self.notes: list[str] = []
        self._summed = self._chunks = 0
        self._progress = progress
        self._began = began

    def in_threads(self, tasks: list[GroupTask], cells: int, concurrency: int) -> None:
        """Run groups in this process, as many at once as fit the memory bound together."""
        coordinators = ThreadPoolExecutor(_GROUPS_IN_FLIGHT, thread_name_prefix="group")
        with Pools(concurrency) as pools:
            call = partial(
                build_group, pools=pools, requests=self.requests, notify=self.receipts.append
            )
            alone = partial(call, pools=pools.here)

            def submit(task: GroupTask) -> Future[GroupResult]:
                # A small group takes one listing, and the place of one.
                if task.group.cells <= _SMALL and task.spec.inner_chunks is None:
                    return pools.listings.submit(alone, task)
                return coordinators.submit(call, task)

            try:
                self._run(tasks, submit, cells)
            except Exception:
                pools.stop.set()
                coordinators.shutdown(cancel_futures=True)
                raise
            except BaseException:  # Ctrl-C
                pools.stop.set()
                pools.writers.shutdown(wait=False, cancel_futures=True)
                coordinators.shutdown(wait=False, cancel_futures=True)
                self.writing = bool(wait(self._flying, timeout=GRACE).not_done)
                raise
            coordinators.shutdown()

    def in_processes(self, tasks: list[GroupTask], workers: int) -> None:
        """Run groups in worker processes, one a worker at a time."""
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

    def anywhere(self, tasks: list[GroupTask], executor: Executor) -> None:
        """Run groups in an executor of the caller's, a window of tasks at a time."""
        submitted: list[Future[GroupResult]] = []

        def submit(task: GroupTask) -> Future[GroupResult]:
            submitted.append(executor.submit(build_group, task))
            return submitted[-1]

        try:
            self._run(tasks, submit, None, 256)
        except BaseException:
            for future in submitted:  # the executor is the caller's, and goes on
                future.cancel()
            raise

    def _run(
        self,
        tasks: list[GroupTask],
        submit: Callable[[GroupTask], Future[GroupResult]],
        cells: int | None,
        at_once: int = _GROUPS_IN_FLIGHT,
    ) -> None:
        """Submit tasks in order while they fit ``cells`` together; the first error ends it."""
        queue = deque(tasks)
        flying = self._flying
        local = cells is not None
        while queue or flying:
            while queue and len(flying) < at_once:
                size = queue[0].group.cells
                if flying and cells is not None and sum(flying.values()) + size > cells:
                    break
                flying[submit(queue.popleft())] = size
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


def _task(
    plan: Plan, source: Source, output: Output, group: Group, settings: Settings
) -> GroupTask:
    array = plan.by_name[group.array]
    ranges: list[tuple[int, int] | None] = []
    for partition in group.partitions:
        if partition.region is None or array.axis is None:
            ranges.append(None)
        else:
            region = plan.regions[partition.region]
            ranges.append((region.start, min(region.stop, array.spec.shape[array.axis])))
    return GroupTask(
        source=source,
        output=output,
        spec=array.spec,
        group=group,
        dimension=None if plan.split is None else str(plan.split),
        ranges=tuple(ranges),
        record_size=plan.record_size,
        inline_threshold=plan.inline_threshold,
        fingerprint=plan.fingerprint,
        settings=settings,
    )


def _own_paths(output: Output, plan: Plan | None) -> list[str]:
    """Return what parchunk wrote in OUT: its own folder, the root, and record files."""
    own = [
        path
        for path in output.paths()
        if (path.split("/")[0] == OWN and path != LEASE) or path == ROOT
    ]
    for array in plan.arrays if plan else ():
        own += [
            path
            for path in output.paths(array.spec.name)
            if _is_record_file(path[len(array.spec.name) + 1 :])
        ]
    return own


def _is_record_file(name: str) -> bool:
    return name.startswith("refs.") and name.endswith(".parq") and name[5:-5].isdecimal()


def _refuse_overlap(plan: Plan, source: Source, output: Output) -> None:
    """Refuse an OUT in SRC or around it: its files would be listed, or its data overwritten."""
    # SRC is what the user named: one array and not its parent, a store and not a group in it.
    given = source.child(plan.arrays[0].spec.name) if plan.lone_array else source.above(plan.group)
    inside, outside = _place(output.location), _place(given.location)
    if inside.startswith(outside) or outside.startswith(inside):
        where = "inside" if inside.startswith(outside) else "around"
        raise InputError(f"OUT {output.url} is {where} SRC {given.url}: name a folder apart")


def _place(location: Location) -> str:
    """Return where a location is, with a slash at its end; local links are followed."""
    url = location.url if location.scheme != "file" else os.path.realpath(location.url)
    return url.rstrip("/") + "/"


def _parse(data: bytes, where: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(
            f"{where} is not JSON: restore it, or build again with --overwrite"
        ) from None


def _submit_quietly(pool: ProcessPoolExecutor, task: GroupTask) -> Future[GroupResult]:
    """Submit a task; workers that start on it do not see Ctrl-C, not even before `_quiet`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(build_group, task)
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
