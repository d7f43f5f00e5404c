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

from parchunk.auditing.change_findings import change_findings
from parchunk.auditing.changes import Comparison
from parchunk.auditing.differences import Differences, RegionChanges, ShardDifferences, newest
from parchunk.auditing.findings import finding
from parchunk.auditing.found_arrays import array_findings
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.source_contents import ContentReader
from parchunk.auditing.watching import WatchedListing
from parchunk.cover.forecast import forecast_work
from parchunk.cover.jobs import Bundle, Group
from parchunk.cover.memory import TAKERS, vector_cells
from parchunk.cover.scheduling import make_work
from parchunk.cover.walks import Width, width_of
from parchunk.keys.row_sets import RowSet
from parchunk.listing.many_arrays import BundleListing, Member
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.tally import Part
from parchunk.listing.walker import Listing
from parchunk.metadata.meaning import differences, hierarchy_digest
from parchunk.out.output import Output
from parchunk.planning.from_source import open_source, read_again
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.stores.source import Source


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
    if hierarchy_digest(now) != hierarchy_digest(plan.hierarchy):
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
    by_partition = {item.partition.key: item for item in done}
    cells = vector_cells(memory, plan.record_size, concurrency)
    width = width_of(source.manner, concurrency)
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
    remote = source.manner.remote
    least = forecast_work(plan, work, width).least
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
        by_partition: Mapping[PartitionKey, Audited],
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
        items = [by_partition[p.key] for p in group.partitions]
        self.group = group
        listing = Listing(
            source=source,
            array=spec.name,
            requests=counted,
            patience=Patience(),
            stop=stop,
        )
        self.listed = WatchedListing(
            spec, listing, pool, takers, width, False, ordered=source.manner.ordered
        )
        self.listed.since = {
            unit.rows: newest(items[unit.partition]) for units in group.passes for unit in units
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
