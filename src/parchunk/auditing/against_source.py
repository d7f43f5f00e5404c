"""References against the source as it is now: listed again by the same cover as a build's.

Chunks that are new, gone, or changed are named by region. Changed means another size, or modified
after everything that the build saw of that partition, so that a rewrite of equal size is found too.

Of expanded sharded arrays the objects are shards, whose sizes references do not hold: a shard
counts as resized when it ends before a reference into it does. Where it was not modified since,
that is damage of the references.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_check import RecordJob, object_key
from parchunk.bundle_listing import BundleListing, Member
from parchunk.bundles import Bundle, forecast, make_work
from parchunk.group_listing import GroupListing
from parchunk.groups import TAKERS, Group, Width, vector_cells, width_of
from parchunk.key_kernels import parse_paths
from parchunk.listed_rows import Listed
from parchunk.listing import Listing, Patience, Requests
from parchunk.metadata.spec import ArraySpec
from parchunk.output import Output
from parchunk.plan import Plan
from parchunk.planning import open_source, read_again
from parchunk.record_files import record_path
from parchunk.rows import RowSet
from parchunk.shard_grid import shard_numbers
from parchunk.source import Source
from parchunk.stores import is_ordered, is_remote, page_keys
from parchunk.tally import Part, Sightings, Tally

Int64Array = NDArray[np.int64]

_REMEDY = {
    "new": "parchunk update OUT",
    "gone": "parchunk update OUT --regions with its number, or restore them: readers of the "
    "references fail here",
    "changed": "nothing if the change was meant and the size is equal; else parchunk update OUT "
    "--regions with its number: readers ask for the old sizes",
}


@dataclass(frozen=True)
class RegionChanges:
    """What changed in one partition, as chunk numbers that rise, shape (n,) each.

    A chunk of zero bytes now is gone. ``resized`` and ``rewritten`` (same size, modified later)
    are both changed. Of an expanded array the numbers are of shards, and ``overrun`` are those
    that end before a reference into them though they were not modified: damage, not a change.
    """

    spec: ArraySpec = field(repr=False)
    region: int | None
    new: Int64Array
    gone: Int64Array
    resized: Int64Array
    rewritten: Int64Array
    overrun: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def array(self) -> str:
        """The array's name."""
        return self.spec.name

    @property
    def changed(self) -> Int64Array:
        """Chunk numbers of resized and rewritten chunks."""
        return np.union1d(self.resized, self.rewritten)

    def keys(self, numbers: Int64Array) -> list[str]:
        """Return chunk keys of the source."""
        return [object_key(self.spec, number) for number in numbers.tolist()]


@dataclass(frozen=True)
class Comparison:
    """The source against the references; ``regions`` are the partitions with differences."""

    regions: tuple[RegionChanges, ...]
    findings: tuple[Finding, ...]
    requests: int
    requests_least: int
    notes: tuple[str, ...]

    def to_json(self, changes: bool = True) -> dict[str, Any]:
        """Return JSON values; with ``changes`` every chunk by its key."""
        document: dict[str, Any] = {
            "new": sum(len(region.new) for region in self.regions),
            "gone": sum(len(region.gone) for region in self.regions),
            "changed": sum(len(region.changed) for region in self.regions),
            "list_requests": self.requests,
            "list_requests_least": self.requests_least,
            "notes": list(self.notes),
        }
        if changes:
            document["regions"] = [
                {
                    "array": region.array,
                    "region": region.region,
                    "new": region.keys(region.new),
                    "gone": region.keys(region.gone),
                    "resized": region.keys(region.resized),
                    "rewritten": region.keys(region.rewritten),
                    "overrun": region.keys(region.overrun),
                }
                for region in self.regions
            ]
        return document


def compare(
    plan: Plan,
    output: Output,
    done: Sequence[Audited],
    source: Source | None,
    store_options: Mapping[str, str] | None,
    memory: int,
    concurrency: int,
) -> Comparison:
    """List the source again, and return how it differs from the references.

    Partitions that are not built are not listed: everything in them would be new.

    Raises
    ------
    ListingError, SourceError
        When the source cannot be listed.
    """
    source = source or open_source(plan, store_options)
    findings: list[Finding] = []
    if read_again(plan, source).digest() != plan.hierarchy.digest():
        findings.append(
            finding(
                "source-metadata",
                f"the metadata of {source.url} is no longer what was built from",
                "parchunk update OUT if it grew; else build with --overwrite, or into another OUT",
            )
        )
    counted = Requests()
    stop = threading.Event()
    by_partition = {(item.partition.array, item.partition.region): item for item in done}
    cells = vector_cells(memory, plan.record_size, concurrency)
    width = width_of(source.store, concurrency)
    work = make_work(plan, [item.partition for item in done], cells, width)
    regions: list[RegionChanges] = []
    notes: list[str] = []
    with (
        ThreadPoolExecutor(concurrency, thread_name_prefix="listing") as pool,
        ThreadPoolExecutor(TAKERS, thread_name_prefix="taker") as takers,
    ):
        try:
            for item in work:
                compared = [
                    _Compared(plan, group, by_partition, source, pool, takers, width, counted, stop)
                    for group in (item.groups if isinstance(item, Bundle) else (item,))
                ]
                if len(compared) == 1:
                    (one,) = compared
                    for units in one.group.passes:
                        for at, part in one.listed.parts([unit.rows for unit in units]):
                            one.take(output, units[at].partition, part)
                else:
                    members = [Member(each.listed, each.row_sets) for each in compared]
                    together = BundleListing(members, pool)
                    for at, position, part in together.parts():
                        compared[at].take(output, position, part)
                    notes += together.notes
                for each in compared:
                    notes += each.listed.notes
                    regions += each.made()
        except BaseException:
            stop.set()
            raise
    for region in regions:
        findings += _findings(region)
    remote = is_remote(source.store)
    least = forecast(plan, work, width).least
    return Comparison(
        tuple(regions),
        tuple(findings),
        counted.lists if remote else 0,
        least if remote else 0,
        tuple(notes),
    )


class _Compared:
    """One group's partitions as they are compared."""

    def __init__(
        self,
        plan: Plan,
        group: Group,
        by_partition: Mapping[tuple[str, int | None], Audited],
        source: Source,
        pool: Executor,
        takers: Executor,
        width: Width,
        counted: Requests,
        stop: threading.Event,
    ) -> None:
        """Prepare; nothing is listed yet."""
        spec = plan.by_name[group.array].spec
        items = [by_partition[(p.array, p.region)] for p in group.partitions]
        self.group = group
        listing = Listing(
            source=source,
            array=spec.name,
            page=page_keys(source.store),
            requests=counted,
            patience=Patience(),
            stop=stop,
        )
        self.listed = _WatchedListing(
            spec, listing, pool, takers, width, False, ordered=is_ordered(source.store)
        )
        self.listed.since = {
            unit.rows: _newest(items[unit.partition]) for units in group.passes for unit in units
        }
        differences = _Differences if spec.inner_chunks is None else _ShardDifferences
        self._differences = [differences(item, spec, plan.record_size) for item in items]

    @property
    def row_sets(self) -> list[RowSet]:
        """The rows of the group's units, one a partition, where it is of a bundle."""
        (units,) = self.group.passes
        return [unit.rows for unit in units]

    def take(self, output: Output, partition: int, part: Part) -> None:
        """Compare a part of one of the partitions with its record files."""
        self._differences[partition].take(output, part, self.listed.later(part.rows))

    def made(self) -> list[RegionChanges]:
        """Return the differences of those partitions that have any."""
        return [made for found in self._differences if (made := found.made()) is not None]


class _WatchedTally(Tally):
    """A tally that also keeps which chunks were modified after a moment, by row set."""

    def __init__(
        self, spec: ArraySpec, base: str, row_sets: Sequence[RowSet], since: Sequence[int]
    ) -> None:
        """Watch each row set for modifications after its moment in ``since``."""
        super().__init__(spec, base, row_sets)
        self._since = np.array(since, np.int64)
        self._earliest = int(self._since.min())
        self._later: dict[int, list[Int64Array]] = {}
        self._watch = threading.Lock()
        self._owners = {rows: owner for owner, rows in enumerate(self.row_sets)}

    def take(self, listed: Listed, sightings: Sightings) -> None:
        """Tally a batch, and note what was modified later."""
        super().take(listed, sightings)
        rows = np.flatnonzero(listed.modified > self._earliest)
        if not len(rows):
            return
        parsed = parse_paths(
            listed.paths.take(pa.array(rows)), self.base, self.spec.keys, self.spec.grid
        )
        modified, numbers = listed.modified[rows], parsed.numbers
        if parsed.chunks is not None:
            modified = modified[parsed.chunks]
        _, owners, mine = self._locate(numbers)
        if owners is None:
            owners = np.zeros(len(numbers), np.int64)
        newer = modified > self._since[owners]
        if mine is not None:
            newer &= mine
        numbers, owners = numbers[newer], owners[newer]
        with self._watch:
            for owner in np.unique(owners).tolist():
                self._later.setdefault(owner, []).append(numbers[owners == owner])

    def later(self, rows: RowSet) -> Int64Array:
        """Return the chunk numbers of one row set that were modified later, and forget them."""
        with self._watch:
            # By row set and not by position: a listing begun again has only those not yet done.
            found = self._later.pop(self._owners[rows], [])
        return np.unique(np.concatenate([np.empty(0, np.int64), *found]))


class _WatchedListing(GroupListing):
    """A group's listing with watched tallies; ``since`` is the moment by row set."""

    since: Mapping[RowSet, int] = MappingProxyType({})
    tally: _WatchedTally | None = None

    def later(self, rows: RowSet) -> Int64Array:
        """Return chunk numbers of one row set that were modified since, rising."""
        assert self.tally is not None
        return self.tally.later(rows)

    def tally_of(self, row_sets: Sequence[RowSet]) -> Tally:
        """Return a watched tally, which is kept."""
        base = self.listing.source.path(self.spec.name) + "/"
        since = [self.since[rows] for rows in row_sets]
        self.tally = _WatchedTally(self.spec, base, row_sets, since)
        return self.tally


class _Differences:
    """The differences found in one partition so far."""

    def __init__(self, item: Audited, spec: ArraySpec, record_size: int) -> None:
        """Begin with none."""
        self._item, self._spec, self._record_size = item, spec, record_size
        self._jobs: dict[int, RecordJob] = {}
        self._new: list[Int64Array] = []
        self._gone: list[Int64Array] = []
        self._resized: list[Int64Array] = []
        self._rewritten: list[Int64Array] = []
        self._overrun: list[Int64Array] = []

    def take(self, output: Output, part: Part, later: Int64Array) -> None:
        """Compare a part (a partition, or some of its rows) with its record files."""
        size = self._record_size
        if not self._jobs:
            self._jobs = {job.index: job for job in self._item.jobs(size)}
        for begin in range(0, len(part.vector), size):
            vector = part.vector[begin : begin + size]
            numbers = part.rows.numbers(begin, begin + len(vector))
            job = self._jobs[int(numbers[0]) // size]
            references = _held(output, self._item.partition.array, job)
            if references is None:
                continue  # damage, which is reported as that
            held = references.sizes
            there = vector > 1
            now = np.where(there, vector - np.uint64(1), np.uint64(0)).astype(np.int64)
            both = there & (held > 0)
            self._new.append(numbers[there & (held == 0)])
            self._gone.append(numbers[~there & (held > 0)])
            self._resized.append(numbers[both & (now != held)])
            if len(later):
                same = numbers[both & (now == held)]
                self._rewritten.append(same[np.isin(same, later, assume_unique=True)])

    def made(self) -> RegionChanges | None:
        """Return the differences, or None when there are none."""
        joined = [
            np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
            for parts in (self._new, self._gone, self._resized, self._rewritten, self._overrun)
        ]
        if not any(map(len, joined)):
            return None
        return RegionChanges(self._spec, self._item.partition.region, *joined)


class _ShardDifferences(_Differences):
    """The differences found in one partition of an expanded array, by shard."""

    def take(self, output: Output, part: Part, later: Int64Array) -> None:
        """Compare the shards of a partition with all its record files."""
        objects = part.rows
        # Where the last reference into each shard ends; 0 is for shards without any.
        ends = np.zeros(objects.cells, np.int64)
        unknown = np.zeros(objects.cells, bool)
        for job in self._item.jobs(self._record_size):
            numbers = np.arange(job.first, job.first + job.rows, dtype=np.int64)
            at = objects.positions(shard_numbers(self._spec, numbers))
            references = _held(output, self._item.partition.array, job)
            if references is None:
                unknown[at] = True  # damage, which is reported as that
                continue
            there = references.sizes > 0
            # An inlined chunk has no place in its shard, but shows that there was one.
            np.maximum.at(ends, at[there], np.where(references.inlined, 1, references.ends)[there])
        there = part.vector > 1
        now = np.where(there, part.vector - np.uint64(1), np.uint64(0)).astype(np.int64)
        held = ends > 0
        numbers = objects.numbers(0, objects.cells)
        since = np.isin(numbers, later, assume_unique=True)
        new = there & ~held & ~unknown
        receipt = self._item.receipt
        if unknown.any() or receipt is None or receipt.shards_present > np.count_nonzero(held):
            # Shards may be there without any inner chunk: only those modified since are new.
            new &= since
        short = there & held & (ends > now)
        self._new.append(numbers[new])
        self._gone.append(numbers[~there & held])
        self._resized.append(numbers[short & since])
        self._rewritten.append(numbers[there & held & since & ~short])
        self._overrun.append(numbers[short & ~since])


@dataclass(frozen=True)
class _Held:
    """The rows of a record file: sizes, 0 where a chunk is missing, and where each one ends."""

    sizes: Int64Array
    ends: Int64Array
    inlined: NDArray[np.bool_]


def _held(output: Output, array: str, job: RecordJob) -> _Held | None:
    """Return what a record file gives; None if it is unreadable."""
    data = output.get(record_path(array, job.index))
    try:
        table = pq.read_table(
            pa.BufferReader(data or b""), columns=["path", "offset", "size", "raw"]
        )
        sizes = np.asarray(table["size"]).astype(np.int64)
        ends = np.asarray(table["offset"]).astype(np.int64) + sizes
        there = np.asarray(table["path"].is_valid())
        raw = table["raw"]
        lengths = np.asarray(pc.fill_null(pc.binary_length(raw), 0)).astype(np.int64)
        inlined = np.asarray(raw.is_valid())
        held = np.where(inlined, lengths, np.where(there, sizes, 0))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return _Held(held, ends, inlined) if len(held) == job.rows else None


def _newest(item: Audited) -> int:
    """Return the newest modification that the build saw in a partition, in microseconds."""
    if item.receipt is None or item.receipt.last_modified is None:
        return int(np.iinfo(np.int64).max)
    return item.receipt.last_modified


def _findings(region: RegionChanges) -> Iterator[Finding]:
    where = region.array if region.region is None else f"{region.array}, region {region.region}"
    what = "chunks" if region.spec.inner_chunks is None else "shards"
    if len(region.overrun):
        keys = region.keys(region.overrun[:3])
        yield finding(
            "wrong-offset",
            f"{where}: references reach past the end of {len(region.overrun):,} shards that have "
            f"not changed since the build: {', '.join(keys)}",
            "delete the receipts of these partitions and run the same build again",
            array=region.array,
            region=region.region,
            key=keys[0],
            count=len(region.overrun),
        )
    for kind, numbers, said in (
        ("new", region.new, "are in the source and not in the references"),
        ("gone", region.gone, "are referenced and no longer in the source"),
        ("changed", region.changed, "changed since the build"),
    ):
        if not len(numbers):
            continue
        keys = region.keys(numbers[:3])
        more = f" and {len(numbers) - 3:,} more" if len(numbers) > 3 else ""
        detail = ""
        if kind == "changed":
            detail = (
                f" ({len(region.resized):,} have another size, {len(region.rewritten):,} were "
                "written again with the same)"
                if region.spec.inner_chunks is None
                else f" ({len(region.resized):,} end before what references ask for)"
            )
        yield finding(
            f"{kind}-chunks",
            f"{where}: {len(numbers):,} {what} {said}{detail}: {', '.join(keys)}{more}",
            _REMEDY[kind],
            array=region.array,
            region=region.region,
            key=keys[0],
            count=len(numbers),
        )
