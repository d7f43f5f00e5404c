"""Scheduling: pending partitions become jobs that fit the memory bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parchunk.cover.contents import Content
from parchunk.cover.jobs import Job, order_of
from parchunk.cover.limits import USUAL, Limits, Terms
from parchunk.cover.many_arrays import is_small, job_of, runs_of
from parchunk.cover.memory import chunk_bytes
from parchunk.cover.one_array import jobs_of
from parchunk.cover.walks import Width
from parchunk.planning.plan import Partition, Plan


def make_jobs(
    plan: Plan,
    pending: Iterable[Partition],
    most_held: int,
    width: Width,
    workers: int = 1,
    limits: Limits = USUAL,
    beside: Sequence[Content] = (),
) -> list[Job]:
    """Return the jobs for the pending partitions, by region, then by array.

    All pending partitions of a small array are in one job with its neighbours, which holds at most
    ``most_held`` chunks. Arrays that have no small neighbours, and all where ``width`` lets no walk
    list several, have jobs of their own, as `jobs_of` makes them. ``beside`` is what the source
    holds and the plan does not know of.
    """
    cost = chunk_bytes(plan.identity)
    terms = Terms(most_held, width, plan.record_size, workers, limits, cost)
    by_array: dict[str, list[Partition]] = {}
    for partition in pending:
        by_array.setdefault(partition.array, []).append(partition)
    for partitions in by_array.values():
        partitions.sort(key=lambda partition: partition.region or 0)
    specs = {array: plan.by_name[array].spec for array in by_array}
    jobs: list[Job] = []
    if width.together:
        small = {name: parts for name, parts in by_array.items() if is_small(specs[name], terms)}
        for names in runs_of(plan, small, terms, beside):
            jobs.append(job_of([(specs[name], by_array.pop(name)) for name in names], terms))
    for array, partitions in by_array.items():
        jobs += jobs_of(specs[array], partitions, terms)
    jobs.sort(key=lambda job: (order_of(job.members[0].partitions), job.array))
    return jobs
