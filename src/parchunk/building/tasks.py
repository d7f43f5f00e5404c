"""Tasks: stretches of a plan that any machine can do which reaches the source and OUT.

A task is a few integers and the places of both, without secrets. Who does it opens them with the
credentials that he has, reads the plan in OUT, and does what has no receipt there yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from parchunk.building.doing import do_here
from parchunk.building.effort import Effort
from parchunk.building.results import Progress, TaskResult
from parchunk.building.running import Run
from parchunk.cover.dividing import Stretch, divide
from parchunk.cover.memory import peak_memory
from parchunk.listing.patience import Patience
from parchunk.out.claims import claimed, forget_claims, read_claims
from parchunk.out.kept_rows import RowsGoneError, kept_rows
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.prepared import refuse_between
from parchunk.out.receipt_files import read_receipts, settled_receipts
from parchunk.out.shared_plan import shared_plan
from parchunk.planning.inventory import Inventory, require_few, require_inventory
from parchunk.planning.inventory_again import at_hand, inventory_of, listed_again
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.planning.source_again import open_source
from parchunk.planning.stretches import partitions_in, stretch_name
from parchunk.stores.opening import Location
from parchunk.stores.source import Source


@dataclass(frozen=True)
class Task:
    """Partitions ``[start, stop)`` of the plan in ``out`` that has this ``fingerprint``.

    It is the ``number``-th of ``of`` that share the plan, counted from 1. Its ``name`` says which
    partitions those are. ``memory`` and ``concurrency`` are what it may use.
    """

    name: str
    number: int
    of: int
    out: Location
    source: Location
    fingerprint: str
    start: int
    stop: int
    memory: int
    concurrency: int
    trust_listing: bool = False
    patience: Patience | None = None
    listing: str | None = None
    #: What stands for the listing: the inventory that its plan is of, or questions for each chunk.
    inventory: Inventory | None = None
    #: The lease that it works under, where it is one of a build that holds it.
    under: str = ""

    def __str__(self) -> str:
        """Return what a dashboard calls it."""
        return self.name

    @property
    def effort(self) -> Effort:
        """What it may use, and how."""
        return Effort(
            self.memory,
            self.concurrency,
            trust_listing=self.trust_listing,
            patience=self.patience,
            shared=True,
        )


def tasks_of(
    plan: Plan,
    source: Source,
    output: Output,
    effort: Effort,
    parts: int | None,
    done: Collection[PartitionKey] = (),
    under: str = "",
) -> list[Task]:
    """Return the tasks that together do all partitions of a plan that are not ``done``.

    There are ``parts`` at most, or as many as make each worth its beginning, but one a worker.
    """
    stretches = divide(plan, source.manner, parts, done, least=effort.workers)
    return [
        task_of(plan, source, output, effort, stretch, number, len(stretches), under)
        for number, stretch in enumerate(stretches, 1)
    ]


def task_of(
    plan: Plan,
    source: Source,
    output: Output,
    effort: Effort,
    stretch: Stretch,
    number: int,
    of: int,
    under: str = "",
) -> Task:
    """Return the task of one stretch of a plan."""
    return Task(
        name=stretch_name(plan, stretch.start, stretch.stop),
        number=number,
        of=of,
        out=output.location,
        source=source.location,
        fingerprint=plan.fingerprint,
        start=stretch.start,
        stop=stretch.stop,
        memory=effort.memory,
        concurrency=effort.concurrency,
        trust_listing=effort.trust_listing,
        patience=effort.patience,
        listing=source.listing,
        inventory=inventory_of(source, effort.memory),
        under=under,
    )


def do_task(
    task: Task,
    source: Source | None = None,
    output: Output | None = None,
    progress: Callable[[Progress], None] | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
) -> TaskResult:
    """Do what has no receipt yet of a task; ``source`` and ``output`` may be opened already.

    Raises
    ------
    ParchunkError
        Naming the array and what failed. Finished partitions keep their receipts.
    """
    began = time.monotonic()
    if output is None:
        options = {**dict(task.out.options), **(output_options or {})}
        output = open_output(task.out.url, options)
    _plan_of(task, output)  # refused before a claim is written in what is no OUT
    if task.start == task.stop:
        return _nothing(task)
    with claimed(output, task.name, task.stop - task.start, task.under) as claim:
        # In this order, and within: no update begins while there is a claim.
        refuse_between(output)
        plan = _plan_of(task, output)
        partitions = list(partitions_in(plan, task.start, task.stop))
        keys = {partition.key for partition in partitions}
        done = settled_receipts(output, plan, only=keys)
        pending = [partition for partition in partitions if partition.key not in done]

        def note(now: Progress) -> None:
            claim.note(now.partitions, now.listed, now.requests, now.retries)
            if progress:
                progress(now)

        effort = replace(task.effort, progress=note)
        run = Run(partitions, done.values(), note, began, claim.check)
        least = 0
        if pending:  # else rows of an inventory may be gone: others have published it all
            opened = _source_of(plan, task, output, source, store_options)
            require_few(opened, sum(partition.objects.total for partition in pending))
            try:
                least = do_here(plan, opened, output, pending, run, effort)
            except RowsGoneError:
                if keys - read_receipts(output, plan, only=keys).keys():
                    raise
        claim.check()
        if done:  # by a run before, which may have ended without a word
            forget_claims(output, [one for one in read_claims(output) if one.task == task.name])
        receipts = {receipt.key: receipt for receipt in run.receipts}
        # Those that others did meanwhile are theirs.
        others = keys - receipts.keys()
        if others:
            receipts |= read_receipts(output, plan, only=others)
    return TaskResult(
        task=task.name,
        receipts=tuple(receipts.values()),
        built=len(run.receipts) - len(done),
        requests=run.requests.lists,
        requests_least=least,
        keys=run.requests.keys,
        gets=run.requests.gets,
        heads=run.requests.heads,
        retries=run.requests.retries,
        busy=run.requests.busy,
        seconds=time.monotonic() - began,
        peak_memory=peak_memory(),
        notes=tuple(run.notes),
    )


def _nothing(task: Task) -> TaskResult:
    """Return what a task of no partition comes to."""
    return TaskResult(
        (),
        0,
        0,
        0,
        task=task.name,
        built=0,
        requests_least=0,
        seconds=0.0,
        peak_memory=peak_memory(),
    )


def _source_of(
    plan: Plan,
    task: Task,
    output: Output,
    given: Source | None,
    store_options: Mapping[str, str] | None,
) -> Source:
    """Return the source of a task, opened where it runs unless it is ``given``.

    The rows of its inventory are those that are at hand, that OUT keeps, or that are read again.
    """
    options = {**dict(task.source.options), **(store_options or {})}
    # Servers that the task names are named by who made it, who may say so: see `Task.source`.
    opened = given or open_source(replace(plan, source=None), options, task.listing)
    opened = replace(opened, identity=plan.identity)
    if opened.objects is not None and opened.objects.is_here:
        return opened
    kept = kept_rows(plan, opened, output)
    if kept is not None:
        return opened.listed_by(kept)
    if given is not None:
        return at_hand(plan, opened, task.memory)
    if task.inventory is not None:
        digest = "" if plan.inventory is None else plan.inventory.digest
        opened = listed_again(replace(plan, source=None), opened, task.inventory, digest, options)
    return require_inventory(plan.inventory, opened)


def _plan_of(task: Task, output: Output) -> Plan:
    return shared_plan(output, task.fingerprint, task.name, "make tasks anew")
