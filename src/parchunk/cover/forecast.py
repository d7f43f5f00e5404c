"""Forecasts: LIST requests of jobs, beside the least possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from parchunk.cover import intervals
from parchunk.cover.contents import Content, contents_of, directory_of
from parchunk.cover.digit_tree import Ints
from parchunk.cover.jobs import Expansion, Job, Member
from parchunk.cover.key_ranges import common_directory
from parchunk.cover.walks import chunk_directory
from parchunk.metadata.names import documents_of
from parchunk.metadata.shard_grid import ends_within_shards, inner_slices
from parchunk.metadata.shard_stretches import IndexSteps, index_requests
from parchunk.metadata.shards import ENTRY_BYTES, shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Plan


@dataclass(frozen=True)
class Forecast:
    """LIST requests for a plan, were every chunk there: ``least`` is ceil(keys / page).

    ``shards`` are the shard indexes that expanded arrays have, and ``gets`` the requests for them:
    more than ``gets_least``, which would do if each index were read at once, only where slices of
    a region end within more shards than can be read ahead.
    """

    jobs: int
    walks: int
    requests: int
    least: int
    shards: int = 0
    gets: int = 0
    gets_least: int = 0

    @classmethod
    def total(cls, forecasts: Iterable[Forecast]) -> Forecast:
        """Return what several cost together."""
        together = tuple(forecasts)
        return cls(**{f.name: sum(getattr(one, f.name) for one in together) for f in fields(cls)})


def least_of(jobs: Sequence[Job]) -> int:
    """Return the fewest LIST requests that could list all objects of ``jobs``."""
    return sum(
        intervals.least_requests(sum(p.objects.total for p in job.partitions), job.width.page)
        for job in jobs
    )


def forecast_jobs(plan: Plan, jobs: Sequence[Job], beside: Sequence[Content] = ()) -> Forecast:
    """Return what listing ``jobs`` costs on a store in which every chunk exists.

    And every document beside them, and what is ``beside`` the plan: see `contents_of`.
    """
    walks = requests = shards = gets = gets_least = 0
    contents = contents_of(plan, beside) if any(job.together for job in jobs) else []
    places = {content.array: at for at, content in enumerate(contents) if content.array}
    for job in jobs:
        page = job.width.page
        if job.together:
            walks += 1
            requests += _requests(job, contents, places, page)
            continue
        (member,) = job.members
        for walked in member.passes:
            walks += len(walked.spans)
            requests += intervals.requests(_with_documents(member.spec, walked.spans), page)
        if member.expansion is not None:
            of_member = sum(partition.objects.total for partition in member.partitions)
            shards += of_member
            each = index_requests(shard_layout(member.spec), member.expansion.index_bytes)
            gets_least += of_member * each
            gets += _gets(member, member.expansion, plan.record_size)
    return Forecast(len(jobs), walks, requests, least_of(jobs), shards, gets, gets_least)


def _gets(member: Member, expansion: Expansion, record_size: int) -> int:
    """Forecast the requests for shard indexes: each slice reads what it wants, and ahead."""
    spec, layout = member.spec, shard_layout(member.spec)
    at_once, ahead = expansion.index_bytes // ENTRY_BYTES, expansion.ahead_bytes // ENTRY_BYTES
    gets = 0
    for partition in member.partitions:
        rows, most = partition.rows, expansion.rows
        if not ends_within_shards(spec, rows, most, record_size):
            gets += index_requests(layout, expansion.index_bytes) * partition.objects.total
            continue
        steps = IndexSteps(spec, rows, layout.count, at_once, ahead)
        for some in inner_slices(spec, rows, most, record_size):
            gets += int(steps.next(some).requests(at_once).sum())
    return gets


def _with_documents(spec: ArraySpec, spans: Ints) -> Ints:
    """Return spans as long as walks over them are: Zarr's documents are listed, too.

    Those of v2 (``.zarray``) sort before an array's chunks, ``zarr.json`` after them, and neither
    lies in the directory ``c``.
    """
    if not len(spans) or chunk_directory(spec.keys):
        return spans
    longer, documents = spans.copy(), len(documents_of(spec))
    if spec.zarr_format == 2 and longer[0, 0] == 0:
        longer[0, 0] -= documents
    elif spec.zarr_format == 3 and longer[-1, 1] == spec.total:
        longer[-1, 1] += documents
    return longer


def _requests(job: Job, contents: list[Content], places: dict[str, int], page: int) -> int:
    """Forecast the requests of a walk over several arrays.

    They are those that `parchunk.listing.many_arrays.follow_ranges` makes.

    ``left`` keys of the page at hand have yet to be looked at.
    """
    directories = [directory_of(member.spec) for member in job.members]
    wanted = {member.spec.name: at for at, member in enumerate(job.members)}
    first, last = places[job.members[0].spec.name], places[job.members[-1].spec.name]
    requests = left = 0
    below: str | None = None
    for at in range(first, last + 1):
        keys, array = contents[at].keys, contents[at].array
        if array not in wanted:
            if keys >= left:  # a page that ends here is the listing's last
                left, below = 0, None
            else:
                left -= keys
            continue
        if below is None:
            below = common_directory(directories[wanted[array]], directories[-1])
        pages = -(-max(keys - left, 0) // page)
        requests += pages
        left += pages * page - keys
        head = f"{below}/" if below else ""
        if not left and at + 1 < len(contents) and contents[at + 1].first.startswith(head):
            requests, left = requests + 1, page  # what follows shows that this range has ended
    return requests
