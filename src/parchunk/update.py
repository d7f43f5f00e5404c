"""Updating OUT when its source grew: only what is new is listed and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, cast

from parchunk.arguments import lenient
from parchunk.build import DEFAULT_CONCURRENCY, DEFAULT_MEMORY, BuildResult, Effort, carry_out
from parchunk.errors import InputError
from parchunk.group_build import Settings
from parchunk.growth import grown_plan, unchanged
from parchunk.lease import held
from parchunk.output import PLAN, PREVIOUS, Output
from parchunk.ownership import refuse_overlap
from parchunk.plan import Partition, Plan
from parchunk.planning import open_source, read_as_planned
from parchunk.receipts import Receipt, read_receipts, receipt_path, write_receipt
from parchunk.running import Progress
from parchunk.saved_plan import load_plan, parse_plan, save_plan
from parchunk.stores import page_keys

_Key = tuple[str, int | None]


@lenient
def update(
    out: str | PathLike[str] | Output,
    *,
    regions: int | Iterable[int] = (),
    gaps: bool = True,
    memory: int | str = DEFAULT_MEMORY,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    executor: Executor | Any = None,
    trust_listing: bool = False,
    settings: Settings | None = None,
    store_options: Mapping[str, str] | None = None,
    output_options: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> BuildResult:
    """Bring the references in ``out`` up to what their source holds now.

    Listed and written are: regions and arrays that came since, regions whose last chunks were
    partly filled, regions with missing chunks, whole arrays of up to one page of keys, and
    ``regions``. Everything else is taken to be what it was: `parchunk.audit` with
    ``against_source=True`` tells whether it is.

    Readers see the references as they were until all of it is done. An update that was killed is
    finished by the same call.

    Parameters
    ----------
    regions
        Numbers of regions to list again in any case.
    gaps
        Whether to list regions with missing chunks again. In a store that never writes some of its
        chunks, such as those without data, that may be every region.
    memory, concurrency, workers, executor, trust_listing, settings, progress
        As for `parchunk.build`.

    Raises
    ------
    InputError
        When ``out`` holds no build, or the source did more than grow: an array is gone, became
        shorter, or grew along another axis than its leading one.
    OutputError, SourceError, SourceChangedError
        As for `parchunk.build`.
    """
    memory = cast(int, memory)
    effort = Effort(memory, concurrency, workers, executor, trust_listing, settings, progress)
    began = time.monotonic()
    output = out if isinstance(out, Output) else Output.open(str(out), output_options)
    load_plan(output)  # refused before a lease is taken in what is no OUT
    with held(output) as lease:
        old = load_plan(output)
        source = open_source(old, store_options)
        refuse_overlap(old, source, output)
        new = grown_plan(old, read_as_planned(old, source))
        again = set(cast(Iterable[int], regions))
        due = partial(_is_due, page=page_keys(source.store), again=again, gaps=gaps)
        if again and not again <= set(range(len(new.regions))):
            raise InputError(
                f"--regions: there is no region {max(again)}; {output.url} has "
                f"{len(new.regions)}, numbered from 0"
            )
        previous = _previous(output)
        output.prepare()
        if previous is not None and previous.fingerprint != old.fingerprint:
            # An update was killed; its plan is what this one begins with.
            _carry_over(previous, old, output, due)
        if new.fingerprint != old.fingerprint:
            output.put(PREVIOUS, output.get(PLAN) or b"")
            save_plan(new, output)
            _carry_over(old, new, output, due)
        elif previous is None:
            _forget(new, output, due)
        return carry_out(new, source, output, lease, effort, began)


def _previous(output: Output) -> Plan | None:
    """Return the plan that an unfinished update began with."""
    saved = output.get(PREVIOUS)
    return None if saved is None else parse_plan(saved, output)


def _carry_over(
    previous: Plan, new: Plan, output: Output, is_due: Callable[[Partition, Receipt], bool]
) -> None:
    """Make receipts of ``previous`` that still hold receipts of ``new``."""
    receipts = read_receipts(output, previous)
    for partition in unchanged(previous, new):
        receipt = receipts.get((partition.array, partition.region))
        if receipt is not None and not is_due(partition, receipt):
            # Its rows are the same; its range may be longer, where others own the rows at its end.
            start, stop = new.elements(partition) or (None, None)
            renewed = replace(receipt, fingerprint=new.fingerprint, start=start, stop=stop)
            write_receipt(output, partition, renewed)


def _forget(plan: Plan, output: Output, is_due: Callable[[Partition, Receipt], bool]) -> None:
    """Delete the receipts of partitions that are to be listed again."""
    for (name, region), receipt in read_receipts(output, plan).items():
        partition = plan.by_name[name].partition(region, plan.record_size)
        if is_due(partition, receipt):
            output.delete(receipt_path(partition))


def _is_due(
    partition: Partition, receipt: Receipt, *, page: int, again: set[int], gaps: bool
) -> bool:
    """Whether a partition is listed again although the array did not grow there."""
    if partition.region is None and partition.objects.cells <= page:
        return True
    return partition.region in again or (gaps and receipt.missing > 0)
