"""Jobs of one array: which of its partitions are listed together. No I/O.

The plan's forecast and the build call the same functions, so what is forecast is what happens on
a store in which every chunk exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from parchunk.cover.jobs import Expansion, Job, Member, Pass, Unit
from parchunk.cover.limits import Terms
from parchunk.cover.room import LISTED_SHARDS
from parchunk.cover.walks import needed_ranks
from parchunk.metadata.shard_grid import ends_within_shards
from parchunk.metadata.shards import ENTRY_BYTES
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Partition

#: What an inner chunk costs while shards are expanded, in chunks' sizes: an offset and a size,
#: in one slice that is being read and one that is being written.
HELD_BY_INNER = 4


def jobs_of(spec: ArraySpec, partitions: Sequence[Partition], terms: Terms) -> Iterator[Job]:
    """Yield the jobs for pending partitions of an array, which are in the order of regions.

    All go together when never more than ``terms.most_held`` chunks are held at one time: along
    the leading axis that is nearly always so, as a walk in text order completes regions one after
    another. Else neighbours go together while they fit. With several workers, the array is shared
    out so that each of them has a part. However small they are, only so many go together.
    """
    if spec.inner_chunks is not None:
        yield from _expanded(spec, partitions, terms)
        return
    total = sum(partition.rows.total for partition in partitions)
    share = min(max(-(-total // terms.workers), 1), terms.limits.job_chunks)
    for run in _runs(partitions, share, terms.limits.most_units):
        whole = _in_one_pass(spec, run, terms)
        if whole is not None:
            yield terms.job(whole)
            continue
        for part in _runs(run, terms.most_held, terms.limits.most_units):
            yield terms.job(_in_one_pass(spec, part, terms) or _uncut(spec, part, terms))


def _expanded(spec: ArraySpec, partitions: Sequence[Partition], terms: Terms) -> Iterator[Job]:
    """As `jobs_of`, for an expanded array: half of what may be held is for listing its shards."""
    most_held = terms.most_held
    total = sum(partition.objects.total for partition in partitions)
    share = min(most_held // LISTED_SHARDS, max(-(-total // terms.workers), 1))
    for batch in _runs(partitions, share, terms.limits.most_units):
        listed = sum(partition.objects.total for partition in batch)
        expansion = _expansion(spec, batch, most_held - listed, terms)
        units = tuple(Unit(position, part.objects) for position, part in enumerate(batch))
        ahead = -(-expansion.ahead_bytes // terms.chunk_bytes)
        held = listed + HELD_BY_INNER * expansion.rows + ahead
        passes = terms.passes(spec, [units])
        yield terms.job(Member(spec, tuple(batch), passes, held, expansion))


def _expansion(
    spec: ArraySpec, partitions: Sequence[Partition], room: int, terms: Terms
) -> Expansion:
    """Return how much of some partitions is read at once, for which there is ``room``, in chunks.

    Where slices cannot but end within shards, half of it is for indexes that are read ahead: those
    take half of what the slices would for which they spare a request.
    """
    largest = max(partition.rows.total for partition in partitions)

    def rows_in(room: int) -> int:
        rows = min(max(room // HELD_BY_INNER, terms.record_size), terms.limits.inner_rows)
        return min(rows, largest)

    rows, ahead = rows_in(room), 0
    if any(ends_within_shards(spec, p.rows, rows, terms.record_size) for p in partitions):
        rows = rows_in(room // 2)
        left = max(room - HELD_BY_INNER * rows, 0) * terms.chunk_bytes
        ahead = min(left, largest * ENTRY_BYTES, terms.limits.ahead_bytes)
    return Expansion(rows, terms.limits.index_bytes, ahead)


def _runs(partitions: Sequence[Partition], most_held: int, most: int) -> Iterator[list[Partition]]:
    """Yield neighbouring partitions, ``most`` or fewer, that hold so many objects, or one."""
    run: list[Partition] = []
    held = 0
    for partition in partitions:
        size = partition.objects.total
        if run and (held + size > most_held or len(run) >= most):
            yield run
            run, held = [], 0
        run.append(partition)
        held += size
    if run:
        yield run


def _in_one_pass(spec: ArraySpec, partitions: Sequence[Partition], terms: Terms) -> Member | None:
    """Return the member of one pass, or None when too much would be held, or in too many units."""
    most_held, limits = terms.most_held, terms.limits
    total = sum(partition.rows.total for partition in partitions)
    # Regions of a later axis all end with the last index before it. Cut along that too, in bands
    # thin enough, what is held of each is little.
    bands = any(partition.rows.count > 1 for partition in partitions) and total > most_held
    most = max(limits.unit_chunks, total // limits.units)
    for size in (most, most // 10, most // 100) if bands else (most,):
        units = tuple(
            Unit(position, rows)
            for position, partition in enumerate(partitions)
            for rows in partition.rows.slices(min(size, most_held), terms.record_size)
        )
        if len(units) > limits.most_units:
            break
        passes = terms.passes(spec, [units])
        held = total if total <= most_held // 8 else held_by(passes[0])
        if held <= most_held:
            return Member(spec, tuple(partitions), passes, held)
    return None


def _uncut(spec: ArraySpec, partitions: Sequence[Partition], terms: Terms) -> Member:
    """Return the member of neighbours that fit together, and are too many to be cut in units.

    One partition that does not fit is walked in several passes.
    """
    if len(partitions) > 1:
        passes = [tuple(Unit(position, part.rows) for position, part in enumerate(partitions))]
    else:
        slices = partitions[0].rows.slices(terms.most_held, terms.record_size)
        passes = [(Unit(0, rows),) for rows in slices]
    most = max(sum(unit.rows.total for unit in units) for units in passes)
    return Member(spec, tuple(partitions), terms.passes(spec, passes), most)


def held_by(walked: Pass) -> int:
    """Return how many chunks are held at the same time at most while a pass is walked.

    A unit is held from the first walk that can meet it until its last one has passed, and
    ``width.window`` neighbouring walks are under way together.
    """
    count, window = len(walked.spans), walked.width.window
    needs = needed_ranks(walked.grid, walked.row_sets, walked.spans, walked.width.page)
    begins, ends = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for unit, need in zip(walked.units, needs, strict=True):
        if need:
            begins[min(need)] += unit.rows.total
            ends[max(need) + 1] += unit.rows.total
    # While walk i is the first one under way, what began before i + window and did not end.
    begun = np.cumsum(begins)[np.minimum(np.arange(count) + window - 1, count - 1)]
    return int((begun - np.cumsum(ends)[:count]).max(initial=0))
