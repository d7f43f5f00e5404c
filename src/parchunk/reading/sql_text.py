"""Pieces of SQL text: literals, globs, lists of values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence


def text(value: str) -> str:
    """Return a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Return a SQL list of strings as one constant: there may be very many."""
    return f"from_json({text(json.dumps(list(values)))}, '[\"VARCHAR\"]')"


def glob_escaped(path: str) -> str:
    """Return the glob that matches exactly this path."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def values(rows: Sequence[str]) -> str:
    """Return a list of rows, each of which is SQL expressions joined by commas."""
    return "(VALUES\n  (" + "),\n  (".join(rows) + ")\n)"


def table(types: Mapping[str, object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of very many rows, whose columns have these types: JSON's lists are lists.

    It is one text, a list for each column: DuckDB takes 2 KB to plan a constant, 60 KB for a row of
    some lists, and three times as much for a list of rows. It is no constant of the query, either,
    or what it says would be held as some hundred bytes a value while that is planned.
    """
    held = list(rows)
    lists = {name: [row[at] for row in held] for at, name in enumerate(types)}
    kinds = {name: [kind] for name, kind in types.items()}
    columns = ", ".join(f'unnest(columns."{name}") AS "{name}"' for name in types)
    return (
        f"(SELECT {columns}\n"
        f"  FROM (SELECT from_json(said, {text(json.dumps(kinds))}) AS columns\n"
        f"    FROM (VALUES ({text(json.dumps(lists))})) AS texts(said)))"
    )


def nothing(types: Mapping[str, str]) -> str:
    """Return a query without a row, whose columns have these types."""
    columns = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in types.items())
    return f"SELECT {columns} WHERE false"


def list_of(items: Iterable[object], kind: str) -> str:
    """Return a SQL list, all of whose items are of one type."""
    return f"[{', '.join(map(str, items))}]::{kind}[]"
