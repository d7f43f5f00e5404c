"""The source's Zarr metadata: reading it, and writing it as kerchunk's readers need it.

`read_hierarchy` does the only I/O, through the `Reader` it is given; all else is arithmetic on
documents. `refusals` says what cannot be referenced before anything is listed, and
`kerchunk_metadata` returns what ``OUT/.zmetadata`` holds.
"""

from __future__ import annotations

from parchunk.errors import ShortListingError, UnreadableFolderError
from parchunk.metadata.kerchunk import kerchunk_entries, kerchunk_metadata
from parchunk.metadata.mask import (
    masks_alike,
    masks_other_values,
    may_hide_fill,
    null_reads_as_fill,
    whole_hides_fill,
)
from parchunk.metadata.read import read_array, read_hierarchy, read_known
from parchunk.metadata.reader import NoMetadataError, Reader, RootIsArrayError
from parchunk.metadata.refusals import refusals, require_supported, skip_refused
from parchunk.metadata.refused import UnsupportedArraysError
from parchunk.metadata.spec import ArraySpec, GroupSpec, Hierarchy, JSONObject, Refusal
from parchunk.metadata.to_v2 import convert_array, convert_attributes

__all__ = [
    "ArraySpec",
    "GroupSpec",
    "Hierarchy",
    "JSONObject",
    "NoMetadataError",
    "Reader",
    "Refusal",
    "RootIsArrayError",
    "ShortListingError",
    "UnreadableFolderError",
    "UnsupportedArraysError",
    "convert_array",
    "convert_attributes",
    "kerchunk_entries",
    "kerchunk_metadata",
    "masks_alike",
    "masks_other_values",
    "may_hide_fill",
    "null_reads_as_fill",
    "read_array",
    "read_hierarchy",
    "read_known",
    "refusals",
    "require_supported",
    "skip_refused",
    "whole_hides_fill",
]
