"""Kerchunk Parquet references from the listing of a native Zarr store, region by region.

plan = parchunk.plan("s3://bucket/store.zarr", split="time")
result = parchunk.build(plan, "refs.parquet")
dataset = parchunk.open_dataset("refs.parquet")
"""

from __future__ import annotations

from parchunk.auditing import AuditReport, Finding, audit
from parchunk.building.build import build
from parchunk.building.protocol import publish, run_task, tasks
from parchunk.building.relocating import Relocation, relocate
from parchunk.building.results import BuildResult, Progress, TaskResult
from parchunk.building.tasks import Task
from parchunk.building.update import update
from parchunk.errors import (
    HeldError,
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
from parchunk.notebooks import register
from parchunk.planning.from_source import plan
from parchunk.planning.plan import Plan
from parchunk.reading.dataset import open_dataset
from parchunk.reading.sql import connect
from parchunk.reading.status import Status, status
from parchunk.stores.source import Source

__version__ = "0.1.0"

__all__ = [
    "AuditReport",
    "BuildResult",
    "Finding",
    "HeldError",
    "ImportResult",
    "InputError",
    "ListingError",
    "MetadataError",
    "MissingExtraError",
    "OutputError",
    "ParchunkError",
    "Plan",
    "Progress",
    "Relocation",
    "Source",
    "SourceChangedError",
    "SourceError",
    "Status",
    "Task",
    "TaskResult",
    "UnsupportedError",
    "audit",
    "build",
    "connect",
    "open_dataset",
    "open_icechunk",
    "plan",
    "publish",
    "relocate",
    "run_task",
    "status",
    "tasks",
    "to_icechunk",
    "update",
]

register()


def __dir__() -> list[str]:
    """Return the public names: what else is here are rooms, which have no promise."""
    return [*__all__, "__version__"]
