"""Columns of tables that people read, in a terminal, on a page or in a job's summary."""

from __future__ import annotations

from collections.abc import Sequence


def telling(
    columns: Sequence[str], rows: Sequence[Sequence[object]], always: int
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return columns and rows without those columns, after so many, that are empty throughout."""
    kept = [at for at in range(len(columns)) if at < always or any(row[at] for row in rows)]
    return [columns[at] for at in kept], [tuple(row[at] for at in kept) for row in rows]
