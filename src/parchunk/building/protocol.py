"""The protocol for builds on many machines: make tasks, run each wherever, publish.

Whatever runs functions can run it: Dask, the array jobs of a scheduler, Lithops, Modal, Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import cast

from parchunk.arguments.lenient import called, lenient, refuse_options
from parchunk.building.effort import Effort
from parchunk.building.preflight import begin_output, refuse_foreign, refuse_overlap
from parchunk.building.publishing import notes_of, publish_root
from parchunk.building.results import BuildResult, Progress, TaskResult
from parchunk.building.staging import go_on_without
from parchunk.building.tasks import Task, do_task, tasks_of
from parchunk.cover.memory import DEFAULT_CONCURRENCY, DEFAULT_MEMORY, peak_memory
from parchunk.errors import InputError
from parchunk.listing.choosing import choose
from parchunk.listing.patience import Patience
from parchunk.out.claims import clear_claims, forget_claims
from parchunk.out.kept_rows import keep_rows
from parchunk.out.lease import held
from parchunk.out.lost_files import lost_files, lost_text
from parchunk.out.many_receipts import ManyReceipts
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts, receipted
from parchunk.out.receipts import listings
from parchunk.out.switching import finish_switch
from parchunk.out.unfinished import finish_update
from parchunk.planning.from_source import plan as make_plan
from parchunk.planning.inventory import require_few, require_inventory
from parchunk.planning.many_sources import StoreLike
from parchunk.planning.plan import Partition, PartitionKey, Plan
from parchunk.planning.source_again import open_source
from parchunk.stores.source import Source

#: Seconds to wait for others that plan or publish: longer than a lease of one that was killed.
WAIT = 90.0
#: What to do where others deleted record files: tasks take what has a receipt for done.
_ANEW = "run the same build as one, without parts: it lists and writes them again"


@lenient
def tasks(
    plan: Plan | StoreLike,
    out: str | PathLike[str] | Output,
    *,
    parts: int | None = None,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    trust_listing: bool = False,
    overwrite: bool = False,
    patience: Patience | None = None,
    listing: str | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> list[Task]:
    """Write the plan to ``out``, and return tasks that together do what has no receipt there yet.

    They cost about the same each, and may be run in any order, anywhere, at the same time, and
    more than once. Each is some hundred bytes of integers, names and places, without secrets:
    where it runs, credentials come from the environment, or are given to `run_task`.

    Parameters
    ----------
    parts
        How many tasks, at most. Default: as many as make each a few minutes' work.
    plan, out, memory, concurrency, trust_listing, overwrite, patience, listing
        As for `parchunk.build`; ``memory`` and ``concurrency`` are for each task.
    store_options, output_options
        As for `parchunk.build`.

    Raises
    ------
    InputError, OutputError, SourceError
        As for `parchunk.build`.
    """
    if parts is not None and parts < 1:
        raise InputError(f"parts={parts}: give 1 or more")
    effort = Effort(
        cast(int, memory), concurrency, trust_listing=trust_listing, patience=patience, shared=True
    )
    output = open_output(out, output_options)
    if not isinstance(plan, Plan):
        plan, store_options = make_plan(plan, store_options=store_options), None
    elif store_options and plan.source is not None:
        refuse_options("store_options", "plan", plan.source)
    plan = begin_shared(plan, output, effort, store_options, listing, overwrite)
    assert plan.source is not None
    done = set(read_receipts(output, plan))
    left = (one.objects.total for one in plan.partitions() if one.key not in done)
    require_few(plan.source, sum(left))
    found = tasks_of(plan, plan.source, output, effort, parts, done)
    if found:
        keep_rows(plan.source, output)
    return found


def begin_shared(
    plan: Plan,
    output: Output,
    effort: Effort,
    store_options: Mapping[str, str] | None = None,
    listing: str | None = None,
    overwrite: bool = False,
) -> Plan:
    """Write the plan to OUT unless it is there; return the one that OUT has, with its source.

    Raises
    ------
    InputError, OutputError, SourceError
        As for `parchunk.build`.
    """
    source = open_source(plan, store_options, listing)
    if source.manner.in_memory:
        raise InputError("a store in memory cannot be reached by tasks: use parchunk.build")
    refuse_overlap(plan, source, output)
    refuse_foreign(output)
    effort.most_held(source, plan, plan.partitions())  # refused before anything is written
    choose(source)
    require_inventory(plan.inventory, source)
    with held(output, purpose="plan", wait=WAIT) as lease:
        if overwrite:
            clear_claims(output)
        finish_switch(output, lease.check)
        begun = begin_output(plan, output, overwrite, shared=True)
        go_on_without(begun, output)
    return replace(begun, source=require_inventory(begun.inventory, source))


@lenient
def run_task(
    task: Task,
    *,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | bool | None = None,
) -> TaskResult:
    """Do what has no receipt yet of a task that `tasks` returned.

    It may be run twice, also at the same time and on two machines: what has a receipt is not done
    again, and where two did the same at once the second compares digests. Only what the task may
    use (``memory``) is held.

    Parameters
    ----------
    store_options, output_options
        Options of obstore's stores for the source and for ``out``, such as credentials that are
        not in the environment.
    progress
        True shows a bar. Or what is called with how far the task is.

    Raises
    ------
    InputError
        When ``out`` holds another plan by now.
    HeldError
        When somebody builds or updates all of ``out`` at the moment.
    OutputError, SourceError
        As for `parchunk.build`. Finished partitions keep their receipts.
    """
    return do_task(
        task, progress=called(progress), store_options=store_options, output_options=output_options
    )


@lenient
def publish(
    out: str | PathLike[str] | Output,
    *,
    source: Source | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> BuildResult:
    """Write the root, which makes the references in ``out`` a store, once all tasks are done.

    Several may do that at once. ``source`` is the opened source, where the URL in the plan and
    ``store_options`` do not say enough; ``output_options`` reach ``out``, as for `parchunk.build`.

    Raises
    ------
    InputError
        While receipts are missing, or record files that they speak of: it says which.
    SourceChangedError
        When the source's metadata has changed since it was planned: nothing is published.
    HeldError, OutputError, SourceError
        As for `parchunk.build`.
    """
    began = time.monotonic()
    output = open_output(out, output_options)
    load_plan(output)  # refused before a lease is taken in what is no OUT
    with held(output, purpose="publish", wait=WAIT) as lease:
        finish_switch(output, lease.check)
        plan = load_plan(output)
        found = read_receipts(output, plan)
        receipts, left = ManyReceipts(found.values()), undone(plan, found)
        del found  # of very many partitions it takes ten times as much as what is kept of it
        if left:
            raise InputError(
                f"{output.url} is not published: {_listed(left)} have no receipt yet; run their "
                "tasks again, or the same build as one"
            )
        if lost := lost_files(output, receipts):
            raise InputError(f"{output.url} is not published: {lost_text(lost)}; {_ANEW}")
        source = source or open_source(plan, store_options)
        forget_claims(output)  # before: who watches until it is published sees none
        publish_root(plan, source, output, receipts, lease.confirm)
        finish_update(plan, output)
        return BuildResult(
            **receipts.counts.values(),
            url=output.url,
            plan=plan,
            receipts=receipts,
            built=0,
            requests=0,
            requests_least=0,
            gets=0,
            retries=0,
            seconds=time.monotonic() - began,
            peak_memory=peak_memory(),
            notes=notes_of(plan, output, receipts, lease.notes),
            listing="; ".join(listings(receipts)),
        )


def undone(plan: Plan, done: Container[PartitionKey]) -> list[Partition]:
    """Return the partitions of a plan that are not ``done``, in their order."""
    return [partition for partition in plan.partitions() if partition.key not in done]


def left_to_do(plan: Plan, output: Output) -> list[Partition]:
    """Return the partitions that have no receipt in OUT; those there are not read."""
    return undone(plan, receipted(output, plan))


def _listed(partitions: Sequence[Partition]) -> str:
    """Return partitions in words, the first ten."""
    named = "; ".join(str(partition) for partition in partitions[:10])
    more = len(partitions) - 10
    return f"{len(partitions):,} partitions ({named}{f'; and {more:,} more' if more > 0 else ''})"
