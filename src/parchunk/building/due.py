"""What an update is going to list, by the receipts that are there before it writes anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from parchunk.building.carrying import not_due, receipts_of
from parchunk.building.effort import Effort
from parchunk.errors import InputError
from parchunk.out.output import NEXT, Output
from parchunk.out.receipt_files import read_receipts, receipted
from parchunk.out.unfinished import Unfinished, read_unfinished
from parchunk.planning.changes import Changes
from parchunk.planning.growth import carried
from parchunk.planning.plan import Partition, Plan
from parchunk.stores.source import Source


def require_memory(
    effort: Effort,
    old: Plan,
    new: Plan,
    changes: Changes,
    asked: Unfinished,
    source: Source,
    output: Output,
) -> None:
    """Refuse an update that cannot be made with so much memory; any will do where nothing is due.

    Raises
    ------
    InputError
        Naming the least that will do.
    """

    def listed() -> Iterator[Partition]:
        return to_be_listed(old, new, changes, asked, output, source.manner.page)

    try:
        effort.most_held(source, new, listed())
    except InputError:
        is_begun = new.fingerprint != old.fingerprint or read_unfinished(output) is not None
        if is_begun or any(True for _ in listed()):
            raise


def to_be_listed(
    old: Plan, new: Plan, changes: Changes, asked: Unfinished, output: Output, page: int
) -> Iterator[Partition]:
    """Yield the partitions of ``new`` that an update is sure to list whole.

    Receipts are read when the first is asked for, and not before: most updates need not know.
    Left out is what only writing finds out: partitions whose strays go astray otherwise now,
    arrays that are renumbered, and what an update that was cut short has left to do besides.
    """
    unfinished = read_unfinished(output)
    if unfinished is not None and unfinished.begun and unfinished.gaps:
        asked = replace(asked, gaps=False)  # that one has listed them
    kept = not_due(old, read_receipts(output, old), page, asked)
    if new.fingerprint == old.fingerprint:
        known = set(kept)
    else:
        known = {item.partition.key for item in carried(old, new) if receipts_of(item, kept)}
    if not changes.in_place:
        known |= receipted(output.below(NEXT), new)  # by one that was cut short
    moved = changes.moved if new.stores is None else frozenset()
    for partition in new.partitions():
        if partition.key not in known and partition.array not in moved:
            yield partition
