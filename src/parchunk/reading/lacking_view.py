"""Which missing chunks are in no store, as theirs lacks the array: columns of two views."""

from __future__ import annotations

from parchunk.planning.joining.lacking import lacking_ranges, lacking_rows
from parchunk.planning.plan import Plan
from parchunk.reading.sql_text import nothing, text, values


def is_lacking(plan: Plan) -> str:
    """Return whether the chunk that a row of refs is of is in no store, as an expression."""
    cases = []
    for array in plan.arrays:
        at = f"chunk_index[{(array.axis or 0) + 1}]"
        within = " OR ".join(
            f"({at} >= {low} AND {at} < {high})"
            for low, high in lacking_ranges(plan, array.spec.name)
        )
        if within:
            cases.append(f" WHEN array_name = {text(array.spec.name)} THEN {within}")
    return f"CASE{''.join(cases)} ELSE false END" if cases else "false"


def lacking_counts(plan: Plan) -> str:
    """Return a query of the partitions that have such chunks, and how many."""
    rows = [
        f"{text(name)}, {'NULL' if partition.region is None else partition.region}::BIGINT, "
        f"{count}::BIGINT"
        for array in plan.arrays
        for name in [array.spec.name]
        if lacking_ranges(plan, name)
        for partition in array.partitions(plan.record_size)
        if (count := lacking_rows(plan, name, partition.rows))
    ]
    if not rows:
        return nothing({"array_name": "VARCHAR", "region": "BIGINT", "chunks": "BIGINT"})
    return f"SELECT * FROM {values(rows)} AS t(array_name, region, chunks)"
