"""OUT/.zmetadata, the root that makes the record files a store, for a plan and its receipts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from parchunk.metadata import (
    kerchunk_entries,
    masks_alike,
    masks_other_values,
    null_reads_as_fill,
    whole_hides_fill,
)
from parchunk.metadata.gathering import gathered
from parchunk.metadata.sharing import shared_value
from parchunk.metadata.spec import canonical
from parchunk.out.counts import Counts
from parchunk.out.many_receipts import each
from parchunk.out.receipts import Receipt
from parchunk.out.record_files import is_root_document, root_document, with_entries
from parchunk.planning.plan import Plan

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
    return root_document(_entries(plan, receipts), plan.record_size)


def with_fill_values(root: bytes, plan: Plan, arrays: Collection[str]) -> bytes:
    """Return a published root of a plan as it is where chunks of some arrays are missing."""
    specs = tuple(plan.by_name[array].spec for array in arrays)
    entries = dict(kerchunk_entries(replace(plan.hierarchy, arrays=specs, groups=())))
    changed = with_entries(root, entries)  # of very many arrays that is far quicker
    if changed is None:
        document = gathered(root, {})["metadata"] | entries
        changed = root_document(document.items(), plan.record_size)
    return changed


def whole_arrays_hiding_fill(root: bytes, plan: Plan) -> set[str]:
    """Return the arrays that a published root of a plan shows as whole, and hides a gap of."""
    specs = tuple(array.spec for array in plan.arrays if whole_hides_fill(array.spec))
    if not specs:
        return set()
    found = gathered(root, {("metadata",): _spelled})["metadata"]
    plain = kerchunk_entries(replace(plan.hierarchy, arrays=specs, groups=()))
    return {key.rpartition("/")[0] for key, one in plain if found.get(key) != _spelled(key, one)}


def is_published_root(data: bytes, plan: Plan, receipts: Iterable[Receipt]) -> bool:
    """Whether bytes are what `published_root` gives."""
    return is_root_document(data, _entries(plan, receipts), plan.record_size)


def _entries(plan: Plan, receipts: Iterable[Receipt]) -> Iterator[tuple[str, Any]]:
    whole = {array.spec.name for array in plan.arrays} - incomplete(receipts)
    return kerchunk_entries(plan.hierarchy, null_fill=whole)


def has_arrays_of(root: bytes, plan: Plan) -> bool:
    """Whether a root has the arrays of a plan, in their shapes, and its record size."""

    def shape(key: str, value: Any) -> tuple[int, ...] | None:
        return shared_value(tuple(value["shape"])) if key.endswith("/.zarray") else None

    try:
        document = gathered(root, {("metadata",): shape})
        shapes = document["metadata"]
        found = {key.removesuffix("/.zarray"): s for key, s in shapes.items() if s is not None}
        record_size = document["record_size"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    arrays = {array.spec.name: array.spec.shape for array in plan.arrays}
    return bool(record_size == plan.record_size and found == arrays)


def is_root_of(root: bytes, plan: Plan) -> bool:
    """Whether a root is what a build of a plan publishes, whichever of its chunks are missing."""
    if not has_arrays_of(root, plan):
        return False
    metadata = gathered(root, {("metadata",): _spelled})["metadata"]
    plain = _all_spelled(kerchunk_entries(plan.hierarchy))
    whole = _all_spelled(kerchunk_entries(plan.hierarchy, null_fill=plan.by_name))
    if not plain.keys() | whole.keys() >= metadata.keys() >= plain.keys() & whole.keys():
        return False
    return all(value in (plain.get(key), whole.get(key)) for key, value in metadata.items())


def _spelled(_: str, document: Any) -> str:
    """Return what stands for a document that is compared: most are alike."""
    return shared_value(canonical(document))


def _all_spelled(entries: Iterable[tuple[str, Any]]) -> dict[str, str]:
    return {key: _spelled(key, document) for key, document in entries}


def mask_notes(plan: Plan, receipts: Iterable[Receipt]) -> list[str]:
    """Return lines on incomplete v3 arrays of which readers do not all see what the source has."""
    if plan.hierarchy.written_format == 3:
        return []
    missing = incomplete(receipts)
    specs = [array.spec for array in plan.arrays if array.spec.name in missing]
    changed = [spec for spec in specs if masks_other_values(spec)]
    alike = {spec.name for spec in changed if masks_alike(spec)}
    masked = [spec.name for spec in changed if spec.name not in alike]
    null = [spec.name for spec in changed if spec.name in alike and null_reads_as_fill(spec)]
    notes = []
    if masked:
        notes.append(
            f"{_some(masked)}: chunks are missing, so the fill value is kept, and xarray masks it "
            "in Zarr v2, which it would not do in the v3 source; parchunk.open_dataset does not "
            "mask it"
        )
    if null:
        notes.append(
            f"{_some(null)}: chunks are missing, and read as the fill value in zarr-python 3, but "
            "not in zarr-python 2 (undefined) and VirtualiZarr (NaN where floats), as null stands "
            "for a fill value that xarray would mask"
        )
    return notes


def reopening_notes(
    plan: Plan, before: Mapping[str, Counts] | None, receipts: Iterable[Receipt]
) -> list[str]:
    """Return lines on arrays that were whole before an update, and lack chunks now.

    Who had OUT open reads those as null's fill value. What was before may not be known.
    """
    if plan.hierarchy.written_format == 3:
        return []
    missing = incomplete(receipts)
    specs = [array.spec for array in plan.arrays if array.spec.name in missing]
    names = [
        spec.name
        for spec in specs
        if (before is None or (spec.name in before and not before[spec.name].missing))
        and whole_hides_fill(spec)
    ]
    if not names:
        return []
    return [
        f"{_some(names)}: chunks are missing now and none was before: readers that had OUT open "
        "must open it again, as they read another fill value there"
    ]


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{' and others' if len(names) > 5 else ''}"


def incomplete(receipts: Iterable[Receipt]) -> set[str]:
    """Return the arrays of which some chunk is missing."""
    return {array for array, missing in each(receipts, "array", "missing") if missing}
