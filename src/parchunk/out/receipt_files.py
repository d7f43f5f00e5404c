"""Where receipts lie in OUT: each in a file of its own, or with others in blocks.

What several places say of one partition must agree: where they differ, or one cannot be read, none
counts, as record files may be of either, and the partition is done again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from parchunk.out.output import BLOCKS, RECEIPTS, Output
from parchunk.out.receipt_blocks import (
    Together,
    block_paths,
    blocks_in,
    drop_lines,
    folder_of,
    keep_lines,
    places_in_blocks,
    places_of,
    put_block,
    read_each,
)
from parchunk.out.receipts import (
    RECEIPT_VERSION,
    Receipt,
    counted,
    parsed_document,
    receipt_path,
)
from parchunk.planning.plan import Partition, PartitionKey, Plan

#: Stands in the file of an array whose receipts are taken back: it is none, so that none counts.
_TAKEN_BACK = b"{}"


@dataclass
class Found:
    """What the receipts in OUT say of partitions of a plan.

    ``receipts`` are those that count, and ``alone`` says which of them have files of their own.
    Of ``doubtful`` partitions there are some of which none counts; ``stale`` ones have a file
    that is of another plan. ``blocks`` are those that were read, and lines of ``odd`` ones speak
    of no partition of the plan: they are damaged.
    """

    receipts: dict[PartitionKey, Receipt] = field(default_factory=dict)
    alone: set[PartitionKey] = field(default_factory=set)
    doubtful: set[PartitionKey] = field(default_factory=set)
    stale: list[PartitionKey] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


def find_receipts(
    output: Output, plan: Plan, only: Collection[PartitionKey] | None = None
) -> Found:
    """Return what the receipts in OUT say of a plan's partitions, or ``only`` of some.

    A receipt of another plan, or one that cannot be read or does not add up, counts as none: its
    partition is done again. Nothing is deleted.
    """
    found = Found()
    _find_alone(output, plan, only, found)
    places = None
    if only is not None:
        of_all = places_of(plan)
        places = {of_all[name] for name, _ in only if name in of_all}
    found.blocks = block_paths(output, plan.fingerprint, places)
    _find_in_blocks(output, plan, only, found)
    if found.blocks:
        ordered = sorted(found.receipts.items(), key=lambda item: _order(item[0]))
        found.receipts = dict(ordered)
    return found


def _find_alone(
    output: Output, plan: Plan, only: Collection[PartitionKey] | None, found: Found
) -> None:
    # By what is there, not by what could be: a plan may have millions of partitions.
    paths = {
        partition: path
        for partition, path in _paths_alone(output, plan).items()
        if only is None or partition in only
    }
    for partition, data in zip(paths, read_each(output, list(paths.values())), strict=True):
        if data is None:
            continue
        document = parsed_document(data)
        receipt = counted(document, plan.fingerprint, partition)
        if receipt is not None:
            found.receipts[partition] = receipt
            found.alone.add(partition)
        elif _is_of_another(document, plan):
            found.stale.append(partition)
        else:
            found.doubtful.add(partition)


def _find_in_blocks(
    output: Output, plan: Plan, only: Collection[PartitionKey] | None, found: Found
) -> None:
    for path, line in blocks_in(output, found.blocks):
        key = line.key
        if key is None or not is_of(plan, key):
            if path not in found.odd[-1:]:  # they come block by block
                found.odd.append(path)
            continue
        if key in found.doubtful:
            continue
        if only is not None and key not in only:
            continue
        receipt, other = counted(line.document, plan.fingerprint, key), found.receipts.get(key)
        if receipt is None or (other is not None and other.record_files != receipt.record_files):
            found.doubtful.add(key)
            found.receipts.pop(key, None)
            found.alone.discard(key)
        elif other is None:
            found.receipts[key] = receipt


def read_receipts(
    output: Output, plan: Plan, only: Collection[PartitionKey] | None = None
) -> dict[PartitionKey, Receipt]:
    """Return the receipts that count, by array and region, in the order of `Plan.partitions`."""
    return find_receipts(output, plan, only).receipts


def settled_receipts(
    output: Output, plan: Plan, only: Collection[PartitionKey] | None = None
) -> dict[PartitionKey, Receipt]:
    """Return the receipts that count, for whoever does the other partitions from here on.

    What stands in the place of theirs is deleted, and blocks of other plans, before any record
    file of them is written: nothing vouches for what it held.
    """
    found = find_receipts(output, plan, only)
    folder = folder_of(plan.fingerprint)
    for path in output.paths(BLOCKS):
        if not path.startswith(f"{folder}/"):
            output.delete(path)
    # Other files are written over.
    in_blocks = places_in_blocks(plan)
    for key in found.stale:
        if key[0] in in_blocks:
            output.delete(receipt_path(key))
    if found.blocks or in_blocks:
        take_back(output, found.doubtful, found.blocks)
    # What they spoke of is done anew; left there, each audit would name them.
    keep_lines(output, lambda line: line.key is not None and is_of(plan, line.key), found.odd)
    return found.receipts


def take_back(output: Output, partitions: Collection[PartitionKey], blocks: Sequence[str]) -> None:
    """Delete all receipts of partitions; cut short, none of them counts."""
    for key in partitions:
        output.put(receipt_path(key), _TAKEN_BACK)
    if partitions:
        drop_lines(output, partitions, blocks)
    for key in partitions:
        output.delete(receipt_path(key))


def take_back_doubtful(output: Output, plan: Plan) -> Found:
    """Return what `find_receipts` does, once nothing is there of which none counts.

    Who deletes receipts in any order does this first: cut short, it would leave one of those that
    differ, which would count from then on.
    """
    found = find_receipts(output, plan)
    take_back(output, found.doubtful, found.blocks)
    return found


def forget_receipts(output: Output, found: Found, partitions: Iterable[Partition]) -> None:
    """Delete receipts that were found of partitions, which are to be done again."""
    keys = set()
    for partition in partitions:
        keys.add(partition.key)
        if partition.key in found.alone:
            output.delete(receipt_path(partition.key))
    if keys:
        drop_lines(output, keys, found.blocks)


def write_receipt(output: Output, partition: Partition, receipt: Receipt) -> None:
    """Write a receipt: from here on the partition counts as done."""
    output.put(receipt_path(partition.key), json.dumps(receipt.to_json()).encode())


class ReceiptWriter:
    """Writes receipts of a plan one after another; those of many small arrays lie in blocks.

    It is left when all are written: what is kept for a block is written then.
    """

    def __init__(self, output: Output, plan: Plan) -> None:
        self._output, self._places = output, places_in_blocks(plan)
        self._blocks = Together(partial(put_block, output))
        #: Those that were given files of their own.
        self.alone: set[PartitionKey] = set()

    def __enter__(self) -> ReceiptWriter:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is kept, also where something failed: what it speaks of is done."""
        self._blocks.flush()

    def write(self, partition: Partition, receipt: Receipt) -> None:
        """Write a receipt, now or soon."""
        place = self._places.get(partition.array)
        if place is not None:
            self._blocks.add(place, receipt)
        else:
            write_receipt(self._output, partition, receipt)
            self.alone.add(partition.key)


def receipted(output: Output, plan: Plan) -> set[PartitionKey]:
    """Return the partitions that have receipts, which are not looked at: some may not count."""
    found = set(_paths_alone(output, plan))
    for _, line in blocks_in(output, block_paths(output, plan.fingerprint)):
        if line.key is not None and is_of(plan, line.key):
            found.add(line.key)
    return found


def has_receipt(output: Output, partition: Partition) -> bool:
    """Whether there is a receipt of a partition, of whatever plan."""
    if output.get(receipt_path(partition.key)) is not None:
        return True
    lines = blocks_in(output, output.paths(BLOCKS))
    return any(line.key == partition.key for _, line in lines)


def arrays_in_blocks(output: Output) -> set[str]:
    """Return the arrays that blocks speak of, whatever plan these are of."""
    lines = blocks_in(output, output.paths(BLOCKS))
    return {line.key[0] for _, line in lines if line.key is not None}


def is_of(plan: Plan, key: PartitionKey) -> bool:
    """Whether a plan has a partition of this array and region."""
    name, region = key
    array = plan.by_name.get(name)
    if array is None or region is None or array.axis is None:
        return array is not None and region is None and array.axis is None
    return 0 <= region < array.regions


def _paths_alone(output: Output, plan: Plan) -> dict[PartitionKey, str]:
    """Return the files of receipts, by array and region, in the order of `Plan.partitions`."""
    found = {}
    for path in output.paths(RECEIPTS):
        partition = _partition_at(path, plan)
        if partition is not None:
            found[partition] = path
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _partition_at(path: str, plan: Plan) -> PartitionKey | None:
    """Return array and region of the partition whose receipt is at ``path``; None: no partition."""
    name, _, file = path[len(RECEIPTS) + 1 :].rpartition("/")
    array = plan.by_name.get(name)
    if array is None or not file.endswith(".json"):
        return None
    if array.axis is None:
        return (name, None) if file == "whole.json" else None
    number = file[: -len(".json")]
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", number) or int(number) >= array.regions:
        return None
    return name, int(number)


def _order(partition: PartitionKey) -> tuple[int, str]:
    """Sort as `Plan.partitions` does: whole arrays first, then region by region."""
    array, region = partition
    return (-1 if region is None else region, array)


def _is_of_another(document: Any, plan: Plan) -> bool:
    """Whether a document is a receipt of another plan."""
    return (
        isinstance(document, dict)
        and document.get("parchunk_receipt") == RECEIPT_VERSION
        and isinstance(document.get("fingerprint"), str)
        and document["fingerprint"] != plan.fingerprint
    )
