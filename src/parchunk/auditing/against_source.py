"""References against the source as it is now: listed again by the same cover as a build's.

Chunks that are new, gone, or changed are named by region. Changed means another size, or modified
after everything that the build saw of that partition, so that a rewrite of equal size is found too.

Of expanded sharded arrays the objects are shards, whose sizes references do not hold: a shard
counts as resized when it ends before a reference into it does. Where it was not modified since,
that is damage of the references. What no listing shows is read again, as
`parchunk.auditing.source_contents` says.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.auditing.change_findings import change_findings
from parchunk.auditing.differences import Differences, RegionChanges, ShardDifferences
from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.found_arrays import array_findings
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.source_contents import ContentReader, Reread
from parchunk.bundle_listing import BundleListing, Member
from parchunk.bundles import Bundle, forecast, make_work
from parchunk.group_listing import GroupListing
from parchunk.groups import TAKERS, Group, Width, vector_cells, width_of
from parchunk.key_kernels import parse_paths
from parchunk.listed_rows import Listed
from parchunk.listing import Listing, Patience, Requests
from parchunk.metadata.meaning import differences
from parchunk.metadata.spec import ArraySpec
from parchunk.output import Output
from parchunk.plan import Plan
from parchunk.planning import open_source, read_again
from parchunk.rows import RowSet
from parchunk.source import Source
from parchunk.stores import is_ordered, is_remote, page_keys
from parchunk.tally import Part, Sightings, Tally

Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """The source against the references; ``regions`` are the partitions with differences."""

    regions: tuple[RegionChanges, ...]
    findings: tuple[Finding, ...]
    requests: int
    requests_least: int
    notes: tuple[str, ...]
    indexes: Reread = field(default_factory=Reread)
    inlined: Reread = field(default_factory=Reread)

    @property
    def read_text(self) -> str:
        """What was read again, in words; empty where there was nothing to be read."""
        said = [
            f"{reread.read:,} of {reread.of:,} {what}"
            for reread, what in (
                (self.indexes, "indexes of shards"),
                (self.inlined, "inlined chunks"),
            )
            if reread.of
        ]
        sampled = any(reread.read < reread.of for reread in (self.indexes, self.inlined))
        return f"read again: {', '.join(said)}{' (a sample)' if sampled else ''}" if said else ""

    def to_json(self, changes: bool = True) -> dict[str, Any]:
        """Return JSON values; with ``changes`` every chunk by its key."""
        document: dict[str, Any] = {
            "new": sum(len(region.new) for region in self.regions),
            "gone": sum(len(region.gone) for region in self.regions),
            "changed": sum(len(region.changed) for region in self.regions),
            "list_requests": self.requests,
            "list_requests_least": self.requests_least,
            "notes": list(self.notes),
            "shard_indexes_read": self.indexes.read,
            "shard_indexes": self.indexes.of,
            "inlined_read": self.inlined.read,
            "inlined": self.inlined.of,
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
                    "contradicted": region.keys(region.contradicted.index),
                    "altered": region.keys(region.contradicted.bytes),
                    "unreadable": region.keys(region.contradicted.unreadable),
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
    consolidated: str | None = None,
) -> Comparison:
    """List the source again, and return how it differs from the references.

    Partitions that are not built are not listed: everything in them would be new.

    Raises
    ------
    ListingError, SourceError
        When the source cannot be listed.
    """
    source = source or open_source(plan, store_options)
    now = read_again(plan, source, consolidated=consolidated)
    findings = array_findings(plan, now)
    if now.digest() != plan.hierarchy.digest():
        changed = "; ".join(differences(plan.hierarchy, now)[:3])
        findings.append(
            finding(
                "source-metadata",
                f"the metadata of {source.url} is no longer what was built from: {changed}",
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
        ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as fetches,
    ):
        contents = ContentReader(plan, done, source, fetches, concurrency, counted, stop)
        try:
            for item in work:
                compared = [
                    _Compared(
                        plan,
                        group,
                        by_partition,
                        source,
                        pool,
                        takers,
                        width,
                        counted,
                        stop,
                        contents,
                    )
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
        findings += change_findings(region)
    remote = is_remote(source.store)
    least = forecast(plan, work, width).least
    return Comparison(
        tuple(regions),
        tuple(findings),
        counted.lists if remote else 0,
        least if remote else 0,
        tuple(notes),
        contents.indexes,
        contents.inlined,
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
        contents: ContentReader,
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
        self._differences = [
            Differences(item, spec, plan.record_size, contents)
            if spec.inner_chunks is None
            else ShardDifferences(item, spec, plan.record_size, contents, group.inner_cells)
            for item in items
        ]

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


def _newest(item: Audited) -> int:
    """Return the newest modification that the build saw in a partition, in microseconds."""
    if item.receipt is None or item.receipt.last_modified is None:
        return int(np.iinfo(np.int64).max)
    return item.receipt.last_modified
