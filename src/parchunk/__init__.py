"""Kerchunk Parquet references from the listing of a native Zarr store, region by region.

plan = parchunk.plan("s3://bucket/store.zarr", split="time")
result = parchunk.build(plan, "refs.parquet")
dataset = parchunk.open_dataset("refs.parquet")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parchunk.public import (
        AuditReport,
        BuildResult,
        Finding,
        HeldError,
        ImportResult,
        InputError,
        ListingError,
        MetadataError,
        MissingExtraError,
        OutputError,
        ParchunkError,
        Plan,
        Progress,
        Relocation,
        Source,
        SourceChangedError,
        SourceError,
        Status,
        Task,
        TaskResult,
        UnsupportedError,
        audit,
        build,
        connect,
        open_dataset,
        open_icechunk,
        plan,
        publish,
        relocate,
        run_task,
        status,
        tasks,
        to_icechunk,
        update,
    )
else:

    def __getattr__(name: str) -> object:
        """Import the public names when one is asked for: the command line asks for none of them.

        So it is at work, and minds Ctrl-C, before it imports the libraries that it needs.
        """
        if name not in __all__:
            raise AttributeError(f"module 'parchunk' has no attribute {name!r}")
        from parchunk import public

        globals().update({public_name: getattr(public, public_name) for public_name in __all__})
        return globals()[name]


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


def __dir__() -> list[str]:
    """Return the public names: what else is here are rooms, which have no promise."""
    return [*__all__, "__version__"]
