"""Groups: which partitions are listed together, by which walks, at what cost. No I/O.

The plan's forecast and the build call the same functions, so what is forecast is what happens on
a store in which every chunk exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from parchunk import cover
from parchunk.cover import Walk
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec
from parchunk.plan import Partition, Plan
from parchunk.rows import RowSet
from parchunk.shard_grid import inner_slices, shards_of

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
#: Record files written at the same time.
WRITERS = 2
#: A walk is cut in pieces for listings side by side, but not shorter than this many pages.
LEAST_PAGES = 20


@dataclass(frozen=True)
class Group:
    """Neighbouring partitions of one array that are covered together.

    A group of one partition may exceed the memory bound; its ``slices`` are then walked one
    after another. Otherwise there is one slice, of all partitions.
    """

    array: str
    partitions: tuple[Partition, ...]
    slices: tuple[tuple[RowSet, ...], ...]
    #: Of an expanded array: inner chunks in one slice of a partition.
    inner_cells: int = 0

    @property
    def cells(self) -> int:
        """What is held in memory at the same time, in units of a chunk's size (8 bytes)."""
        listed = max(sum(rows.cells for rows in row_sets) for row_sets in self.slices)
        return listed + INNER_CELLS * self.inner_cells


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


def vector_cells(memory: int, record_size: int, concurrency: int) -> int:
    """Return how many chunks' sizes may be held at once within ``memory`` bytes.

    Raises
    ------
    InputError
        When the bound cannot be honoured, naming the least one that can.
    """
    rest = FIXED_BYTES + WRITERS * record_size * ROW_BYTES
    rest += min(concurrency, 16) * LISTING_BYTES
    least = rest + max(record_size * CHUNK_BYTES, 4 << 20)
    if memory < least:
        raise InputError(
            f"--memory {memory} bytes is too little for record files of {record_size} rows and "
            f"{concurrency} listings side by side: give {-(-least // (1 << 20))} MiB or more, or "
            "lower --record-size or --concurrency"
        )
    return (memory - rest) // CHUNK_BYTES


def make_groups(
    plan: Plan, pending: Iterable[Partition], cells: int, workers: int = 1
) -> list[Group]:
    """Return the groups for the pending partitions, ordered by region, then by array.

    Partitions of one array go together while they fit ``cells`` chunks; with several workers, an
    array is shared out so that each of them has a part.
    """
    by_array: dict[str, list[Partition]] = {}
    for partition in pending:
        by_array.setdefault(partition.array, []).append(partition)
    groups: list[tuple[int, Group]] = []
    for array, partitions in by_array.items():
        partitions.sort(key=lambda partition: partition.region or 0)
        if plan.by_name[array].spec.inner_chunks is not None:
            groups += _expanded_groups(plan, partitions, cells, workers)
            continue
        total = sum(partition.rows.cells for partition in partitions)
        share = min(cells, max(-(-total // workers), 1))
        held: list[Partition] = []
        for partition in partitions:
            size = partition.rows.cells
            if held and (sum(p.rows.cells for p in held) + size > share):
                groups.append(_group(array, held, cells, plan.record_size))
                held = []
            held.append(partition)
        groups.append(_group(array, held, cells, plan.record_size))
    groups.sort(key=lambda pair: (pair[0], pair[1].array))
    return [group for _, group in groups]


def _group(
    array: str, partitions: list[Partition], cells: int, record_size: int
) -> tuple[int, Group]:
    slices: tuple[tuple[RowSet, ...], ...]
    if len(partitions) == 1:
        slices = tuple((rows,) for rows in partitions[0].rows.slices(cells, record_size))
    else:
        slices = (tuple(partition.rows for partition in partitions),)
    region = partitions[0].region
    return (-1 if region is None else region), Group(array, tuple(partitions), slices)


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
        region = batch[0].region
        groups.append(
            (
                -1 if region is None else region,
                Group(
                    batch[0].array,
                    tuple(batch),
                    (tuple(partition.objects for partition in batch),),
                    inner,
                ),
            )
        )
    return groups


def walks_over(
    spec: ArraySpec, row_sets: Sequence[RowSet], pieces: int, page: int
) -> list[Walk]:
    """Return the walks that together meet every chunk of ``row_sets``, in text order.

    Long ones are cut so that there are about ``pieces``; ``page`` keys come with one request.
    """
    return cover.walks(spec.grid, spec.keys, _intervals(spec, row_sets, pieces, page))


def _intervals(
    spec: ArraySpec, row_sets: Sequence[RowSet], pieces: int, page: int
) -> cover.Ints:
    boxes = [box for rows in row_sets for box in rows.boxes(spec.grid)]
    # Foreign keys up to a page cost no more than the request that skipping them would need.
    intervals = cover.rank_intervals(spec.grid, boxes, max_gap=page)
    if not len(intervals):
        return np.empty((0, 2), np.int64)
    return cover.cut(intervals, pieces=pieces, least=LEAST_PAGES * page, page=page)


def forecast(plan: Plan, groups: Sequence[Group], pieces: int, page: int) -> Forecast:
    """Return what listing ``groups`` costs on a store in which every chunk exists."""
    walks = requests = least = shards = gets = 0
    for group in groups:
        spec = plan.by_name[group.array].spec
        for row_sets in group.slices:
            intervals = _intervals(spec, row_sets, pieces, page)
            walks += len(intervals)
            requests += cover.requests(intervals, page)
        least += cover.least_requests(sum(p.objects.cells for p in group.partitions), page)
        if spec.inner_chunks is not None:
            for partition in group.partitions:
                shards += partition.objects.cells
                for rows in inner_slices(spec, partition.rows, group.inner_cells, plan.record_size):
                    gets += len(shards_of(spec, rows))
    return Forecast(len(groups), walks, requests, least, shards, gets)
