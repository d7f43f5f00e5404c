"""``parchunk sql``: questions about every chunk, in SQL, over OUT as it lies there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from parchunk.cli.interrupts import cancelling
from parchunk.cli.options import file_option, json_option, output_option
from parchunk.cli.own_files import refuse_own
from parchunk.cli.sql_prompt import prompt
from parchunk.cli.streams import as_it_is, stop_if_gone
from parchunk.cli.whole_file import replacing
from parchunk.errors import InputError
from parchunk.out.opening import open_output
from parchunk.reading.sql import connect, contents, message_of, viewed_plan
from parchunk.reading.views import view_statements
from parchunk.showing.printable import can_show, printable

if TYPE_CHECKING:
    import duckdb

FORMATS = ("table", "csv", "json", "parquet")
#: The format that a file's name says.
_NAMED = {
    "": "table", ".txt": "table", ".csv": "csv", ".json": "json", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip
#: Statements that cannot write outside the connection's memory. COPY, ATTACH and EXPORT could
#: write into OUT, PREPARE could hide one of them, SET could take the locks off.
_ALLOWED = frozenset({"SELECT", "EXPLAIN", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE"})
#: Those that have a result.
_TOLD = frozenset({"SELECT", "EXPLAIN"})
#: What a statement that writes all the same must say: DuckDB 2.0 takes WITH x AS (COPY ... TO ...)
#: SELECT for a SELECT. Looked for in the text, quotes and comments included: what a scanner takes
#: for a quote may be none to DuckDB's.
_COPIES = [re.compile(rf"\b{word}\b", re.I | re.A) for word in ("with", "copy", "to")]
_EXPLAIN = re.compile(r"\s*explain\b(\s+analyze\b|\s*\([\w\s,]*\))?", re.I)
#: Where DuckDB begins to repeat the query.
_PLACE = re.compile(r"^LINE [0-9]+: ", re.M)
_ROWS = 10_000
#: What stands beside the names of a table's columns, even where it has no rows.
_BESIDE_NAMES = "│"
#: Lines of tables for encodings that have none.
_PLAIN_LINES = str.maketrans("┌┬┐├┼┤└┴┘╭╮╰╯─│", "+++++++++++++-|")
#: Rows of a table that people are shown, and of one that is wider than their terminal.
_SHOWN, _UPRIGHT = 200, 20


@click.command("sql", short_help="Run SQL over the references in OUT.")
@click.argument("out")
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How the result is printed; all rows but for table, which shows 200. By default what "
    "--to's name says, else table.",
)
@click.option("--views", is_flag=True, help="Print the SQL that creates the views, for duckdb.")
@file_option("--to", "FILE", "Write the result to this file.")
@output_option
@json_option
def command(
    out: str,
    query: str | None,
    form: str | None,
    views: bool,
    to: Path | None,
    output_options: Mapping[str, str],
    as_json: bool,
) -> int:
    """Run SQL over the references in OUT; without a QUERY, prompt for it.

    Views: arrays, stores, regions, refs, coverage, missing, receipts, strays, labels. Queries
    read OUT and nothing else.
    """
    output = open_output(out, output_options)
    if as_json and form not in (None, "json"):
        raise InputError(f"--json and --format {form}: give one of them")
    if views:
        given = {"QUERY": query, "--format": form, "--to": to, "--json": as_json}
        idle = [name for name, value in given.items() if value]
        if idle:
            raise InputError(
                f"--views prints SQL, and has no result: leave out {' and '.join(idle)}, or --views"
            )
        plan = viewed_plan(output)
        statements = view_statements(plan, output.url, contents(output, plan))
        with as_it_is(sys.stdout):
            click.echo(";\n\n".join(statements) + ";")
        return 0
    refuse_own(output, [to])
    form = "json" if as_json else form or _form(to)
    if query is None and sys.stdin.isatty() and to is not None:
        raise InputError("--to is for the result of one QUERY: give the query, too")
    with connect(output, locked=True) as connection:
        if query is None and sys.stdin.isatty():
            with cancelling(connection.interrupt):
                prompt(connection, partial(run_query, connection, form=form))
        else:
            run_query(connection, _piped() if query is None else query, form, to)
    return 0


def _piped() -> str:
    """Return the query that standard input has."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is no text in {error.encoding}: give a query") from None


def _form(to: Path | None) -> str:
    """Return the format that is wanted where none is given."""
    if to is None:
        return "table"
    form = _NAMED.get(to.suffix.lower())
    if form is None:
        raise InputError(
            f"{to}: no format is known by that name: give --format, or a name that ends with .csv, "
            ".json, .parquet or .txt"
        )
    return form


def run_query(
    connection: duckdb.DuckDBPyConnection, query: str, form: str, to: Path | None = None
) -> None:
    """Run statements and write the last one's result, if it has one."""
    import duckdb

    if not can_show(query, "utf-8"):  # Python has surrogates for bytes that are no text
        raise InputError("the query is no text in UTF-8: spell it so")
    try:
        statements = connection.extract_statements(query)
        for statement in statements:
            _refuse_writing(connection, statement)
        if to is not None and not (statements and statements[-1].type.name in _TOLD):
            raise InputError(f"--to {to}: there is no result to write: end with a SELECT")
        for position, statement in enumerate(statements):
            if position < len(statements) - 1 or statement.type.name not in _TOLD:
                connection.execute(statement.query)
                connection.complete()
            else:
                _write(connection, statement.query, form, to)
    except RuntimeError as error:
        # as DuckDB also says that a query was interrupted, depending on where it was
        if "interrupted" not in str(error).lower():
            raise
        raise KeyboardInterrupt from None
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise InputError(_explained(message_of(error), query)) from None
    finally:
        connection.abort()  # a result that was not read to its end would refuse the next statement


def _refuse_writing(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> None:
    try:
        kind = statement.type.name
    except ValueError:
        # DuckDB parses statements that its Python has no name for, such as UPDATE EXTENSIONS.
        kind = " ".join(statement.query.split()[:2])
    if all(word.search(statement.query) for word in _COPIES):
        raise InputError(
            "parchunk sql does not run statements with the words WITH, COPY and TO, which may "
            "write a file: it only reads OUT; to save a result use --format and --to"
        )
    if kind == "EXPLAIN":
        # EXPLAIN ANALYZE runs what it explains. A comment before it could hide what that is.
        head = _EXPLAIN.match(statement.query)
        inner = connection.extract_statements(statement.query[head.end() :]) if head else []
        for explained in inner:
            _refuse_writing(connection, explained)
        if not inner:
            kind = "oddly written EXPLAIN"
    if kind not in _ALLOWED:
        raise InputError(
            f"parchunk sql does not run {kind.replace('_', ' ')} statements: it only reads OUT; "
            "to save a result use --format and --to, to do more use parchunk.connect in Python"
        )


def _explained(said: str, query: str) -> str:
    """Return in one line what DuckDB says, with what it suggests, and without the query."""
    lines = [line.strip() for line in _PLACE.split(said, maxsplit=1)[0].splitlines()]
    told = " ".join(line for line in lines if line) or "the query failed"
    if re.search(r"\barray\b", query, re.I) and re.search("syntax error|column", told):
        told += " (the views' column of array names is array_name)"
    if re.search(r"(?<!\")\boffset\b", query, re.I) and "syntax error" in told:
        told += ' (offset is a word of SQL: write "offset" in double quotes)'
    if query.lstrip().startswith("."):
        told += " (.tables and the like are the prompt's, in a terminal: parchunk sql OUT)"
    return told


def _write(connection: duckdb.DuckDBPyConnection, query: str, form: str, to: Path | None) -> None:
    if form == "parquet" and to is None and sys.stdout.isatty():
        raise InputError("Parquet is no text: give --to FILE, or send it into a pipe")
    try:
        if to is not None:
            with replacing(to) as path:
                _write_file(connection, query, form, path)
        elif form == "parquet":
            _write_parquet(connection, query, sys.stdout.buffer)
        elif form == "table":
            _write_text(connection, query, form, sys.stdout)
        else:
            with as_it_is(sys.stdout):
                _write_text(connection, query, form, sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {to or 'the result'}: {error.strerror or error}") from None


def _write_file(connection: duckdb.DuckDBPyConnection, query: str, form: str, path: Path) -> None:
    if form == "parquet":
        _write_parquet(connection, query, str(path))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            _write_text(connection, query, form, file)


def _write_parquet(connection: duckdb.DuckDBPyConnection, query: str, target: Any) -> None:
    import pyarrow.parquet as pq

    reader = connection.sql(query).to_arrow_reader(_ROWS)
    names = _told_apart(reader.schema.names)
    schema = reader.schema.empty_table().rename_columns(names).schema
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch.rename_columns(names))


def _write_text(
    connection: duckdb.DuckDBPyConnection, query: str, form: str, file: IO[str]
) -> None:
    if form == "table":
        width = shutil.get_terminal_size((120, 40)).columns if file.isatty() else None
        text = printable(_table_text(connection, query, width))
        drawn = can_show(_BESIDE_NAMES, getattr(file, "encoding", None))
        file.write(text if drawn else text.translate(_PLAIN_LINES))
        return
    result = connection.execute(query)
    columns = _told_apart([column[0] for column in result.description or ()])
    if form == "csv":
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in _rows(result, file):
            writer.writerow([_cell(value) for value in row])
        return
    file.write("[")
    for position, row in enumerate(_rows(result, file)):
        values = dict(zip(columns, map(_plain, row), strict=True))
        file.write(",\n" if position else "\n")
        file.write(json.dumps(values, ensure_ascii=False, allow_nan=False))
    file.write("\n]\n")


def _told_apart(columns: Sequence[str]) -> list[str]:
    """Return names of columns, no two alike: the second ``region`` is ``region_1``, as in DuckDB.

    Of two of one name JSON would hold the last, and few readers of Parquet take them.
    """
    taken = set(columns)
    told: list[str] = []
    for column in columns:
        name, number = column, 0
        while name in told or (number and name in taken):
            number += 1
            name = f"{column}_{number}"
        told.append(name)
    return told


def _table_text(connection: duckdb.DuckDBPyConnection, query: str, width: int | None) -> str:
    """Return a result as a table, or value by value where a terminal of ``width`` is too narrow."""
    if _EXPLAIN.match(query):
        # A drawing of lines: a cell of a table has them in one, thousands of columns wide.
        return "\n".join(drawn for _, drawn in connection.execute(query).fetchall()) + "\n"
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        connection.sql(query).show(max_rows=_SHOWN, max_width=10_000)
    text = shown.getvalue()
    if _BESIDE_NAMES not in text:
        # Interrupted as it draws, DuckDB draws a box without names and rows, and says nothing.
        raise KeyboardInterrupt
    if width is None or max(map(len, text.splitlines()), default=0) <= width:
        return text
    result = connection.execute(query)
    columns = [column[0] for column in result.description or ()]
    rows = result.fetchmany(_UPRIGHT + 1)
    wide = max(map(len, columns))
    lines = []
    for number, row in enumerate(rows[:_UPRIGHT], 1):
        lines.append(f"row {number}")
        for name, value in zip(columns, row, strict=True):
            lines.append(f"  {name:{wide}}  {'NULL' if value is None else _cell(value)}")
    if len(rows) > _UPRIGHT:
        lines.append(f"and more: the first {_UPRIGHT} rows are shown; --format csv has all")
    return "\n".join(lines) + "\n"


def _rows(result: duckdb.DuckDBPyConnection, file: IO[str]) -> Iterator[tuple[Any, ...]]:
    """Yield all rows, for as long as somebody reads ``file``."""
    while rows := result.fetchmany(_ROWS):
        yield from rows
        stop_if_gone(file)


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: nothing for NULL, lists as JSON."""
    plain = _plain(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a value that JSON has: bytes as hexadecimal digits, times as ISO 8601."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
