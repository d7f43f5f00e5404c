"""A hierarchy as it is to be referenced: its shards whole or not, in which Zarr format."""

from __future__ import annotations

from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata import Hierarchy


def as_wanted(hierarchy: Hierarchy, shards: str, zarr_format: int | None) -> Hierarchy:
    """Return the hierarchy with its shards whole, and to be written in another format, if so."""
    if shards not in ("expand", "whole"):
        raise InputError(f"--shards {shards}: give expand or whole")
    if zarr_format not in (None, 2, 3):
        raise InputError(f"--format {zarr_format}: give v2 or v3")
    if shards == "whole":
        if zarr_format == 2:
            raise InputError("--shards whole needs --format v3: Zarr v2 has no shards")
        arrays = tuple(replace(array, inner_chunks=None) for array in hierarchy.arrays)
        hierarchy = replace(hierarchy, arrays=arrays)
        zarr_format = 3
    return replace(hierarchy, written_format=zarr_format or 2)
