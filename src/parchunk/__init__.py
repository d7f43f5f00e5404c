"""Kerchunk Parquet references from the listing of a native Zarr store, region by region.

plan = parchunk.plan("s3://bucket/store.zarr", split="time")
result = parchunk.build(plan, "refs.parquet")
dataset = parchunk.open_dataset("refs.parquet")
"""

from __future__ import annotations

from parchunk.auditing import AuditReport, Finding, audit
from parchunk.build import BuildResult, build
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
from parchunk.icechunk_import import ImportResult, open_icechunk, to_icechunk
from parchunk.opening import open_dataset
from parchunk.plan import Plan
from parchunk.planning import plan
from parchunk.running import Progress
from parchunk.source import Source
from parchunk.status import Status, status
from parchunk.update import update
from parchunk.views import connect

__version__ = "0.1.0"

__all__ = [
    "AuditReport",
    "BuildResult",
    "Finding",
    "ImportResult",
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
    "Status",
    "UnsupportedError",
    "audit",
    "build",
    "connect",
    "open_dataset",
    "open_icechunk",
    "plan",
    "status",
    "to_icechunk",
    "update",
]
