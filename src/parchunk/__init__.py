"""Kerchunk Parquet references from the listing of a native Zarr store, region by region.

plan = parchunk.plan("s3://bucket/store.zarr", split="time")
result = parchunk.build(plan, "refs.parquet")
dataset = parchunk.open_dataset("refs.parquet")
"""

from __future__ import annotations

from parchunk.build import BuildResult, Progress, build
from parchunk.errors import (
    InputError,
    ListingError,
    MetadataError,
    MissingExtraError,
    OutputError,
    ParchunkError,
    SourceChangedError,
    SourceError,
    UnsupportedError,
)
from parchunk.opening import open_dataset
from parchunk.plan import Plan
from parchunk.planning import plan
from parchunk.source import Source

__version__ = "0.1.0"

__all__ = [
    "BuildResult",
    "InputError",
    "ListingError",
    "MetadataError",
    "MissingExtraError",
    "OutputError",
    "ParchunkError",
    "Plan",
    "Progress",
    "Source",
    "SourceChangedError",
    "SourceError",
    "UnsupportedError",
    "build",
    "open_dataset",
    "plan",
]
