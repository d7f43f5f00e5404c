"""OUT/.zmetadata, the root that makes the record files a store, for a plan and its receipts."""

from __future__ import annotations

from collections.abc import Iterable

from parchunk.metadata import kerchunk_metadata, masks_other_values
from parchunk.plan import Plan
from parchunk.receipts import Receipt
from parchunk.record_files import root_document


def published_root(plan: Plan, receipts: Iterable[Receipt]) -> bytes:
    """Return the bytes of the root that a finished build publishes.

    An array without missing chunks never needs its fill value, so null stands for one that
    xarray would take for a mask.
    """
    whole = {array.spec.name for array in plan.arrays} - incomplete(receipts)
    return root_document(kerchunk_metadata(plan.hierarchy, null_fill=whole), plan.record_size)


def mask_notes(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """Return a line when stock xarray masks values of incomplete v3 arrays that it should not."""
    missing = incomplete(receipts)
    names = [
        array.spec.name
        for array in plan.arrays
        if array.spec.name in missing and masks_other_values(array.spec)
    ]
    if not names:
        return []
    return [
        f"{', '.join(names[:5])}{' and others' if len(names) > 5 else ''}: chunks are missing, so "
        "the fill value is kept, and xarray masks it in Zarr v2, which it would not do in the v3 "
        "source; parchunk.open_dataset does not mask it"
    ]


def incomplete(receipts: Iterable[Receipt]) -> set[str]:
    """Return the arrays of which some chunk is missing."""
    return {receipt.array for receipt in receipts if receipt.missing}
