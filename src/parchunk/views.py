"""The views: SQL over plan, receipts and record files where they lie, no copy.

Everything that a row's place says (array, region, chunk number, index and key) is an expression
over ``filename`` and ``file_row_number``. The views are flat selects for that reason: DuckDB
evaluates a filter on ``filename`` alone before it opens a file, but only when the filter reaches
the scan, and it does not push one through two projections. So a query for one array and one
region reads only its files, however many there are (and the footer of one file of each layout of
arrays, from which DuckDB learns the columns).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from os import PathLike
from typing import TYPE_CHECKING

from parchunk.arguments import lenient
from parchunk.errors import InputError
from parchunk.output import PREVIOUS, RECEIPTS, STRAYS, UPDATE, Output
from parchunk.plan import ArrayPlan, Plan
from parchunk.saved_plan import load_plan, published_plan
from parchunk.shard_grid import extents

if TYPE_CHECKING:
    import duckdb

#: The columns of each view, in order: a contract.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "arrays": (
        "array_name", "zarr_format", "dtype", "shape", "chunks", "grid", "dimensions", "split_axis",
        "record_size", "expected",
    ),
    "regions": ("region", "dimension", "start", "stop"),
    "refs": (
        "array_name", "region", "chunk_number", "chunk_index", "chunk_key", "present", "path",
        "offset", "size", "inlined",
    ),
    "coverage": (
        "array_name", "region", "start", "stop", "expected", "present", "missing", "zero_sized",
        "bytes", "strays", "shards_expected", "shards_present", "empty_entries",
    ),
    "missing": ("array_name", "region", "chunk_number", "chunk_index", "chunk_key"),
    "receipts": (
        "array_name", "region", "dimension", "start", "stop", "expected", "present", "missing",
        "zero_sized", "inlined", "bytes", "strays", "stray_reasons", "found_again",
        "last_modified", "verified", "ordered", "requests", "requests_least", "retries", "seconds",
        "record_files", "shards_expected", "shards_present", "empty_entries", "index_requests",
    ),
    "strays": ("array_name", "path", "size", "reason"),
}  # fmt: skip

_RECEIPT_FIELDS = {
    "parchunk_receipt": "INTEGER",
    "fingerprint": "VARCHAR",
    "array": "VARCHAR",
    "region": "BIGINT",
    "dimension": "VARCHAR",
    "start": "BIGINT",
    "stop": "BIGINT",
    "expected": "BIGINT",
    "present": "BIGINT",
    "missing": "BIGINT",
    "zero_sized": "BIGINT",
    "inlined": "BIGINT",
    "bytes": "BIGINT",
    "strays": "BIGINT",
    "stray_reasons": "JSON",
    "found_again": "BIGINT",
    "last_modified": "BIGINT",
    "verified": "BOOLEAN",
    "ordered": "BOOLEAN",
    "requests": "BIGINT",
    "requests_least": "BIGINT",
    "retries": "BIGINT",
    "seconds": "DOUBLE",
    "record_files": "JSON",
    "shards_expected": "BIGINT",
    "shards_present": "BIGINT",
    "empty_entries": "BIGINT",
    "index_requests": "BIGINT",
}
#: Times that views are created while an update replaces what they read.
_TRIES = 3
#: Columns of `receipts` that are not the receipt's field as it stands.
_RECEIPT_COLUMNS = {
    "array_name": '"array" AS array_name',
    "last_modified": "make_timestamp(last_modified) AS last_modified",
}
_REFS_TYPES = {
    "array_name": "VARCHAR", "region": "BIGINT", "chunk_number": "BIGINT",
    "chunk_index": "BIGINT[]", "chunk_key": "VARCHAR", "present": "BOOLEAN", "path": "VARCHAR",
    "offset": "BIGINT", "size": "BIGINT", "inlined": "BOOLEAN",
}  # fmt: skip
_STRAYS_TYPES = {"array_name": "VARCHAR", "path": "VARCHAR", "size": "BIGINT", "reason": "VARCHAR"}


@dataclass(frozen=True)
class Contents:
    """What OUT holds at the moment, as far as views must know: DuckDB refuses empty globs."""

    arrays: frozenset[str]
    receipts: bool
    strays: bool
    #: An update is under way, or was cut short: receipts are not those of what is published.
    updating: bool = False


@lenient
def connect(
    out: str | PathLike[str] | Output,
    *,
    output_options: Mapping[str, str] | None = None,
    locked: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection (in memory) that has the views over the build in OUT.

    Parameters
    ----------
    out
        The folder that a build wrote, finished or not, local or remote.
    output_options
        Options to reach OUT, as `parchunk.build` takes them.
    locked
        Let queries reach OUT and nothing else, for good: other files, extensions and settings are
        refused. A COPY into OUT is not: DuckDB has no lock for that. `parchunk sql`, which locks
        its connection, looks for it in every statement.

    Raises
    ------
    InputError
        When OUT holds no build, or what DuckDB cannot read.
    """
    import duckdb

    output = out if isinstance(out, Output) else Output.open(str(out), output_options)
    _refuse_unmatched(output)
    spilled = tempfile.mkdtemp(prefix="parchunk-sql-")
    # Nothing is ever fetched from an extension repository behind the caller's back.
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "temp_directory": spilled,
        }
    )
    # Not where the program happens to run; nobody else's to read; and gone with the connection.
    weakref.finalize(connection, shutil.rmtree, spilled, ignore_errors=True)
    if output.store is not None:
        from parchunk.output_files import OutputFileSystem

        connection.register_filesystem(OutputFileSystem.of(output))
    try:
        _create_views(connection, output)
    except (duckdb.Error, UnicodeDecodeError) as error:
        connection.close()
        reason = message_of(error).strip().partition("\n")[0]
        raise InputError(
            f"{output.url} cannot be queried ({reason}): parchunk audit names what is damaged, and "
            "how to have it built again"
        ) from None
    except BaseException:
        connection.close()
        raise
    if locked:
        # Globs are checked as they are written, before they are matched.
        folders = dict.fromkeys([f"{output.url}/", f"{glob_escaped(output.url)}/"])
        connection.execute(f"SET allowed_directories = [{', '.join(map(text, folders))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
    return connection


def _create_views(connection: duckdb.DuckDBPyConnection, output: Output) -> None:
    """Create the views; again where what they read was replaced or deleted meanwhile."""
    import duckdb

    for attempt in range(1, _TRIES + 1):
        plan = viewed_plan(output)
        try:
            # A view reads the footer of a file of each layout of arrays.
            for statement in view_statements(plan, output.url, contents(output, plan)):
                connection.execute(statement)
            return
        except duckdb.Error:
            if attempt == _TRIES:
                raise


def viewed_plan(output: Output) -> Plan:
    """Return the plan that the views show: what is published, else what is being built."""
    return published_plan(output) or load_plan(output)


def _refuse_unmatched(output: Output) -> None:
    """Refuse the local paths that DuckDB takes for patterns even where they are escaped."""
    found = next((character for character in "*?[\\" if character in output.url), None)
    if output.store is None and found is not None:
        raise InputError(
            f"{output.url} has {found!r} in its path, which DuckDB takes for a pattern: query it "
            "under another name, moved or copied there (other readers take this one)"
        )


def message_of(error: Exception) -> str:
    """Return what DuckDB says; it may quote a damaged file, and then not be able to say so."""
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace")
    return str(error)


def contents(output: Output, plan: Plan) -> Contents:
    """Return what OUT holds of what the views read."""
    names = [array.spec.name for array in plan.arrays if array.spec.reference_total]
    if output.store is None:
        arrays = [name for name in names if output.holds(name, ".parq")]
    else:
        # A request for each of a hundred arrays would take longer than most queries.
        receipts = set(output.paths(RECEIPTS))
        folders = {path[len(RECEIPTS) + 1 :].rpartition("/")[0] for path in receipts}
        arrays = [name for name in names if name in folders]
    return Contents(
        frozenset(arrays),
        receipts=output.holds(RECEIPTS, ".json"),
        strays=output.holds(STRAYS, ".parquet"),
        updating=any(output.get(path) is not None for path in (UPDATE, PREVIOUS)),
    )


def view_statements(plan: Plan, url: str, there: Contents) -> list[str]:
    """Return the SQL that creates the views over a build at ``url``, one statement an item."""
    return [
        _array_macro(url),
        "CREATE OR REPLACE MACRO refs_file(filename) AS\n"
        "  CAST(split_part(parse_filename(filename), '.', 2) AS BIGINT)",
        _view("arrays", _arrays(plan)),
        _view("regions", _regions(plan)),
        _view("refs", _refs(plan, url, there.arrays)),
        _view("receipts", _receipts(plan, url, there.receipts and not there.updating)),
        _view("coverage", _coverage(plan, there.updating)),
        _view("missing", "SELECT " + _names("missing") + "\nFROM refs WHERE NOT present"),
        _view("strays", _strays(url, there.strays)),
    ]


def text(value: str) -> str:
    """Return a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def glob_escaped(path: str) -> str:
    """Return the glob that matches exactly this path."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def _view(name: str, query: str) -> str:
    return f"CREATE OR REPLACE VIEW {name} AS\n{query}"


def _names(view: str) -> str:
    return ", ".join(f'"{name}"' for name in COLUMNS[view])


def _array_macro(url: str) -> str:
    # By length and not by pattern: an array's name may hold anything. Evaluated for every file of
    # every query, so without a regular expression, which would be compiled each time.
    return (
        "CREATE OR REPLACE MACRO refs_array(filename) AS\n"
        f"  substring(parse_dirpath(filename), {len(url) + 2})"
    )


def _arrays(plan: Plan) -> str:
    rows = [
        ", ".join(
            [
                text(spec.name),
                str(spec.zarr_format),
                text(spec.dtype),
                _list(spec.shape, "BIGINT"),
                _list(spec.reference_chunks, "BIGINT"),
                _list(spec.reference_grid, "BIGINT"),
                _list(
                    ["NULL" if name is None else text(name) for name in spec.dimension_names],
                    "VARCHAR",
                ),
                "NULL::INTEGER" if array.axis is None else str(array.axis),
                str(plan.record_size),
                f"{spec.reference_total}::BIGINT",
            ]
        )
        for array in plan.arrays
        for spec in [array.spec]
    ]
    return f"SELECT * FROM {_values(rows)} AS t({_names('arrays')})"


def _regions(plan: Plan) -> str:
    if not plan.regions or plan.split is None:
        return _empty(
            {"region": "BIGINT", "dimension": "VARCHAR", "start": "BIGINT", "stop": "BIGINT"}
        )
    length, extent = plan.region_length, plan.regions[-1].stop
    return (
        f"SELECT region, {text(str(plan.split))} AS dimension, region * {length} AS start, "
        f"least((region + 1) * {length}, {extent}) AS stop\n"
        f"FROM range({len(plan.regions)}) AS t(region)"
    )


def _refs(plan: Plan, url: str, there: frozenset[str]) -> str:
    """One select for all arrays of one layout, so that none has to look up its own.

    A CASE over a hundred arrays instead is evaluated for every file: ten times slower to plan.
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
    if not layouts:
        return _empty(_REFS_TYPES)
    return "\nUNION ALL\n".join(
        _refs_of(url, names, number, *layout) for layout, names in layouts.items()
    )


#: The size of an inlined chunk; one that begins with "base64:" is encoded (`parchunk.inlined`).
_INLINED_SIZE = (
    "CASE WHEN starts_with(CAST(raw AS VARCHAR), 'base64:YmFzZTY0O') "
    "THEN (octet_length(raw) - 7) // 4 * 3 "
    "- (octet_length(raw) - length(rtrim(CAST(raw AS VARCHAR), '='))) "
    "ELSE octet_length(raw) END"
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
    files = ",\n  ".join(text(glob_escaped(f"{url}/{name}/") + "refs.*.parq") for name in names)
    return (
        f"SELECT\n  {selected}\nFROM read_parquet([\n  {files}\n],\n"
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
    """A record file belongs to the region of its first row (`parchunk.plan.ArrayPlan`)."""
    if array.axis is None:
        return "CAST(NULL AS BIGINT)"
    grid = array.spec.reference_grid
    inner = prod(grid[array.axis + 1 :])
    first = f"refs_file(filename) * {record_size}"
    if prod(grid[: array.axis]) > 1:
        first = f"({first}) % {grid[array.axis] * inner}"
    return f"({first}) // {array.region_chunks * inner}"


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


def _receipts(plan: Plan, url: str, there: bool) -> str:
    if not there:
        types = {**_RECEIPT_FIELDS, "array_name": "VARCHAR", "last_modified": "TIMESTAMP"}
        return _empty({name: types[name] for name in COLUMNS["receipts"]})
    fields = ", ".join(f'"{name}": {text(kind)}' for name, kind in _RECEIPT_FIELDS.items())
    columns = ", ".join(_RECEIPT_COLUMNS.get(name, f'"{name}"') for name in COLUMNS["receipts"])
    files = text(f"{glob_escaped(url)}/{RECEIPTS}/**/*.json")
    return (
        f"SELECT {columns}\nFROM read_json({files}, format = 'newline_delimited', "
        f"ignore_errors = true, hive_partitioning = false,\n  columns = {{{fields}}})\n"
        f"WHERE fingerprint = {text(plan.fingerprint)}"
    )


def _coverage(plan: Plan, updating: bool) -> str:
    """A row for every partition of the plan; counts are NULL where it has no receipt yet."""
    rows = []
    for array in plan.arrays:
        spec = array.spec
        if array.axis is None:
            rows.append(
                f"{text(spec.name)}, 1, NULL, NULL, NULL, NULL, NULL, {spec.reference_total}"
            )
            continue
        inner = prod(spec.reference_grid[array.axis + 1 :])
        numbers = (
            array.regions,
            array.region_chunks * inner,
            spec.reference_grid[array.axis] * inner,
            prod(spec.reference_grid[: array.axis]),
            array.region_chunks * spec.reference_chunks[array.axis],
            spec.shape[array.axis],
            spec.reference_total,
        )
        rows.append(f"{text(spec.name)}, {', '.join(map(str, numbers))}")
    size = plan.record_size

    def first_row(region: str) -> str:
        row = f"least({region} * region_rows, period)"
        # Without rows before the axis, a record file belongs to the region of its first row.
        return f"if(outer_rows = 1, least(ceil({row} / {size})::BIGINT * {size}, period), {row})"

    expected = f"outer_rows * ({first_row('(region + 1)')} - {first_row('region')})"
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
            "    coalesce(sum(size), 0)::BIGINT AS bytes FROM refs GROUP BY array_name, region\n"
            ") AS counted ON counted.array_name = partitions.array_name\n"
            "  AND counted.region IS NOT DISTINCT FROM partitions.region\n"
        )
    return (
        "WITH partitions AS (\n"
        "  SELECT array_name, if(region_rows IS NULL, NULL, region) AS region,\n"
        "    region * region_length AS start,\n"
        "    least((region + 1) * region_length, extent) AS stop,\n"
        f"    if(region_rows IS NULL, total, {expected})::BIGINT AS expected\n"
        f"  FROM {_values(rows)} AS t(array_name, regions, region_rows, "
        "period, outer_rows, region_length, extent, total),\n"
        "    unnest(range(regions)) AS u(region)\n)\n"
        "SELECT partitions.array_name, partitions.region,\n"
        "  if(partitions.region IS NULL, NULL, partitions.start) AS start,\n"
        "  if(partitions.region IS NULL, NULL, partitions.stop) AS stop,\n"
        f"  partitions.expected, {counts}, strays,\n"
        "  shards_expected, shards_present, empty_entries\n"
        f"FROM partitions {counted}LEFT JOIN receipts\n"
        "  ON receipts.array_name = partitions.array_name\n"
        "  AND receipts.region IS NOT DISTINCT FROM partitions.region"
    )


def _strays(url: str, there: bool) -> str:
    if not there:
        return _empty(_STRAYS_TYPES)
    files = text(f"{glob_escaped(url)}/{STRAYS}/**/*.parquet")
    return (
        'SELECT "array" AS array_name, path, size, reason\n'
        f"FROM read_parquet({files}, hive_partitioning = false)"
    )


def _values(rows: Sequence[str]) -> str:
    return "(VALUES\n  (" + "),\n  (".join(rows) + ")\n)"


def _empty(types: Mapping[str, str]) -> str:
    columns = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in types.items())
    return f"SELECT {columns} WHERE false"


def _list(values: Iterable[object], kind: str) -> str:
    return f"[{', '.join(map(str, values))}]::{kind}[]"
