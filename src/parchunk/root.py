"""OUT/.zmetadata, the root that makes the record files a store, for a plan and its receipts."""

from __future__ import annotations

from collections.abc import Iterable

from parchunk.metadata import kerchunk_metadata, masks_other_values
from parchunk.plan import Plan
from parchunk.receipts import Receipt
from parchunk.record_files import root_document

#: What is to be known of references that are kept in Zarr v3.
V3_COSTS = (
    "references in Zarr v3 are opened by zarr-python 3 through fsspec (xarray's engine 'zarr', "
    "parchunk.open_dataset) and by nothing else: not by older zarr, engine 'kerchunk', "
    "VirtualiZarr or GDAL"
)


def format_notes(plan: Plan) -> list[str]:
    """Return lines on what stands in for the source's arrays as they are, or is left out."""
    notes = [V3_COSTS] if plan.hierarchy.written_format == 3 else []
    skipped = plan.hierarchy.skipped
    notes += [f"{name} was skipped, as it cannot be referenced: {why}" for name, why in skipped]
    notes += [f"{name} is left out: {why}" for name, why in plan.hierarchy.left_out]
    return notes


def left_out(plan: Plan) -> list[dict[str, str]]:
    """Return JSON values of what the source holds and the references do not, and why."""
    hierarchy = plan.hierarchy
    return [
        {"name": name, "reason": reason}
        for name, reason in (*hierarchy.skipped, *hierarchy.left_out)
    ]


def published_root(plan: Plan, receipts: Iterable[Receipt]) -> bytes:
    """Return the bytes of the root that a finished build publishes.

    An array without missing chunks never needs its fill value, so null stands for one that
    xarray would take for a mask.
    """
    whole = {array.spec.name for array in plan.arrays} - incomplete(receipts)
    return root_document(kerchunk_metadata(plan.hierarchy, null_fill=whole), plan.record_size)


def mask_notes(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """Return a line when stock xarray masks values of incomplete v3 arrays that it should not."""
    if plan.hierarchy.written_format == 3:
        return []
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
