"""Groups: which partitions are listed together, by which walks, at what cost. No I/O.

The plan's forecast and the build call the same functions, so what is forecast is what happens on
a store in which every chunk exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from obstore.store import MemoryStore

from parchunk import cover
from parchunk.cover import Walk
from parchunk.digit_tree import Ints
from parchunk.errors import InputError
from parchunk.inline_room import InlineBound, most_needed
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec, GroupSpec
from parchunk.plan import Partition, Plan
from parchunk.rows import RowSet
from parchunk.shard_grid import inner_slices, shards_of
from parchunk.shard_index import index_requests
from parchunk.stores import is_ordered, is_remote, page_keys

#: Bytes a chunk costs while its group is listed.
CHUNK_BYTES = 8
#: What an inner chunk costs while shards are expanded, in chunks' sizes: an offset and a size,
#: in one slice that is being read and one that is being written.
INNER_CELLS = 4
#: Inner chunks expanded together at most: more saves nothing.
INNER_MOST = 4_000_000
#: Bytes a row of a record file costs while the file is written (paths twice, Parquet once).
ROW_BYTES = 320
#: Bytes a listing holds: one batch of rows, its Arrow columns and the kernels' temporaries.
LISTING_BYTES = 4 << 20
#: What is used however small the job: thread stacks, connections, the allocator's slack.
FIXED_BYTES = 40 << 20
#: Batches of listed keys read at the same time.
TAKERS = 2
#: Record files written at the same time.
WRITERS = 2
#: A walk is cut in pieces for listings side by side, but not shorter than this many pages...
LEAST_PAGES = 20
#: ...and not longer than this many: what a piece has completed is written and given back.
MOST_PAGES = 50
#: Rows of a large partition that are tallied, written and given back together: few enough that
#: writing goes on beside listing.
UNIT_CELLS = 200_000
#: Units that a large group is cut in; then they are longer.
UNITS = 5_000
#: Units of a group, at most: each is some Python objects.
MOST_UNITS = 50_000
#: A group's chunks, at most: they are address space until they are met.
GROUP_CELLS = 1 << 31


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that are tallied together and written when they are complete.

    ``partition`` is the position in the group of the partition that they belong to: a large one
    is several units.
    """

    partition: int
    rows: RowSet


@dataclass(frozen=True, slots=True)
class Group:
    """Partitions of one array that are covered together.

    Each of the ``passes`` is walked once, one after another. There is one pass unless a single
    partition is more than the memory bound allows. ``cells`` are the chunks held at the same
    time at most: of the units that walks in flight have met and not yet completed.
    """

    array: str
    partitions: tuple[Partition, ...]
    passes: tuple[tuple[Unit, ...], ...]
    cells: int
    #: Of an expanded array: inner chunks in one slice of a partition; counted in ``cells``, too.
    inner_cells: int = 0


@dataclass(frozen=True)
class Forecast:
    """LIST requests for a plan, were every chunk there: ``least`` is ceil(keys / page).

    ``shards`` are the shard indexes that expanded arrays have, and ``gets`` the requests for them:
    more only where a slice of a region ends within shards.
    """

    groups: int
    walks: int
    requests: int
    least: int
    shards: int = 0
    gets: int = 0


@dataclass(frozen=True)
class Width:
    """How a store is listed: in how many ``pieces`` at least walks are cut, how many of them may
    be under way before the first has passed (``window``), and the keys of a ``page``.

    ``bundles`` says whether one walk may list several arrays: where it ends early and each
    request that is saved counts.
    """

    pieces: int
    window: int
    page: int
    bundles: bool = False


def width_of(store: object, concurrency: int) -> Width:
    """Return how walks of ``store`` are cut for ``concurrency`` listings side by side.

    There are more pieces than listings, as pieces of a sparse array are of unequal length, and
    some may be ahead of a slow one. A MemoryStore copies all its later keys for each listing, so
    there every cut would cost a whole one.
    """
    if isinstance(store, MemoryStore):
        return Width(1, 1, page_keys(store))
    bundles = is_remote(store) and is_ordered(store)
    return Width(4 * concurrency, 2 * concurrency, page_keys(store), bundles)


def vector_cells(memory: int, record_size: int, concurrency: int, inlining: int = 0) -> int:
    """Return how many chunks' sizes may be held at once within ``memory`` bytes.

    ``inlining`` is the memory that inlining may take in one record file, at most.

    Raises
    ------
    InputError
        When the bound cannot be honoured, naming the least one that can.
    """
    rest, least = _needed_bytes(record_size, concurrency)
    if memory < least:
        raise InputError(
            f"--memory {memory} bytes is too little for record files of {record_size} rows and "
            f"{concurrency} listings side by side: give {-(-least // (1 << 20))} MiB or more, or "
            "lower --record-size or --concurrency"
        )
    return (memory - rest - _inline_bytes(memory, least, inlining)) // CHUNK_BYTES


def inline_bound(
    memory: int, processes: int, record_size: int, concurrency: int, inlining: int
) -> InlineBound:
    """Return what of ``memory``, of which each of ``processes`` has a part, is for inlining.

    The rest is as for `vector_cells`.
    """
    _, least = _needed_bytes(record_size, concurrency)
    return InlineBound(_inline_bytes(memory // processes, least, inlining), least, processes)


def inlining_of(plan: Plan) -> int:
    """Return the memory that inlining can take in one record file of a plan, at most."""
    most = max((array.spec.reference_total for array in plan.arrays), default=0)
    return most_needed(min(plan.record_size, most), plan.inline_threshold)


def _needed_bytes(record_size: int, concurrency: int) -> tuple[int, int]:
    """Return what a process needs beside chunks' sizes, and with the fewest sizes."""
    rest = FIXED_BYTES + WRITERS * record_size * ROW_BYTES
    rest += min(concurrency, 16) * LISTING_BYTES
    return rest, rest + max(record_size * CHUNK_BYTES, 4 << 20)


def _inline_bytes(memory: int, least: int, inlining: int) -> int:
    return min(WRITERS * inlining, (memory - least) // 2)


def make_groups(
    plan: Plan, pending: Iterable[Partition], cells: int, width: Width, workers: int = 1
) -> list[Group]:
    """Return the groups for the pending partitions, ordered by region, then by array.

    All partitions of an array go together when no more than ``cells`` chunks are ever held at
    the same time: along the leading axis that is nearly always so, as a walk in text order
    completes regions one after another. Else neighbours go together while they fit. With several
    workers, an array is shared out so that each of them has a part.
    """
    by_array: dict[str, list[Partition]] = {}
    for partition in pending:
        by_array.setdefault(partition.array, []).append(partition)
    groups: list[tuple[int, Group]] = []
    for array, partitions in by_array.items():
        spec = plan.by_name[array].spec
        partitions.sort(key=lambda partition: partition.region or 0)
        if plan.by_name[array].spec.inner_chunks is not None:
            groups += _expanded_groups(plan, partitions, cells, workers)
            continue
        total = sum(partition.rows.cells for partition in partitions)
        share = min(max(-(-total // workers), 1), GROUP_CELLS)
        for run in _runs(partitions, share):
            group = _group(spec, run, cells, width, plan.record_size)
            if group is not None:
                groups.append((order_of(run), group))
                continue
            for part in _runs(run, cells):
                group = _group(spec, part, cells, width, plan.record_size)
                groups.append((order_of(part), group or _sliced(spec, part, cells, plan)))
    groups.sort(key=lambda pair: (pair[0], pair[1].array))
    return [group for _, group in groups]


def order_of(partitions: Sequence[Partition]) -> int:
    """Return when a group's turn is: whole arrays come first, then region by region."""
    region = partitions[0].region
    return -1 if region is None else region


def _expanded_groups(
    plan: Plan, partitions: Sequence[Partition], cells: int, workers: int
) -> list[tuple[int, Group]]:
    """As `make_groups`, for one expanded array: half of ``cells`` is for listing its shards."""
    total = sum(partition.objects.cells for partition in partitions)
    share = min(cells // 2, max(-(-total // workers), 1))
    batches: list[list[Partition]] = [[]]
    for partition in partitions:
        size = partition.objects.cells
        if size > cells // 2:
            raise InputError(
                f"{partition} has {size} shards, more than --memory can hold at once: give a "
                f"smaller --region, or {CHUNK_BYTES * (2 * size - cells) >> 20} MiB more"
            )
        if batches[-1] and sum(p.objects.cells for p in batches[-1]) + size > share:
            batches.append([])
        batches[-1].append(partition)
    groups = []
    for batch in batches:
        listed = sum(partition.objects.cells for partition in batch)
        inner = min(max((cells - listed) // INNER_CELLS, plan.record_size), INNER_MOST)
        inner = min(inner, max(partition.rows.cells for partition in batch))
        units = tuple(Unit(position, part.objects) for position, part in enumerate(batch))
        held = listed + INNER_CELLS * inner
        groups.append((order_of(batch), Group(batch[0].array, tuple(batch), (units,), held, inner)))
    return groups


def _runs(partitions: Sequence[Partition], cells: int) -> Iterator[list[Partition]]:
    """Yield neighbouring partitions that have at most ``cells`` chunks together, or one."""
    run: list[Partition] = []
    held = 0
    for partition in partitions:
        size = partition.rows.cells
        if run and held + size > cells:
            yield run
            run, held = [], 0
        run.append(partition)
        held += size
    if run:
        yield run


def _group(
    spec: ArraySpec, partitions: Sequence[Partition], cells: int, width: Width, record_size: int
) -> Group | None:
    """Return the group of one pass, or None when too much would be held at the same time."""
    total = sum(partition.rows.cells for partition in partitions)
    # Regions of a later axis all end with the last index before it. Cut along that too, in bands
    # thin enough, what is held of each is little.
    bands = any(partition.rows.count > 1 for partition in partitions) and total > cells
    most = max(UNIT_CELLS, total // UNITS)
    for size in (most, most // 10, most // 100) if bands else (most,):
        units = tuple(
            Unit(position, rows)
            for position, partition in enumerate(partitions)
            for rows in partition.rows.slices(min(size, cells), record_size)
        )
        if len(units) > MOST_UNITS:
            break
        held = total if total <= cells // 8 else held_cells(spec, units, width)
        if held <= cells:
            return Group(spec.name, tuple(partitions), (units,), held)
    return None


def _sliced(spec: ArraySpec, partitions: Sequence[Partition], cells: int, plan: Plan) -> Group:
    """Return the group of one partition that must be walked in several passes."""
    assert len(partitions) == 1, "neighbours that fit together are a group of one pass"
    slices = partitions[0].rows.slices(cells, plan.record_size)
    passes = tuple((Unit(0, rows),) for rows in slices)
    most = max(units[0].rows.cells for units in passes)
    return Group(spec.name, tuple(partitions), passes, most)


def held_cells(spec: ArraySpec, units: Sequence[Unit], width: Width) -> int:
    """Return how many chunks are held at the same time at most while ``units`` are walked.

    A unit is held from the first walk that can meet it until its last one has passed, and
    ``width.window`` neighbouring walks are under way together.
    """
    walks = walks_over(spec, [unit.rows for unit in units], width)
    needs = needed_ranks(spec, [unit.rows for unit in units], walks, width.page)
    begins, ends = np.zeros(len(walks) + 1, np.int64), np.zeros(len(walks) + 1, np.int64)
    for unit, need in zip(units, needs, strict=True):
        if need:
            begins[min(need)] += unit.rows.cells
            ends[max(need) + 1] += unit.rows.cells
    # While walk i is the first one under way, what began before i + window and did not end.
    begun = np.cumsum(begins)[np.minimum(np.arange(len(walks)) + width.window - 1, len(walks) - 1)]
    return int((begun - np.cumsum(ends)[: len(walks)]).max(initial=0))


def needed_ranks(
    spec: ArraySpec, row_sets: Sequence[RowSet], walks: Sequence[Walk], page: int
) -> list[dict[int, int]]:
    """Return, for each row set, the walks that it needs and the rank that each must pass."""
    starts = np.array([walk.start for walk in walks], np.int64)
    stops = np.array([walk.stop for walk in walks], np.int64)
    found: list[dict[int, int]] = [{} for _ in row_sets]
    # Coarse: to wait for a walk in vain costs less than to tell thousands of intervals apart.
    owners, intervals = _intervals_of_each(spec, row_sets, LEAST_PAGES * page)
    # Walks are disjoint and rise, so those an interval meets stand side by side.
    firsts = np.searchsorted(stops, intervals[:, 0], side="right")
    lasts = np.searchsorted(starts, intervals[:, 1], side="left")
    for owner, first, last, stop in zip(
        owners.tolist(), firsts.tolist(), lasts.tolist(), intervals[:, 1].tolist(), strict=True
    ):
        needs = found[owner]
        for walk in range(first, last):
            needs[walk] = max(min(stop, int(stops[walk])), needs.get(walk, 0))
    return found


def _intervals_of_each(
    spec: ArraySpec, row_sets: Sequence[RowSet], max_gap: int
) -> tuple[Ints, Ints]:
    """Return owners and rank intervals that meet all chunks of each of ``row_sets``."""
    if all(rows.count == 1 for rows in row_sets):
        begins = [rows.first * rows.period + rows.start for rows in row_sets]
        ends = [begin + rows.cells for begin, rows in zip(begins, row_sets, strict=True)]
        return cover.intervals_of_each_run(spec.grid, begins, ends, max_gap)
    each = [cover.rank_intervals(spec.grid, rows.boxes(spec.grid), max_gap) for rows in row_sets]
    owners = np.repeat(np.arange(len(each)), [len(intervals) for intervals in each])
    return owners, np.concatenate(each)


def walks_over(spec: ArraySpec, row_sets: Sequence[RowSet], width: Width) -> list[Walk]:
    """Return the walks that together meet every chunk of ``row_sets``, in text order."""
    return cover.walks(spec.grid, spec.keys, _intervals(spec, row_sets, width))


def _intervals(spec: ArraySpec, row_sets: Sequence[RowSet], width: Width) -> Ints:
    boxes = [box for rows in row_sets for box in rows.boxes(spec.grid)]
    # Foreign keys up to a page cost no more than the request that skipping them would need.
    intervals = cover.rank_intervals(spec.grid, boxes, max_gap=width.page)
    if not len(intervals) or width.pieces == 1:
        return intervals
    ranks = int((intervals[:, 1] - intervals[:, 0]).sum())
    pieces = max(width.pieces, -(-ranks // (MOST_PAGES * width.page)))
    return cover.cut(intervals, pieces, LEAST_PAGES * width.page, width.page)


def forecast_groups(plan: Plan, groups: Sequence[Group], width: Width) -> Forecast:
    """Return what listing ``groups`` costs where every chunk exists, and every document."""
    walks = requests = least = shards = gets = 0
    for group in groups:
        spec = plan.by_name[group.array].spec
        for units in group.passes:
            intervals = _intervals(spec, [unit.rows for unit in units], width)
            walks += len(intervals)
            requests += cover.requests(_with_documents(spec, intervals), width.page)
        least += cover.least_requests(sum(p.objects.cells for p in group.partitions), width.page)
        if spec.inner_chunks is not None:
            each = index_requests(shard_layout(spec))
            for partition in group.partitions:
                shards += partition.objects.cells
                for rows in inner_slices(spec, partition.rows, group.inner_cells, plan.record_size):
                    gets += each * len(shards_of(spec, rows))
    return Forecast(len(groups), walks, requests, least, shards, gets)


def _with_documents(spec: ArraySpec, intervals: Ints) -> Ints:
    """Return intervals as long as walks over them are: Zarr's documents are listed, too.

    Those of v2 (``.zarray``) sort before an array's chunks, ``zarr.json`` after them, and neither
    lies in the directory ``c``.
    """
    if not len(intervals) or cover.chunk_directory(spec.keys):
        return intervals
    longer, documents = intervals.copy(), len(documents_of(spec))
    if spec.zarr_format == 2 and longer[0, 0] == 0:
        longer[0, 0] -= documents
    elif spec.zarr_format == 3 and longer[-1, 1] == spec.total:
        longer[-1, 1] += documents
    return longer


def documents_of(node: ArraySpec | GroupSpec) -> tuple[str, ...]:
    """Return the names of the documents that writers of Zarr put beside a node's members."""
    if node.zarr_format == 3:
        return ("zarr.json",)
    return (".zarray" if isinstance(node, ArraySpec) else ".zgroup", ".zattrs")
