"""Inventories are looked at in the order of their dates: an older one would undo what is known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from parchunk.errors import InputError
from parchunk.inventories.sorted_objects import date_text
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source


def refuse_older(plan: Plan, receipts: Iterable[Receipt], source: Source) -> None:
    """Refuse a source whose inventory is older than what OUT knows: its plan's, or a chunk.

    Raises
    ------
    InputError
        Naming both dates.
    """
    if source.objects is None:
        return
    known = [] if plan.inventory is None else [(plan.inventory.taken, str(plan.inventory))]
    newest = max(
        (one.last_modified for one in receipts if one.last_modified is not None), default=None
    )
    if newest is not None:
        # Inventories are dated to the second, as are the times in some of them.
        text = date_text(datetime.fromtimestamp(newest // 1_000_000, UTC))
        known.append((text, f"a chunk that was written at {text}"))
    for taken, what in known:
        if source.objects.date < taken:
            raise InputError(
                f"the inventory of {source.objects.date} is older than {what}, which OUT knows: "
                "give one that was taken later"
            )


def oldest(receipts: Iterable[Receipt]) -> str | None:
    """Return the date of the oldest inventory that receipts are of; None where all were listed."""
    return min((one.inventory for one in receipts if one.inventory is not None), default=None)
