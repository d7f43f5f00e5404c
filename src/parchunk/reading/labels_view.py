"""The view labels: what elements of the split dimension are called; and columns that ask it.

Rows of record files are joined to it on the left: filters on them reach the files all the same, as
they would not through a subquery.
"""

from __future__ import annotations

from parchunk.out.output import LABELS
from parchunk.planning.plan import Plan
from parchunk.reading.sql_text import glob_escaped, nothing, text

_TYPES = {"dimension": "VARCHAR", "element": "BIGINT", "label": "VARCHAR"}


def labels_query(plan: Plan, url: str, there: bool) -> str:
    """Return the query of the labels; of elements that are published only."""
    extent = plan.regions[-1].stop if plan.regions else 0
    if not there:
        return nothing(_TYPES)
    return (
        "SELECT dimension, element, label\n"
        f"FROM read_parquet({text(glob_escaped(f'{url}/{LABELS}'))})\nWHERE element < {extent}"
    )


def labels_of_range(row: str = "") -> str:
    """Return the columns ``start_label`` and ``stop_label``: of the first and the last element."""
    return f"{_label(f'{row}start')} AS start_label,\n  {_label(f'{row}stop - 1')} AS stop_label"


def first_element(plan: Plan) -> str:
    """Return the first element along the split dimension of the chunk that a row of refs is.

    Of arrays that are alike in that, most are told by not being others: there may be very many.
    """
    alike: dict[str, list[str]] = {}
    for array in plan.arrays:
        axis = None if plan.split is None else plan.split.axis_in(array.spec)
        first = "NULL::BIGINT"
        if axis is not None:
            first = f"chunk_index[{axis + 1}] * {array.spec.reference_chunks[axis]}"
        alike.setdefault(first, []).append(text(array.spec.name))
    if not alike:
        return "NULL::BIGINT"
    most = max(alike, key=lambda first: len(alike[first]))
    cases = "".join(
        f" WHEN array_name IN ({', '.join(names)}) THEN {first}"
        for first, names in alike.items()
        if first != most
    )
    return f"CASE{cases} ELSE {most} END" if cases else most


def _label(element: str) -> str:
    return f"(SELECT labels.label FROM labels WHERE labels.element = ({element}))"
