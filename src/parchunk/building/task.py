"""Tasks: jobs with all that building them needs, picklable."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from parchunk.building.effort import Share
from parchunk.building.pools import Pools
from parchunk.cover import intervals
from parchunk.cover.jobs import Job
from parchunk.cover.store_work import StoreWork
from parchunk.keys.placement import Target
from parchunk.listing.job import JobListing
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.patience import Requests
from parchunk.listing.walker import Listing
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Chunks of a job that is built by one thread from its listing to its receipt.
_SMALL = 1_000


@dataclass(frozen=True)
class Task:
    """Everything that building a job needs, picklable when the source's store is.

    ``targets`` has where the rows of each of the job's members are written. ``ranges`` has, for
    each of them, each partition's elements of the split dimension, None for a whole array; so has
    ``least`` each one's share of the fewest LIST requests.
    """

    source: Source
    output: Output
    job: Job
    targets: tuple[Target, ...]
    dimension: str | None
    ranges: tuple[tuple[tuple[int, int] | None, ...], ...]
    least: tuple[tuple[int, ...], ...]
    record_size: int
    inline_threshold: int
    fingerprint: str
    share: Share

    @property
    def small(self) -> bool:
        """Whether to hand its work over would take longer than the work."""
        plain = self.job.members[0].expansion is None
        return plain and self.job.held <= _SMALL

    def listing(self, pools: Pools, counted: Requests) -> JobListing:
        """Return how the job is listed."""
        members = []
        for member in self.job.members:
            listing = Listing(
                source=self.source,
                array=member.spec.name,
                requests=counted,
                patience=self.share.patience,
                stop=pools.stop,
            )
            # What is frozen shows the same gaps however often it is looked at.
            trust = self.share.trust_listing or self.source.manner.frozen
            members.append(ArrayListing(member.spec, listing, pools.listings, pools.takers, trust))
        return JobListing(self.job, members)


@dataclass(frozen=True)
class TaskResult:
    """What building a task came to. ``notes`` are lines that a user should read."""

    receipts: tuple[Receipt, ...]
    requests: int
    keys: int
    retries: int
    gets: int = 0
    notes: tuple[str, ...] = ()


def task_for(plan: Plan, work: StoreWork, output: Output, job: Job, share: Share) -> Task:
    """Return what an executor is given to build a job of one store of a plan."""
    job, source = work.in_out(job), work.source
    each = [[partition.objects.total for partition in m.partitions] for m in job.members]
    before = accumulate(map(sum, each[:-1]), initial=0)
    page = source.manner.page
    return Task(
        source=source,
        output=output,
        job=job,
        targets=work.targets(job),
        dimension=None if plan.split is None else str(plan.split),
        ranges=tuple(tuple(map(plan.elements, member.partitions)) for member in job.members),
        least=tuple(
            intervals.shares_of_least(chunks, page, keys)
            for chunks, keys in zip(each, before, strict=True)
        ),
        record_size=plan.record_size,
        inline_threshold=plan.inline_threshold,
        fingerprint=plan.fingerprint,
        share=share,
    )
