"""Whether readers can decode the columns of a record file. No I/O."""

from __future__ import annotations

import pyarrow.parquet as pq

from parchunk.out.record_files import SCHEMA

#: Encodings that fastparquet, and so every fsspec reader, cannot read.
_UNREADABLE = {
    "DELTA_BINARY_PACKED",
    "DELTA_LENGTH_BYTE_ARRAY",
    "DELTA_BYTE_ARRAY",
    "BYTE_STREAM_SPLIT",
}
_MIXED = {"PLAIN", "PLAIN_DICTIONARY"}


def encoding_problem(metadata: pq.FileMetaData) -> str | None:
    """Return what is wrong with how a column of `SCHEMA` is encoded, or None."""
    for group in range(metadata.num_row_groups):
        columns = metadata.row_group(group)
        for position, label in enumerate(SCHEMA.names):
            problem = _problem_of(columns.column(position), label)
            if problem:
                return f"column {label} {problem}"
    return None


def _problem_of(column: pq.ColumnChunkMetaData, label: str) -> str | None:
    used = set(column.encodings)
    if bad := used & _UNREADABLE:
        return f"is encoded as {', '.join(sorted(bad))}, which fastparquet cannot read"
    if used >= _MIXED:
        return "mixes dictionary and plain pages: fastparquet reads None for the latter"
    if label in ("offset", "size") and not (
        column.is_stats_set and column.statistics.has_null_count
    ):
        return "has no statistics: fastparquet reads floats"
    return None
