"""References against the source as it is now: listed again by the same cover as a build's.

Chunks that are new, gone, or changed are named by region. Changed means another size, or modified
after everything that the build saw of that partition, so that a rewrite of equal size is found too;
or of another time or entity tag, where what each object had is kept (``--identity``).

Of expanded sharded arrays the objects are shards, whose sizes references do not hold: a shard
counts as resized when it ends before a reference into it does. Where it was not modified since,
that is damage of the references. What no listing shows is read again, as
`parchunk.auditing.source_contents` says.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from parchunk.auditing.change_findings import change_findings
from parchunk.auditing.changes import Comparison
from parchunk.auditing.differences import RegionChanges, differences_of, newest
from parchunk.auditing.findings import Finding, finding
from parchunk.auditing.found_arrays import array_findings
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.source_contents import ALL_OF_LITTLE, ContentReader, Sample
from parchunk.auditing.watching import WatchedListing
from parchunk.cover.forecast import least_of
from parchunk.cover.jobs import Member
from parchunk.cover.memory import TAKERS, held_within
from parchunk.cover.store_work import store_works
from parchunk.cover.walks import width_of
from parchunk.errors import InputError
from parchunk.keys.placement import Target
from parchunk.listing.choosing import choose
from parchunk.listing.job import JobListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.tally import Part
from parchunk.listing.walker import Listing, batch_rows
from parchunk.metadata import Hierarchy, skip_refused
from parchunk.metadata.meaning import differences, same_meaning
from parchunk.out.output import Output
from parchunk.planning.from_stores import changed_coordinates, rejoined, stores_that_got
from parchunk.planning.joining.misfits import MisfitError, some_of, some_stores
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.planning.source_again import open_source, read_again
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
    listing: str | None = None,
    sample: Sample = ALL_OF_LITTLE,
    rate: float | None = None,
) -> Comparison:
    """List the source again, and return how it differs from the references.

    Partitions that are not built are not listed: everything in them would be new. ``sample`` says
    how much is read again beyond what a listing shows; ``rate`` how many pages may be asked for a
    second.

    Raises
    ------
    ListingError, SourceError
        When the source cannot be listed.
    """
    source = replace(source or open_source(plan, store_options), identity=plan.identity)
    if listing is not None:
        source = replace(source, listing=listing)
    now, changes = _as_it_is(plan, source, consolidated)
    findings = [*array_findings(plan, now), *changes, *_metadata_findings(plan, now, source)]
    counted, stop = Requests(), threading.Event()
    patience = Patience(lists_per_second=math.inf if rate is None else rate)
    by_partition = {item.partition.key: item for item in done}
    most_held = held_within(memory, plan.record_size, concurrency, identity=plan.identity)
    width = width_of(source.manner, concurrency)
    works = store_works(plan, source, [item.partition for item in done])
    jobs = ((work, work.in_out(job)) for work in works for job in work.jobs(most_held, width))
    least = 0
    listing_by: dict[str, None] = {}
    regions: list[RegionChanges] = []
    notes: list[str] = []
    with (
        ThreadPoolExecutor(concurrency, thread_name_prefix="listing") as pool,
        ThreadPoolExecutor(TAKERS, thread_name_prefix="taker") as takers,
        ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as fetches,
    ):
        contents = ContentReader(plan, done, source, fetches, concurrency, counted, stop, sample)
        make = partial(
            _Compared,
            plan=plan,
            by_partition=by_partition,
            pool=pool,
            takers=takers,
            counted=counted,
            stop=stop,
            patience=patience,
            batch=batch_rows(concurrency),
        )
        try:
            for work, job in jobs:
                least += least_of([job])
                listing_by[str(choose(work.source))] = None
                reader = contents.of(work.source)
                compared = [
                    make(member=member, target=target, source=work.source, contents=reader)
                    for member, target in zip(job.members, work.targets(job), strict=True)
                ]
                listed = JobListing(job, [each.listed for each in compared])
                for at, position, part in listed.parts():
                    compared[at].take(output, position, part)
                notes += listed.notes
                for each in compared:
                    regions += each.made()
        except BaseException:
            stop.set()
            raise
    findings += [change for region in regions for change in change_findings(region)]
    remote = source.manner.remote
    return Comparison(
        tuple(regions),
        tuple(findings),
        counted.lists if remote else 0,
        least if remote else 0,
        tuple(notes),
        contents.indexes,
        contents.inlined,
        tuple(listing_by),
    )


def _metadata_findings(plan: Plan, now: Hierarchy, source: Source) -> list[Finding]:
    """Return what says that the source's metadata is other than what was built from."""
    if same_meaning(plan.hierarchy, now):
        return []
    changed = "; ".join(differences(plan.hierarchy, now)[:3])
    remedy = "parchunk update OUT"
    if plan.stores is not None:
        remedy += " if it grew; else build with --overwrite, or into another OUT"
    return [
        finding(
            "source-metadata",
            f"the metadata of {source.url} is no longer what was built from: {changed}",
            remedy,
        )
    ]


def _as_it_is(
    plan: Plan, source: Source, consolidated: str | None
) -> tuple[Hierarchy, list[Finding]]:
    """Return the source's hierarchy now, and what is other in some of many stores."""
    if plan.stores is None:
        return read_again(plan, source, consolidated=consolidated), []
    try:
        joined = rejoined(plan, source, consolidated)
    except InputError as error:
        # One is gone, or they fit no more: their chunks are listed all the same.
        return plan.hierarchy, [_misfit(source, error)]
    names = changed_coordinates(plan, joined)
    hierarchy = skip_refused(joined.hierarchy) if plan.hierarchy.skipped else joined.hierarchy
    return hierarchy, [
        *(
            finding(
                "source-metadata",
                f"{name}: its values are kept inline, and the stores have others now",
                "parchunk update OUT",
                array=name,
            )
            for name in names
        ),
        *(
            finding(
                "new-array",
                f"{name} came to stores that lacked it: {some_stores(urls)}",
                "parchunk update OUT",
                array=name,
                count=len(urls),
            )
            for name, urls in stores_that_got(plan, joined).items()
        ),
    ]


def _misfit(source: Source, error: InputError) -> Finding:
    """Return that stores cannot be joined any more, and why."""
    why = some_of(error.misfits) if isinstance(error, MisfitError) else str(error)
    return finding(
        "source-metadata",
        f"the stores of {source.url} are no longer one dataset, as they were when it was built: "
        f"{why}",
        "restore what they were, before any update; else leave out what does not fit, and build "
        "with --overwrite, or into another OUT",
    )


class _Compared:
    """One array's partitions as they are compared."""

    def __init__(
        self,
        plan: Plan,
        member: Member,
        target: Target,
        by_partition: Mapping[PartitionKey, Audited],
        source: Source,
        pool: Executor,
        takers: Executor,
        counted: Requests,
        stop: threading.Event,
        patience: Patience,
        batch: int,
        contents: ContentReader,
    ) -> None:
        """Prepare; nothing is listed yet."""
        spec = member.spec
        items = [by_partition[p.key] for p in member.partitions]
        listing = Listing(
            source=source,
            array=spec.name,
            requests=counted,
            patience=patience,
            stop=stop,
            batch=batch,
        )
        frozen = source.manner.settled
        self.listed = WatchedListing(spec, listing, pool, takers, trust=frozen)
        self.listed.since = {
            unit.rows: newest(items[unit.partition])
            for walked in member.passes
            for unit in walked.units
        }
        self._differences = differences_of(
            items, member, target, plan.record_size, contents, plan.identity
        )

    def take(self, output: Output, partition: int, part: Part) -> None:
        """Compare a part of one of the partitions with its record files."""
        self._differences[partition].take(output, part, self.listed.later(part.rows))

    def made(self) -> list[RegionChanges]:
        """Return the differences of those partitions that have any."""
        return [made for found in self._differences if (made := found.made()) is not None]
