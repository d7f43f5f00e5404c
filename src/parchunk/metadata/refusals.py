"""Arrays that references cannot express, each with the reason."""

from __future__ import annotations

from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.codecs import is_sharded
from parchunk.metadata.dual import keep_v3
from parchunk.metadata.refused import UnsupportedArraysError, UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec, Hierarchy, Refusal, held_by
from parchunk.metadata.to_v2 import convert_array
from parchunk.metadata.v3 import parse_codecs

#: Arrays that are remembered not to look at those alike, at most.
_MOST = 1_024


def refusals(hierarchy: Hierarchy) -> tuple[Refusal, ...]:
    """Return every array that cannot be referenced, with its feature and the remedy, by name."""
    found = list(hierarchy.refused)
    # Of very many arrays most are alike but for their names, and hold the same objects.
    passed: set[tuple[int, ...]] = set()
    for array in hierarchy.arrays:
        alike = tuple(map(id, held_by(array)[1:]))
        if alike in passed:
            continue
        try:
            if hierarchy.written_format == 3:
                keep_v3(array)
            else:
                convert_array(array)
        except UnsupportedFeatureError as refused:
            found.append(_with_remedy(refused, array, hierarchy.written_format))
        else:
            if len(passed) == _MOST:
                passed.clear()
            passed.add(alike)
    return tuple(sorted(found, key=lambda refusal: refusal.name))


def _with_remedy(
    refused: UnsupportedFeatureError, array: ArraySpec, written_format: int
) -> Refusal:
    """Return the refusal of an array; where v3 references would do, the remedy says so first."""
    refusal, whole = refused.of(array.name), replace(array, inner_chunks=None)
    if array.zarr_format != 3 or (written_format == 3 and array.inner_chunks is None):
        return refusal
    try:
        keep_v3(whole)
    except UnsupportedFeatureError:
        return refusal
    sharded = is_sharded(parse_codecs(array.document["codecs"]))
    better = (
        "keep its shards whole with --shards whole"
        if sharded
        else "keep it in Zarr v3 with --format v3"
    )
    return replace(refusal, remedy=f"{better}, or {refusal.remedy}")


def require_supported(hierarchy: Hierarchy) -> None:
    """Raise one `parchunk.errors.UnsupportedError` that names all refused arrays, if any."""
    found = refusals(hierarchy)
    if found:
        raise UnsupportedArraysError(found)


def skip_refused(hierarchy: Hierarchy) -> Hierarchy:
    """Return the hierarchy without its refused arrays, which ``skipped`` names instead.

    Raises `InputError` when no array would be left.
    """
    found = refusals(hierarchy)
    names = {refusal.name for refusal in found}
    arrays = tuple(array for array in hierarchy.arrays if array.name not in names)
    if found and not arrays:
        raise InputError(
            f"--skip-unsupported leaves no array: {'; '.join(map(str, found[:8]))}"
            + (f"; and {len(found) - 8:,} more" if len(found) > 8 else "")
        )
    skipped = tuple((refusal.name, refusal.feature) for refusal in found)
    return replace(hierarchy, arrays=arrays, refused=(), skipped=hierarchy.skipped + skipped)
