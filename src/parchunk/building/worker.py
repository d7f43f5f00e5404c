"""Building one job: list it, write its partitions as they become known, receipt each."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np

from parchunk.building.first_gaps import FirstGaps
from parchunk.building.ledger import Ledger
from parchunk.building.pools import Pools
from parchunk.building.ready_jobs import Leg, ReadyJobs
from parchunk.building.receipting import Costs
from parchunk.building.results import JobResult
from parchunk.cover.jobs import Member
from parchunk.errors import ListingError, OutputError
from parchunk.keys.placement import Target
from parchunk.keys.row_sets import RowSet
from parchunk.listing.job import JobListing
from parchunk.listing.patience import Requests
from parchunk.listing.shard_reading import ShardReader
from parchunk.listing.size_vector import SizeVector
from parchunk.listing.strays import Strays
from parchunk.listing.tally import Part
from parchunk.listing.waiting import all_unless
from parchunk.out.counts import Counts
from parchunk.out.known import last_known
from parchunk.out.receipt_blocks import Together
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import PartitionKey
from parchunk.writing.absent_rows import AbsentRows
from parchunk.writing.inline_room import Inlining
from parchunk.writing.known_file import KnownFile
from parchunk.writing.plain_rows import PlainRows
from parchunk.writing.record_writer import RecordWriter, write_together
from parchunk.writing.rows import RowSource
from parchunk.writing.seams import Seams
from parchunk.writing.shard_rows import ShardRows
from parchunk.writing.written import Written

#: Parts of a leg that wait to be written, at most: what waits takes more than what was listed.
_WAITING = 100
#: Parts of small arrays that are written together, at most, where one thread writes them all, ...
_TOGETHER = 25
#: ... and rows of them, about.
_ROWS_TOGETHER = 5_000

#: A member, the position of a partition in it, and a part of that.
_Listed: TypeAlias = tuple[int, int, Part]


def build_jobs(
    ready: ReadyJobs,
    pools: Pools | None = None,
    requests: Requests | None = None,
    notify: Callable[[Receipt], None] | None = None,
    blocks: Together | None = None,
    gaps: FirstGaps | None = None,
) -> JobResult:
    """Build all partitions of ready jobs; each one that is done has its receipt.

    ``pools`` are the process's own when several share them, ``requests`` counts live, and
    ``notify`` is called with each receipt once it is written: these stay in one process. So do
    ``gaps``, and ``blocks`` that receipts are added to, whose owner writes the last, and says which
    are written.
    Receipts that ``notify`` is told of, or that are in ``blocks``, are not in what is returned.

    Raises
    ------
    ParchunkError
        Naming the array and what failed. Finished partitions keep their receipts.
    """
    with contextlib.ExitStack() as stack:
        if pools is None:
            small = ready.output.writes_at_once(ready.share.writes)
            pools = stack.enter_context(Pools(ready.share.concurrency, small))
        gaps = gaps or FirstGaps(ready.output)
        return _build(ready, pools, Requests(total=requests), notify, blocks, gaps)


def _build(
    ready: ReadyJobs,
    pools: Pools,
    counted: Requests,
    notify: Callable[[Receipt], None] | None,
    blocks: Together | None,
    gaps: FirstGaps,
) -> JobResult:
    ledger = Ledger(ready, Costs(counted), notify, blocks)
    try:
        notes = _build_legs(ready, pools, counted, ledger, gaps)
    except BaseException:
        # What is complete need not be listed again.
        with contextlib.suppress(OutputError):
            ledger.end()
        raise
    ledger.end()
    return JobResult(
        tuple(ledger.receipts),
        counted.lists,
        counted.keys,
        counted.retries,
        counted.gets,
        tuple(notes),
        counted.heads,
        counted.busy,
    )


def _build_legs(
    ready: ReadyJobs, pools: Pools, counted: Requests, ledger: Ledger, gaps: FirstGaps
) -> list[str]:
    """Write all partitions; return lines that a user should read."""
    seams = Seams(ready.record_size) if ready.has_seams else None
    write = partial(_record_writer, ready, seams=seams, gaps=gaps)
    build = partial(_build_leg, ready, pools=pools, counted=counted, ledger=ledger, write=write)
    _write_absent(ready, ledger, partial(write, pools=pools))
    _write_known(ready, ledger, partial(write, pools=pools))
    if len(ready.legs) == 1:
        return build(ready.legs[0])
    with ThreadPoolExecutor(ready.at_once, thread_name_prefix="leg") as legs:
        building = [legs.submit(build, leg) for leg in ready.legs]
        try:
            return [note for leg in building for note in leg.result()]
        finally:
            for leg in building:
                leg.cancel()


def _build_leg(
    ready: ReadyJobs,
    leg: Leg,
    pools: Pools,
    counted: Requests,
    ledger: Ledger,
    write: Callable[..., RecordWriter],
) -> list[str]:
    """List one leg and write what it brings; return lines that a user should read."""
    listed = leg.listing(ready.source, ready.share, pools, counted)
    within = pools.here if listed.lasting else pools

    def make(at: int) -> RecordWriter:
        rows = _row_source(ready, leg.job.members[at], within, counted)
        return write(rows, leg.targets[at], pools=within)

    writing = _LegWriting(leg, listed, ledger, _Writers(leg.job.members, make))
    most = _TOGETHER if listed.lasting and pools.together else 1
    writes: deque[Future[None]] = deque()
    try:
        for parts in _some_of(listed, most):
            if listed.lasting:
                # It is written while the walk goes on, at whatever pace OUT takes.
                writes.append(pools.small.submit(writing.write, parts))
            elif leg.job.members[parts[0][0]].expansion is not None:
                # The next shards are read while these rows are written: both take long.
                writes.append(pools.partitions.submit(writing.begin(*parts[0])))
            else:
                writing.begin(*parts[0])()
            while writes and writes[0].done():
                writes.popleft().result()
            if len(writes) * most >= _WAITING:
                # All at once: to be woken for each takes longer. None is forgotten meanwhile.
                all_unless(pools.stop, list(islice(writes, len(writes) // 2)))
    except ListingError:
        # What the walk had passed is complete: it need not be listed again.
        all_unless(pools.stop, writes)
        raise
    else:
        all_unless(pools.stop, writes)
    finally:
        # Those that are cancelled are not waited for: their pool may have ended.
        wait([one for one in writes if not one.cancel()])
    return listed.notes


def _some_of(listed: JobListing, most: int) -> Iterator[list[_Listed]]:
    """Yield parts as they are listed, ``most`` at a time, and fewer where they are long."""
    some: list[_Listed] = []
    rows = 0
    try:
        for one in listed.parts():
            some.append(one)
            rows += one[2].rows.total
            if len(some) >= most or rows >= _ROWS_TOGETHER:
                yield some
                some, rows = [], 0
    except ListingError:
        # What the walk had passed is complete.
        if some:
            yield some
        raise
    if some:
        yield some


class _Writers:
    """What writes the parts of each member; different ones may be written at the same time.

    It keeps the spelling of paths, and there may be many members: it is made for the first part of
    one, and gone with the last.
    """

    def __init__(self, members: Sequence[Member], make: Callable[[int], RecordWriter]) -> None:
        self._members, self._make = members, make
        #: By the member's position: what writes it, and how many of its parts are still to come.
        self._under_way: dict[int, tuple[RecordWriter, int]] = {}
        self._lock = threading.Lock()

    def one(self, at: int) -> RecordWriter:
        """Return what writes one part more of a member."""
        with self._lock:
            if at in self._under_way:
                writer, left = self._under_way.pop(at)
            else:
                writer, left = self._make(at), self._parts(at)
            if left > 1:
                self._under_way[at] = writer, left - 1
            return writer

    def _parts(self, at: int) -> int:
        return sum(len(walked.units) for walked in self._members[at].passes)


@dataclass(frozen=True)
class _LegWriting:
    """How the parts of a leg are written, and told to the ledger; ``writers`` write its members.

    What somebody else has done meanwhile is left as it is.
    """

    leg: Leg
    listed: JobListing
    ledger: Ledger
    writers: _Writers

    def begin(self, at: int, position: int, part: Part) -> Callable[[], None]:
        """Begin to write a part; return what waits for the rest."""
        others = self._is_others(at, position)
        finish = Written if others else self.writers.one(at).begin(part)
        return lambda: self._take(at, position, finish())

    def write(self, parts: Sequence[_Listed]) -> None:
        """Write parts of small arrays."""
        mine = []
        for at, position, part in parts:
            if self._is_others(at, position):
                self._take(at, position, Written())
            else:
                mine.append((at, position, part))
        write_together(
            [(self.writers.one(at), part) for at, _, part in mine],
            lambda which, written: self._take(*mine[which][:2], written),
        )

    def _take(self, at: int, position: int, written: Written) -> None:
        self.ledger.take(self._key(at, position), written, self.listed.members[at].ordered)

    def _is_others(self, at: int, position: int) -> bool:
        return self.ledger.is_others(self._key(at, position))

    def _key(self, at: int, position: int) -> PartitionKey:
        return self.leg.job.members[at].partitions[position].key


def _record_writer(
    ready: ReadyJobs,
    rows: RowSource,
    target: Target,
    pools: Pools,
    seams: Seams | None,
    gaps: FirstGaps,
) -> RecordWriter:
    """Return what writes the record files of an array's rows."""
    own = ready.coordinates.get(target.array, 0)
    threshold = max(ready.inline_threshold, own)
    is_coordinate = own > ready.inline_threshold
    inlining = Inlining(threshold, ready.share.inlining, pools.room, is_coordinate)
    return RecordWriter(
        rows,
        target,
        ready.output,
        ready.record_size,
        inlining,
        pools.writers,
        seams,
        ready.source.identity,
        gaps.come,
    )


def _write_absent(
    ready: ReadyJobs, ledger: Ledger, write: Callable[[RowSource, Target], RecordWriter]
) -> None:
    """Write the rows that no store has, in partitions of which stores have others."""
    for owned in ready.owned:
        target = Target(owned.partition.array, owned.spec.reference_total)
        for rows in owned.absent:
            writer = write(AbsentRows(owned.spec), target)
            nothing = Part(rows, SizeVector(np.empty(0, np.uint64)), None, Strays(), 0)
            key = owned.partition.key
            ledger.take(key, Written() if ledger.is_others(key) else writer.write(nothing))


def _write_known(
    ready: ReadyJobs, ledger: Ledger, write: Callable[[RowSource, Target], RecordWriter]
) -> None:
    """Count in what is known of partitions, and write on in their last record file."""
    for owned in ready.owned:
        if owned.known is None:
            continue
        key, receipt = owned.partition.key, owned.known
        *files, last = receipt.record_files
        written = Written(files=list(files), modified=receipt.last_modified)
        if not ledger.is_others(key):
            source = KnownFile(owned.spec, last_known(ready.output, receipt))
            counts = source.known
            written.counts = Counts(
                present=receipt.present - counts.present,
                inlined=receipt.inlined - counts.inlined,
                bytes=receipt.bytes - counts.bytes,
                found_again=receipt.found_again,
            )
            all_rows = owned.partition.rows
            end = all_rows.number(0) + receipt.expected
            rows = RowSet(all_rows.period, end - last.rows, end)
            target = Target(owned.partition.array, owned.spec.reference_total)
            part = Part(rows, SizeVector(np.empty(0, np.uint64)), None, Strays(), 0)
            written.add(write(source, target).write(part))
        ledger.take(key, written, receipt.ordered)


def _row_source(ready: ReadyJobs, member: Member, pools: Pools, counted: Requests) -> RowSource:
    """Return where the rows of a member's array come from."""
    if member.expansion is None:
        return PlainRows(member.spec, ready.source, pools.fetches)
    reader = ShardReader(
        member.spec,
        ready.source,
        pools.fetches,
        ready.share.concurrency,
        counted,
        ready.share.patience,
        pools.stop,
        member.expansion.index_bytes,
    )
    rows_of = {partition.objects: partition.rows for partition in member.partitions}
    return ShardRows(reader, rows_of, member.expansion, ready.record_size)
