"""Receipts in an update: which are forgotten, and which hold for the plan of the grown source.

Each step here leaves record files and root alone, and can be cut short anywhere: a receipt that
is lost on the way costs a listing of its partition, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

from parchunk.building.carried_strays import KnownStrays
from parchunk.out.counts import BuildCounts
from parchunk.out.inventory_date import oldest
from parchunk.out.known import keep_known
from parchunk.out.output import BLOCKS, PREVIOUS, RECEIPTS, STRAYS, Output
from parchunk.out.plan_file import parse_plan
from parchunk.out.receipt_blocks import folder_of
from parchunk.out.receipt_files import (
    ReceiptWriter,
    find_receipts,
    forget_receipts,
    take_back_doubtful,
)
from parchunk.out.receipts import Receipt, receipt_path, strays_path
from parchunk.out.unfinished import Unfinished, read_unfinished, save_unfinished
from parchunk.planning.coordinates import MOST_CHUNKS
from parchunk.planning.growth import Carried, carried, going_on
from parchunk.planning.plan import Partition, PartitionKey, Plan


def forget(
    plan: Plan, output: Output, is_due: Callable[[Partition, Receipt], bool]
) -> list[Receipt]:
    """Delete the receipts of partitions that are to be listed again; return those that stay."""
    kept, due = [], []
    found = find_receipts(output, plan)
    for (name, region), receipt in found.receipts.items():
        partition = plan.by_name[name].partition(region, plan.record_size)
        if is_due(partition, receipt):
            due.append((partition, receipt))
        else:
            kept.append(receipt)
    forget_receipts(output, found, [partition for partition, _ in due])
    for partition, receipt in due:
        if receipt.strays:
            output.delete(strays_path(partition))
    return kept


def is_due(partition: Partition, receipt: Receipt, *, page: int, asked: Unfinished) -> bool:
    """Whether a partition is listed again although its array did not grow there."""
    if partition.key in asked.partitions:
        return True
    if asked.only:
        return partition.region in asked.regions or partition.array in asked.arrays
    # A producer that appends writes its coordinates anew.
    most = max(page, MOST_CHUNKS) if receipt.inlined else page
    if partition.region is None and partition.objects.total <= most:
        return True
    if partition.region in asked.regions or partition.array in asked.arrays:
        return True
    return asked.gaps and receipt.missing > 0


def not_due(
    plan: Plan, receipts: Mapping[PartitionKey, Receipt], page: int, asked: Unfinished
) -> dict[PartitionKey, Receipt]:
    """Return the receipts of ``plan`` whose partitions are not listed again; see `is_due`."""
    return {
        (name, region): receipt
        for (name, region), receipt in receipts.items()
        if not is_due(
            plan.by_name[name].partition(region, plan.record_size), receipt, page=page, asked=asked
        )
    }


def taken_up(plan: Plan, output: Output) -> Unfinished | None:
    """Return what an update was asked that was cut short, once its receipts are those of ``plan``.

    ``plan`` is the one that OUT has. Whoever goes on in OUT does this before a record file is
    written: else a receipt of the plan before would vouch for one, and be believed by the next
    update. None where no update was cut short.
    """
    unfinished = read_unfinished(output)
    saved = output.get(PREVIOUS) if unfinished is None else None
    if saved is not None:
        # Cut short by a parchunk that did not keep what it was asked.
        previous = parse_plan(saved, output, PREVIOUS)
        unfinished = Unfinished((), (), True, plan.fingerprint, begun=True, grown_from=previous)
    if unfinished is None or unfinished.grown_from is None:
        return unfinished
    carry_over(unfinished.grown_from, plan, output)
    # Once: tasks that write receipts of this plan may be at work by the next time.
    unfinished = replace(unfinished, grown_from=None)
    save_unfinished(unfinished, output)
    return unfinished


def carry_over(old: Plan, new: Plan, output: Output) -> None:
    """Make those receipts of ``old`` that hold for ``new`` receipts of it, and delete the others.

    So before any record file is written over, nothing vouches for what it held.
    """
    receipts = take_back_doubtful(output, old).receipts
    there = find_receipts(output, new)
    done = there.receipts
    found, known_strays = [], KnownStrays(old, new, receipts, output)
    for item in carried(old, new):
        known = receipts_of(item, receipts)
        if known and item.partition.key not in done:
            strays = known_strays.of(item, known, in_place=True)
            if strays is not None:
                found.append((item, known, strays))
    # All are read before the first is written: region 1 may lie where another region 1 is read.
    with ReceiptWriter(output, new) as writer:
        for item, known, strays in found:
            if strays.file is not None:
                output.put(strays_path(item.partition), strays.file)
            receipt = renewed(known, item.partition, new, strays.reasons)
            writer.write(item.partition, receipt)
            done[item.partition.key] = receipt
    keep_going_on(old, new, receipts, done, output, output)
    _delete_others(new, output, done, there.alone | writer.alone)


def receipts_of(item: Carried, receipts: Mapping[PartitionKey, Receipt]) -> list[Receipt]:
    """Return the receipts of which that of a carried partition is made; none: it is listed."""
    known = [receipts[part.key] for part in item.before if part.key in receipts]
    return known if len(known) == len(item.before) else []


def keep_going_on(
    old: Plan,
    new: Plan,
    receipts: Mapping[PartitionKey, Receipt],
    done: Container[PartitionKey],
    before: Output,
    output: Output,
) -> None:
    """Keep in ``output`` what is known of partitions of ``before`` that stores go on in."""
    for item in going_on(old, new):
        receipt = receipts.get(item.before[0].key)
        if receipt is not None and item.partition.key not in done and _is_plain(receipt):
            keep_known(output, item.partition, receipt, new.fingerprint, before)


def _is_plain(receipt: Receipt) -> bool:
    """Whether a listing would count as the receipt does, by the rows of record files alone."""
    odd = receipt.strays or receipt.zero_sized or receipt.inventory is not None
    return not odd and bool(receipt.record_files)


def _delete_others(
    plan: Plan,
    output: Output,
    done: Mapping[PartitionKey, Receipt],
    alone: Container[PartitionKey],
) -> None:
    """Delete receipts and strays of other plans; ``alone`` have files of their own."""
    partitions = [
        plan.by_name[name].partition(at, plan.record_size)
        for (name, at), receipt in done.items()
        if receipt.strays
    ]
    ours = {receipt_path(key) for key in done if key in alone}
    ours |= {strays_path(partition) for partition in partitions}
    blocks = f"{folder_of(plan.fingerprint)}/"
    for folder in (RECEIPTS, BLOCKS, STRAYS):
        for path in output.paths(folder):
            if path not in ours and not path.startswith(blocks):
                output.delete(path)


def renewed(
    known: Sequence[Receipt], partition: Partition, plan: Plan, stray_reasons: Mapping[str, int]
) -> Receipt:
    """Return the receipt of a partition that consists of those of ``known``, but for strays."""
    # Its rows are the same; its range may be longer, where others own the rows at its end.
    elements = plan.elements(partition)
    start, stop = elements or (None, None)
    times = [receipt.last_modified for receipt in known if receipt.last_modified is not None]
    counts = replace(BuildCounts.total(known), strays=sum(stray_reasons.values()))
    return replace(
        known[0],
        **counts.values(),
        fingerprint=plan.fingerprint,
        region=partition.region,
        dimension=str(plan.split) if elements else None,
        start=start,
        stop=stop,
        stray_reasons=stray_reasons,
        last_modified=max(times, default=None),
        verified=all(receipt.verified for receipt in known),
        ordered=all(receipt.ordered for receipt in known),
        inventory=oldest(known),
        record_files=tuple(
            sorted(
                (file for receipt in known for file in receipt.record_files),
                key=lambda file: file.index,
            )
        ),
    )
