"""Jobs of many arrays: small neighbours that one walk lists. No I/O.

An array of a hundred chunks is a tenth of a page, and a store may hold thousands of them side by
side. What `parchunk.cover.one_array` does for the regions of one array, this does for small arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from parchunk.cover.contents import Content, contents_of
from parchunk.cover.jobs import Job, Member, Unit
from parchunk.cover.limits import Terms
from parchunk.cover.walks import LEAST_PAGES, MOST_PAGES, Width
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Partition, Plan

#: What an array that is listed with others takes beside its sizes, in sizes of chunks.
MEMBER_CHUNKS = 1_000


def is_small(spec: ArraySpec, terms: Terms) -> bool:
    """Whether an array is listed together with its neighbours, where it has any."""
    return spec.inner_chunks is None and 0 < spec.total <= min(terms.limits.small, terms.most_held)


def job_of(arrays: Sequence[tuple[ArraySpec, Sequence[Partition]]], terms: Terms) -> Job:
    """Return the job of small arrays: each has one pass, with a unit for each partition."""
    # Their walk is cut nowhere: it goes from range to range.
    uncut = Width(1, 1, terms.width.page)
    members = []
    for spec, partitions in arrays:
        units = tuple(Unit(position, part.rows) for position, part in enumerate(partitions))
        held = sum(partition.rows.total for partition in partitions)
        passes = terms.passes(spec, [units], uncut)
        members.append(Member(spec, tuple(partitions), passes, held))
    held = sum(member.held + MEMBER_CHUNKS for member in members)
    return Job(tuple(members), held, terms.width)


def runs_of(
    plan: Plan, pending: dict[str, list[Partition]], terms: Terms, beside: Sequence[Content] = ()
) -> Iterator[list[str]]:
    """Yield names of small arrays that are listed together, two or more.

    A run ends where the known keys up to the next one are more than a page, which would cost a
    request anyway, and when it is long: several are listed side by side.
    """
    width = terms.width
    total = sum(partition.rows.total for parts in pending.values() for partition in parts)
    pages = -(-total // (width.pieces * terms.workers * width.page))
    most = min(max(pages, LEAST_PAGES), MOST_PAGES) * width.page
    run: list[str] = []
    keys = held = foreign = 0
    for item in contents_of(plan, beside):
        if item.array not in pending:
            foreign += item.keys
            continue
        size = MEMBER_CHUNKS + sum(partition.rows.total for partition in pending[item.array])
        if run and (
            foreign > width.page
            or keys + foreign + item.keys > most
            or held + size > terms.most_held
            or len(run) == terms.limits.members
        ):
            if len(run) > 1:
                yield run
            run, keys, held = [], 0, 0
        run.append(item.array)
        keys += item.keys + (foreign if len(run) > 1 else 0)
        held += size
        foreign = 0
    if len(run) > 1:
        yield run
