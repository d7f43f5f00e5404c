"""The view refs: rows of record files where they lie, with what their places say."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from parchunk.metadata.names import RECORD_FILES
from parchunk.metadata.shard_grid import extents
from parchunk.out.output import OBJECTS
from parchunk.planning.plan import ArrayPlan, Plan
from parchunk.reading.sql_text import glob_escaped, nothing, text, texts

_REFS_TYPES = {
    "array_name": "VARCHAR", "region": "BIGINT", "chunk_number": "BIGINT",
    "chunk_index": "BIGINT[]", "chunk_key": "VARCHAR", "present": "BOOLEAN", "path": "VARCHAR",
    "offset": "BIGINT", "size": "BIGINT", "inlined": "BOOLEAN",
}  # fmt: skip

#: What is kept of an object's identity, and its type.
IDENTITY_COLUMNS = {"time": ("last_modified", "TIMESTAMP"), "etag": ("etag", "VARCHAR")}
_NO_REGION = "CAST(NULL AS BIGINT)"

#: The size of an inlined chunk; one that begins with "base64:" is encoded (`parchunk.out.inlined`).
_INLINED_SIZE = (
    "CASE WHEN starts_with(CAST(raw AS VARCHAR), 'base64:YmFzZTY0O') "
    "THEN (octet_length(raw) - 7) // 4 * 3 "
    "- (octet_length(raw) - length(rtrim(CAST(raw AS VARCHAR), '='))) "
    "ELSE octet_length(raw) END"
)


def refs_query(
    plan: Plan, url: str, there: frozenset[str], objects: frozenset[str] | None = None
) -> str:
    """Return the query of the view refs: one SELECT for all arrays of one layout.

    A CASE over a hundred arrays instead is evaluated for every file: ten times slower to plan.
    What is kept of each object is read with it unless ``objects`` is None: the arrays of which OUT
    holds some of that.
    """
    layouts: dict[tuple[str, ...], list[str]] = {}
    number = f"refs_file(filename) * {plan.record_size} + file_row_number"
    for array in plan.arrays:
        if array.spec.name in there:
            layout = (
                _region(array, plan.record_size),
                _index(array, number),
                _tail(array, number),
                _bound(array, plan.record_size),
            )
            layouts.setdefault(layout, []).append(array.spec.name)
    kept = None if objects is None else IDENTITY_COLUMNS.get(plan.identity)
    if not layouts:
        return nothing(_REFS_TYPES if kept is None else {**_REFS_TYPES, kept[0]: kept[1]})
    return "\nUNION ALL\n".join(
        _refs_of(url, names, number, *layout)
        if objects is None or kept is None
        else _with_objects(plan, url, names, objects, number, layout)
        for layout, names in layouts.items()
    )


def _with_objects(
    plan: Plan,
    url: str,
    names: Sequence[str],
    objects: frozenset[str],
    number: str,
    layout: tuple[str, ...],
) -> str:
    """Return the rows of one layout with what is kept of their objects, null where nothing is.

    It lies in files of its own, whose rows are found by what they are of. By the region, too, so
    that a query for one of them reads no other's. A chunk that is there whose file is not ends the
    query: null would say that it has no object.
    """
    column, kind = IDENTITY_COLUMNS[plan.identity]
    refs = _refs_of(url, names, number, *layout)
    region, _, _, where = layout
    kept = [name for name in names if name in objects]
    head = f"{url}/{OBJECTS}"
    lost = (
        f"error({text(f'{head}/')} || refs.array_name || '/refs.'\n"
        f"  || refs.chunk_number // {plan.record_size} || "
        "'.parq is gone: parchunk audit says how to have it built again')"
    )
    if not kept:
        return (
            f'SELECT *, CASE WHEN present THEN CAST({lost} AS {kind}) END AS "{column}"\n'
            f"FROM (\n{refs}\n) AS refs"
        )
    files = texts(glob_escaped(f"{head}/{name}/") + RECORD_FILES for name in kept)
    split = "" if region == _NO_REGION else " AND refs.region = objects.region"
    return (
        f"SELECT refs.*, CASE WHEN present AND objects.chunk_number IS NULL THEN {lost}\n"
        f'  ELSE objects."{column}" END AS "{column}"\n'
        f"FROM (\n{refs}\n) AS refs LEFT JOIN (\n"
        f"SELECT substring(parse_dirpath(filename), {len(head) + 2}) AS array_name,\n"
        f'  {region} AS region, {number} AS chunk_number, {column} AS "{column}"\n'
        f"FROM read_parquet({files},\n"
        f"  filename = true, file_row_number = true, hive_partitioning = false){where}\n"
        ") AS objects ON refs.array_name = objects.array_name\n"
        f"  AND refs.chunk_number = objects.chunk_number{split}"
    )


def _refs_of(
    url: str, names: Sequence[str], number: str, region: str, index: str, tail: str, where: str
) -> str:
    columns = {
        "array_name": "refs_array(filename)",
        "region": region,
        "chunk_number": number,
        "chunk_index": index,
        "chunk_key": f"refs_array(filename) || '/' || {tail}",
        "present": "path IS NOT NULL OR raw IS NOT NULL",
        "path": "path",
        "offset": 'CASE WHEN size > 0 THEN "offset" END',
        "size": f"coalesce({_INLINED_SIZE}, nullif(size, 0))",
        "inlined": "raw IS NOT NULL",
    }
    selected = ",\n  ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    files = texts(glob_escaped(f"{url}/{name}/") + RECORD_FILES for name in names)
    return (
        f"SELECT\n  {selected}\nFROM read_parquet({files},\n"
        f"  filename = true, file_row_number = true, hive_partitioning = false){where}"
    )


def _bound(array: ArrayPlan, record_size: int) -> str:
    """Return the condition that leaves out rows that the plan has not.

    An update writes them before they are published, and it may begin at any time. Whole files are
    told by their names alone, which costs little.
    """
    files, rest = divmod(array.spec.reference_total, record_size)
    full = f"refs_file(filename) < {files}"
    if not rest:
        return f"\nWHERE {full}"
    return f"\nWHERE ({full} OR (refs_file(filename) = {files} AND file_row_number < {rest}))"


def _region(array: ArrayPlan, record_size: int) -> str:
    """Return an expression for the region of a record file, which is that of its first row."""
    if array.axis is None:
        return _NO_REGION
    grid = array.spec.reference_grid
    inner = prod(grid[array.axis + 1 :])
    first = f"refs_file(filename) * {record_size}"
    if prod(grid[: array.axis]) > 1:
        first = f"({first}) % {grid[array.axis] * inner}"
    if array.cuts:
        return _place(f"({first})", [cut * inner for cut in array.cuts], 0, array.regions)
    return f"({first}) // {array.region_chunks * inner}"


def _place(row: str, cuts: Sequence[int], low: int, high: int) -> str:
    """Return which of the ranges ``low`` to ``high`` between cuts a row is in, by halving."""
    if high - low == 1:
        return f"{low}::BIGINT"
    middle = (low + high) // 2
    before, after = _place(row, cuts, low, middle), _place(row, cuts, middle, high)
    return f"CASE WHEN {row} < {cuts[middle]} THEN {before} ELSE {after} END"


def _index(array: ArrayPlan, number: str) -> str:
    return f"[{', '.join(_axes(array, number))}]::BIGINT[]"


def _tail(array: ArrayPlan, number: str) -> str:
    keys = array.spec.keys
    if not array.spec.rank:
        return text(keys.tail(()))
    axes = _axes(array, number)
    if array.spec.inner_chunks is not None:
        # An inner chunk's key is that of the shard that it lies in.
        axes = [
            at if extent == 1 else f"({at} // {extent})"
            for at, extent in zip(axes, extents(array.spec), strict=True)
        ]
    parts = f" || {text(keys.separator)} || ".join(axes)
    return f"{text(keys.head)} || {parts}" if keys.head else f"'' || {parts}"


def _axes(array: ArrayPlan, number: str) -> list[str]:
    """Return an expression for the chunk index along each axis."""
    grid = array.spec.reference_grid
    found = []
    for axis, size in enumerate(grid):
        inner = prod(grid[axis + 1 :])
        at = f"({number})" if inner == 1 else f"(({number}) // {inner})"
        found.append(at if axis == 0 else f"({at} % {size})")
    return found
