"""From finished references to an Icechunk repository: offline, one commit a region."""

from __future__ import annotations

from parchunk.icechunk_import.compared_arrays import RepoFinding
from parchunk.icechunk_import.comparing import RepoComparison, compare_with_repo
from parchunk.icechunk_import.importing import to_icechunk
from parchunk.icechunk_import.native import NativeStore, write_native
from parchunk.icechunk_import.opening import open_icechunk
from parchunk.icechunk_import.results import Commit, ImportProgress, ImportResult

__all__ = [
    "Commit",
    "ImportProgress",
    "ImportResult",
    "NativeStore",
    "RepoComparison",
    "RepoFinding",
    "compare_with_repo",
    "open_icechunk",
    "to_icechunk",
    "write_native",
]
