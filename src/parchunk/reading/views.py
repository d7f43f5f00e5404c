"""The views: SQL over plan, receipts and record files where they lie, no copy.

Everything that a row's place says (array, region, chunk number, index and key) is an expression
over ``filename`` and ``file_row_number``. The views are flat selects for that reason: DuckDB
evaluates a filter on ``filename`` alone before it opens a file, but only when the filter reaches
the scan, and it does not push one through two projections. So a query for one array and one
region reads only its files, however many there are (and the footer of one file of each layout of
arrays, from which DuckDB learns the columns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod

from parchunk.out.output import STRAYS
from parchunk.out.receipts import Receipt
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import ArrayPlan, Plan, Region
from parchunk.reading.labels_view import first_element, labels_of_range, labels_query
from parchunk.reading.lacking_view import is_lacking, lacking_counts
from parchunk.reading.refs_view import refs_query
from parchunk.reading.sql_text import glob_escaped, list_of, nothing, table, text, values

#: The columns of each view, in order: a contract.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "arrays": (
        "array_name", "zarr_format", "dtype", "shape", "chunks", "grid", "dimensions", "split_axis",
        "record_size", "expected",
    ),
    "stores": ("store", "url", "start", "stop"),
    "regions": ("region", "store", "dimension", "start", "stop", "start_label", "stop_label"),
    "refs": (
        "array_name", "region", "chunk_number", "chunk_index", "chunk_key", "present", "path",
        "offset", "size", "inlined",
    ),
    "coverage": (
        "array_name", "region", "start", "stop", "start_label", "stop_label", "expected", "present",
        "missing", "zero_sized", "bytes", "strays", "shards_expected", "shards_present",
        "empty_entries", "lacking",
    ),
    "missing": (
        "array_name", "region", "chunk_number", "chunk_index", "chunk_key", "label", "lacking",
    ),
    "receipts": (
        "array_name", "region", "dimension", "start", "stop", "expected", "present", "missing",
        "zero_sized", "inlined", "bytes", "strays", "stray_reasons", "found_again",
        "last_modified", "verified", "ordered", "requests", "requests_least", "retries", "seconds",
        "record_files", "shards_expected", "shards_present", "empty_entries", "index_requests",
    ),
    "strays": ("array_name", "path", "size", "reason"),
    "labels": ("dimension", "element", "label"),
}  # fmt: skip

#: What the fields of receipts are in SQL, by their annotations; the others are JSON.
_SQL_TYPES = {
    "int": "BIGINT",
    "int | None": "BIGINT",
    "float": "DOUBLE",
    "str": "VARCHAR",
    "str | None": "VARCHAR",
    "bool": "BOOLEAN",
}
_RECEIPT_FIELDS = {
    "parchunk_receipt": "INTEGER",
    **{item.name: _SQL_TYPES.get(str(item.type), "JSON") for item in fields(Receipt)},
}
#: Columns of `receipts` that are not the receipt's field as it stands.
_RECEIPT_COLUMNS = {
    "array_name": '"array" AS array_name',
    "last_modified": "make_timestamp(last_modified) AS last_modified",
}
_ARRAYS_TYPES = (
    "VARCHAR", "INTEGER", "VARCHAR", ["BIGINT"], ["BIGINT"], ["BIGINT"], ["VARCHAR"], "INTEGER",
    "INTEGER", "BIGINT",
)  # fmt: skip
_PARTITIONS_TYPES = {
    "array_name": "VARCHAR", "regions": "BIGINT", "region_rows": "BIGINT", "period": "BIGINT",
    "outer_rows": "BIGINT", "region_length": "BIGINT", "extent": "BIGINT", "total": "BIGINT",
}  # fmt: skip
_STRAYS_TYPES = {"array_name": "VARCHAR", "path": "VARCHAR", "size": "BIGINT", "reason": "VARCHAR"}


def view_statements(plan: Plan, url: str, there: Contents) -> list[str]:
    """Return the SQL that creates the views over a build at ``url``, one statement an item."""
    # Counting and looking for gaps need not what is kept of objects, which is joined to rows.
    rows = f"(\n{refs_query(plan, url, there.arrays)}\n)" if there.objects else "refs"
    return [
        _array_macro(url),
        "CREATE OR REPLACE MACRO refs_file(filename) AS\n"
        "  CAST(split_part(parse_filename(filename), '.', 2) AS BIGINT)",
        _view("labels", labels_query(plan, url, there.labels)),
        _view("arrays", _arrays(plan)),
        _view("stores", _stores(plan)),
        _view("regions", f"SELECT *, {labels_of_range()}\nFROM (\n{_regions(plan)}\n)"),
        _view("refs", refs_query(plan, url, there.arrays, there.objects)),
        _view("receipts", _receipts(plan, url, () if there.updating else there.receipts)),
        _view("coverage", _coverage(plan, there.updating, rows)),
        _view("missing", _missing(plan, rows)),
        _view("strays", _strays(url, there.strays)),
    ]


def _view(name: str, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS\n{query}"


def _names(view: str) -> str:
    return ", ".join(f'"{name}"' for name in COLUMNS[view])


def _missing(plan: Plan, rows: str) -> str:
    columns = ", ".join(f'refs."{name}"' for name in COLUMNS["missing"][:-2])
    return (
        f"SELECT {columns}, labels.label, {is_lacking(plan)} AS lacking\n"
        f"FROM {rows} AS refs LEFT JOIN labels\n"
        f"  ON labels.element = {first_element(plan)}\nWHERE NOT present"
    )


def _array_macro(url: str) -> str:
    # By length and not by pattern: an array's name may hold anything. Evaluated for every file of
    # every query, so without a regular expression, which would be compiled each time.
    return (
        "CREATE OR REPLACE MACRO refs_array(filename) AS\n"
        f"  substring(parse_dirpath(filename), {len(url) + 2})"
    )


def _arrays(plan: Plan) -> str:
    rows = (
        (
            spec.name,
            spec.zarr_format,
            spec.dtype,
            spec.shape,
            spec.reference_chunks,
            spec.reference_grid,
            spec.dimension_names,
            array.axis,
            plan.record_size,
            spec.reference_total,
        )
        for array in plan.arrays
        for spec in [array.spec]
    )
    types = dict(zip(COLUMNS["arrays"], _ARRAYS_TYPES, strict=True))
    return f"SELECT {_names('arrays')} FROM {table(types, rows)}"


def _stores(plan: Plan) -> str:
    """A row for every store, and which elements of the joined dimension it holds, if there is one.

    A plan of one store has one, which holds all of them.
    """
    if plan.stores is None or plan.stores.joining.dimension is None:
        urls = [plan.location.url]
        if plan.stores is not None:
            urls = [store.url for store in plan.stores.stores]
        ends = "NULL::BIGINT, NULL::BIGINT"
        rows = [f"{at}::BIGINT, {text(url)}, {ends}" for at, url in enumerate(urls)]
    else:
        rows = [
            f"{at}::BIGINT, {text(store.url)}, {store.start}::BIGINT, {store.stop}::BIGINT"
            for at, store in enumerate(plan.stores.stores)
        ]
    return f"SELECT * FROM {values(rows)} AS t({_names('stores')})"


def _regions(plan: Plan) -> str:
    if not plan.regions or plan.split is None:
        return nothing(
            {
                "region": "BIGINT",
                "store": "BIGINT",
                "dimension": "VARCHAR",
                "start": "BIGINT",
                "stop": "BIGINT",
            }
        )
    if plan.cuts:
        stores = plan.stores
        rows = [
            f"{region.index}::BIGINT, {_store_of(stores, region)}::BIGINT, "
            f"{text(str(plan.split))}, {region.start}::BIGINT, {region.stop}::BIGINT"
            for region in plan.regions
        ]
        return f"SELECT * FROM {values(rows)} AS t(region, store, dimension, start, stop)"
    length, extent = plan.region_length, plan.regions[-1].stop
    # Regions of merged stores are of several; that of an array is told by its paths.
    store = "0::BIGINT" if plan.stores is None else "NULL::BIGINT"
    return (
        f"SELECT region, {store} AS store, {text(str(plan.split))} AS dimension,\n"
        f"  region * {length} AS start, least((region + 1) * {length}, {extent}) AS stop\n"
        f"FROM range({len(plan.regions)}) AS t(region)"
    )


def _store_of(stores: StoreSet | None, region: Region) -> str:
    """Return the number of the store that a region is in; of stores side by side in several."""
    if stores is None:
        return "0"
    side_by_side = stores.joining.dimension is None or len(stores.ranges) > 1
    return "NULL" if side_by_side else str(stores.store_at(region.start))


def _receipts(plan: Plan, url: str, there: Sequence[str]) -> str:
    if not there:
        types = {**_RECEIPT_FIELDS, "array_name": "VARCHAR", "last_modified": "TIMESTAMP"}
        return nothing({name: types[name] for name in COLUMNS["receipts"]})
    fields = ", ".join(f'"{name}": {text(kind)}' for name, kind in _RECEIPT_FIELDS.items())
    columns = ", ".join(_RECEIPT_COLUMNS.get(name, f'"{name}"') for name in COLUMNS["receipts"])
    files = ", ".join(text(f"{glob_escaped(url)}/{pattern}") for pattern in there)
    once = ""
    if any(pattern.endswith(".jsonl") for pattern in there):
        # Two that did the same at once have both said so; where they differ none counts.
        once = (
            '\nWINDOW same AS (PARTITION BY "array", region)\nQUALIFY row_number() OVER same = 1'
            "\n  AND min(record_files::VARCHAR) OVER same = max(record_files::VARCHAR) OVER same"
        )
    return (
        f"SELECT {columns}\nFROM read_json([{files}], format = 'newline_delimited', "
        f"ignore_errors = true, hive_partitioning = false,\n  columns = {{{fields}}})\n"
        f"WHERE fingerprint = {text(plan.fingerprint)}{once}"
    )


def _coverage(plan: Plan, updating: bool, rows: str) -> str:
    """A row for every partition of the plan; counts are NULL where it has no receipt yet."""
    counts = "present, missing, zero_sized, bytes"
    counted = ""
    if updating:
        # Receipts are the update's already: what is published is counted, where it lies.
        counts = (
            "coalesce(counted.present, 0) AS present,\n"
            "  partitions.expected - coalesce(counted.present, 0) AS missing, zero_sized,\n"
            "  coalesce(counted.bytes, 0) AS bytes"
        )
        counted = (
            "LEFT JOIN (\n  SELECT array_name, region, count(*) FILTER (present) AS present,\n"
            f"    coalesce(sum(size), 0)::BIGINT AS bytes FROM {rows} AS refs\n"
            "  GROUP BY array_name, region\n"
            ") AS counted ON counted.array_name = partitions.array_name\n"
            "  AND counted.region IS NOT DISTINCT FROM partitions.region\n"
        )
    return (
        f"WITH partitions AS (\n{_partitions(plan)}\n)\n"
        "SELECT partitions.array_name, partitions.region,\n"
        "  if(partitions.region IS NULL, NULL, partitions.start) AS start,\n"
        "  if(partitions.region IS NULL, NULL, partitions.stop) AS stop,\n"
        f"  {labels_of_range('partitions.')},\n"
        f"  partitions.expected, {counts}, strays,\n"
        "  shards_expected, shards_present, empty_entries,\n"
        "  coalesce(lacking.chunks, 0) AS lacking\n"
        f"FROM partitions {counted}LEFT JOIN receipts\n"
        "  ON receipts.array_name = partitions.array_name\n"
        "  AND receipts.region IS NOT DISTINCT FROM partitions.region\n"
        f"LEFT JOIN (\n{lacking_counts(plan)}\n) AS lacking\n"
        "  ON lacking.array_name = partitions.array_name\n"
        "  AND lacking.region IS NOT DISTINCT FROM partitions.region"
    )


def _partitions(plan: Plan) -> str:
    """Return a query of all partitions: their elements along the split, and their chunks."""
    cut = [array for array in plan.arrays if array.axis is not None and array.cuts]
    alike = [array for array in plan.arrays if array.axis is None or not array.cuts]
    queries = []
    if alike:
        queries.append(_of_regions_alike([*map(_array_alike, alike)], plan.record_size))
    if cut:
        queries.append(_of_regions_cut([*map(_cut_array, cut)], plan))
    return "\n  UNION ALL\n".join(queries)


def _of_regions_alike(arrays: Sequence[tuple[object, ...]], size: int) -> str:
    """Return a query of the partitions of arrays that are not split, or in regions of one length.

    ``size`` is the record size, ``arrays`` are rows of `_array_alike`.
    """

    def first_row(region: str) -> str:
        row = f"least({region} * region_rows, period)"
        # Without rows before the axis, a record file belongs to the region of its first row.
        return f"if(outer_rows = 1, least(ceil({row} / {size})::BIGINT * {size}, period), {row})"

    expected = f"outer_rows * ({first_row('(region + 1)')} - {first_row('region')})"
    return (
        "  SELECT array_name, if(region_rows IS NULL, NULL, region) AS region,\n"
        "    region * region_length AS start,\n"
        "    least((region + 1) * region_length, extent) AS stop,\n"
        f"    if(region_rows IS NULL, total, {expected})::BIGINT AS expected\n"
        f"  FROM {table(_PARTITIONS_TYPES, arrays)} AS t,\n"
        "    unnest(range(regions)) AS u(region)"
    )


def _of_regions_cut(arrays: Sequence[str], plan: Plan) -> str:
    """Return a query of the partitions of arrays whose regions differ: rows of `_cut_array`."""
    size = plan.record_size

    def first_of(cut: str) -> str:
        return f"least(ceil(cuts[{cut}] * rows / {size})::BIGINT * {size}, total)"

    return (
        "  SELECT array_name, region,\n"
        "    elements[region + 1] AS start, least(elements[region + 2], extent) AS stop,\n"
        f"    if(by_file, {first_of('region + 2')} - {first_of('region + 1')},\n"
        "      (cuts[region + 2] - cuts[region + 1]) * rows)::BIGINT AS expected\n"
        f"  FROM {values(arrays)} AS t(array_name, rows, by_file, total, extent, cuts),\n"
        f"    (SELECT {list_of(plan.cuts, 'BIGINT')} AS elements),\n"
        "    unnest(range(len(cuts) - 1)) AS u(region)"
    )


def _array_alike(array: ArrayPlan) -> tuple[object, ...]:
    """Return an array's name, how many regions it has, their rows and length, and its own."""
    spec = array.spec
    if array.axis is None:
        return (spec.name, 1, *(None,) * 5, spec.reference_total)
    inner = prod(spec.reference_grid[array.axis + 1 :])
    return (
        spec.name,
        array.regions,
        array.region_chunks * inner,
        spec.reference_grid[array.axis] * inner,
        prod(spec.reference_grid[: array.axis]),
        array.region_chunks * spec.reference_chunks[array.axis],
        spec.shape[array.axis],
        spec.reference_total,
    )


def _cut_array(array: ArrayPlan) -> str:
    """Return an array's name, its rows in one chunk along the axis, and where its regions begin.

    Between them: whether record files belong to the regions of their first rows, and all rows.
    """
    assert array.axis is not None
    grid = array.spec.reference_grid
    rows = prod((*grid[: array.axis], *grid[array.axis + 1 :]))
    extent = array.spec.shape[array.axis]
    cuts = list_of(array.cuts, "BIGINT")
    return (
        f"{text(array.spec.name)}, {rows}::BIGINT, {array.by_first_row}, "
        f"{array.spec.reference_total}::BIGINT, {extent}::BIGINT, {cuts}"
    )


def _strays(url: str, there: bool) -> str:
    if not there:
        return nothing(_STRAYS_TYPES)
    files = text(f"{glob_escaped(url)}/{STRAYS}/**/*.parquet")
    return (
        'SELECT "array" AS array_name, path, size, reason\n'
        f"FROM read_parquet({files}, hive_partitioning = false)"
    )


@dataclass(frozen=True)
class Contents:
    """What OUT holds at the moment, as far as views must know: DuckDB refuses empty globs."""

    arrays: frozenset[str]
    #: Patterns of files of receipts, below OUT.
    receipts: Sequence[str]
    strays: bool
    labels: bool
    #: An update is under way, or was cut short: receipts are not those of what is published.
    updating: bool = False
    #: Arrays of which something is kept of each object.
    objects: frozenset[str] = frozenset()
