"""Rows of an inventory's parts, read by DuckDB, and sorted in bounded memory.

Runs that fit the memory are sorted one by one and merged: DuckDB's own sort was seen to run out of
memory, now and then, where it had to spill.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from parchunk.errors import InputError
from parchunk.inventories.queries import UNREADABLE, Rows, quoted
from parchunk.inventories.sorted_objects import GROUP_ROWS, SCHEMA, TAGGED, SortedObjects
from parchunk.inventories.sorted_rows import rows_writer

#: What is used beside DuckDB and runs: what writes rows, buffers of files, the allocator's slack.
_BESIDE = 64 << 20
#: The least that DuckDB reads with, and of a run.
_LEAST = 96 << 20
_LEAST_RUN = 8 << 20
#: The most of a run: Arrow joins no texts of more than 2 GiB.
_MOST_RUN = 1 << 30
#: Rows of a row group of a run: a few of each are held while all are merged.
_RUN_GROUP = 4_096
#: Row groups of runs that are merged at a time.
_GROUPS = 64
#: Segments that no path has, and characters that no reader can ask for.
_ODD = r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]"


class Sorter:
    """DuckDB over the parts of one inventory, in a folder of its own."""

    def __init__(
        self,
        rows: Sequence[Rows],
        folder: Path,
        memory: int,
        where: str,
        run_bytes: int | None = None,
    ) -> None:
        """Begin; ``where`` is what messages call the inventory.

        ``run_bytes`` are sorted together, by default a share of ``memory``.
        """
        import duckdb  # here, as most commands have no inventory to read

        self._rows, self._where, self._folder = rows, where, folder
        self._identity = rows[0].identity
        self._schema = TAGGED if self._identity == "etag" else SCHEMA
        self._run_bytes = run_bytes or run_bytes_within(memory)
        within = max((memory - _BESIDE) // 2, _LEAST)
        self._paths: list[Path] = []
        for at, one in enumerate(rows):
            # Names of its own: what stands in a user's could mean something to DuckDB.
            path = folder / f"in-{at}{'.csv' if one.part.text else '.parquet'}"
            path.symlink_to(one.part.path.resolve())
            self._paths.append(path)
        spill = folder / "spill"
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{within}B",
                "temp_directory": f"{spill}",
                "threads": 2 if within >= 2 * _LEAST else 1,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
            }
        )
        self._connection.execute("SET TimeZone='UTC'")

    def close(self) -> None:
        """Give back what DuckDB holds."""
        self._connection.close()

    def count(self) -> int:
        """Return how many rows there are in all parts, of whatever kind."""
        tables = [one.table(path) for one, path in zip(self._rows, self._paths, strict=True)]
        return sum(self._asked(f"SELECT count(*) FROM {table}")[0][0] for table in tables)

    def present(self, keys: Sequence[str]) -> Collection[str]:
        """Return those of some keys that are there."""
        asked = ", ".join(map(quoted, keys))
        found: set[str] = set()
        for query in self._queries:
            rows = self._asked(f"SELECT DISTINCT key FROM ({query}) WHERE key IN ({asked})")
            found |= {key for (key,) in rows}
        return found

    def refuse_buckets(self, begin: str) -> None:
        """Refuse rows below ``begin`` of more than one bucket, where none was asked for.

        Raises
        ------
        InputError
            Naming two of them.
        """
        found: set[str] = set()
        for one, query in zip(self._rows, self._queries, strict=True):
            if one.columns.bucket is not None and one.bucket is None:
                below = f"starts_with(key, {quoted(begin)})"
                asked = f"SELECT DISTINCT bucket FROM ({query}) WHERE {below} LIMIT 3"
                found |= {bucket for (bucket,) in self._asked(asked) if bucket}
        if len(found) > 1:
            raise InputError(
                f"{self._where} has rows of several buckets ({', '.join(sorted(found)[:3])}) below "
                f"{begin!r}, and any may be meant: leave out those of others"
            )

    def examples(self) -> list[str]:
        """Return some keys, for messages."""
        asked = f"SELECT key FROM ({self._queries[0]}) WHERE key IS NOT NULL LIMIT 3"
        return [key for (key,) in self._asked(asked)]

    def batches(self, begin: str, folder: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows whose keys begin with ``begin``, sorted, and below ``folder`` instead.

        Of rows with one key, those without a time come last.

        Raises
        ------
        InputError
            Naming the key that has no size, or whose time cannot be read; when a row has no key.
        """
        path = f"{quoted(folder)} || substr(key, {len(begin) + 1})"
        below = f"starts_with(key, {quoted(begin)}) AND length(key) > {len(begin)}"
        wanted = f"key IS NULL OR ({below})"
        runs: list[SortedObjects] = []
        held: list[pa.RecordBatch] = []
        size = 0
        with self._failures_told():
            for batch in self._read(path, wanted):
                self._refuse_undecided(batch)
                rows = _checked(batch, self._where, self._identity)
                held.append(rows)
                size += rows.nbytes
                if size >= self._run_bytes:
                    runs.append(self._run(held, len(runs)))
                    held, size = [], 0
            if not runs:
                yield from self._in_order(held).to_batches(GROUP_ROWS)
                return
            runs.append(self._run(held, len(runs)))
            held = []
            yield from self._merged(runs)

    def _refuse_undecided(self, batch: pa.RecordBatch) -> None:
        """Refuse a delete marker of which nothing says whether it is the latest version."""
        if batch["size"].null_count and any(one.columns.undecided for one in self._rows):
            key = batch["path"].filter(pc.is_null(batch["size"]))[0].as_py()
            raise InputError(
                f"{self._where}: {key} is a delete marker, or has no size, and no column is_latest "
                "says which version is the latest, so that what was deleted cannot be told: give "
                "an inventory with it, or a table of the latest versions alone, without the column "
                "of delete markers"
            )

    def _in_order(self, rows: Sequence[pa.RecordBatch]) -> pa.Table:
        """Return rows that fit the memory, sorted."""
        unsorted = pa.Table.from_batches(rows, self._schema)
        untimed = unsorted["modified"].null_count
        keys = ["path", "modified"] if 0 < untimed < len(unsorted) else ["path"]
        order = pc.sort_indices(unsorted, [(key, "ascending") for key in keys])
        return unsorted.take(order).combine_chunks()

    def _run(self, rows: Sequence[pa.RecordBatch], at: int) -> SortedObjects:
        """Write rows as a sorted run."""
        file = self._folder / f"run-{at}.parquet"
        with rows_writer(file, self._schema) as writer:
            for batch in self._in_order(rows).to_batches(_RUN_GROUP):
                writer.write_batch(batch)
        return SortedObjects(str(file), 0, "", datetime.min)

    def _merged(self, runs: Sequence[SortedObjects]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of sorted runs, sorted: of all of them from one key to another at a time.

        Those keys are the first ones of row groups, every so many, which bounds what is held.
        """
        firsts = sorted(first for run in runs for first in run.firsts)
        ends = [*dict.fromkeys(firsts[_GROUPS::_GROUPS]), None]
        start = ""
        for end in ends:
            rows = [batch for run in runs for batch in run.between(start, end)]
            yield from self._in_order(rows).to_batches(GROUP_ROWS)
            start = end or ""

    @property
    def _queries(self) -> list[str]:
        """What is asked of each part; of one after another, as each that is open has buffers."""
        return [one.query(path) for one, path in zip(self._rows, self._paths, strict=True)]

    def _read(self, path: str, wanted: str) -> Iterator[pa.RecordBatch]:
        for query in self._queries:
            names = ", ".join(self._schema.names[1:])
            asked = f"SELECT {path} AS path, {names} FROM ({query}) WHERE {wanted}"
            yield from self._connection.sql(asked).to_arrow_reader(GROUP_ROWS)

    def _asked(self, query: str) -> list[tuple[Any, ...]]:
        with self._failures_told():
            return self._connection.sql(query).fetchall()

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Turn an error of DuckDB's into one that says what to do."""
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise InputError(
                f"{self._where} cannot be sorted in that much memory, or in that much space on "
                f"disk ({_first(error)[:160]}): give more --memory, or set TMPDIR to a folder with "
                "more space"
            ) from None
        except duckdb.Error as error:
            first = _first(error)
            for one, path in zip(self._rows, self._paths, strict=True):
                first = first.replace(str(path), one.part.name).replace(path.name, one.part.name)
            raise InputError(
                f"{self._where} cannot be read ({first[:300]}): it was cut off or damaged; give it "
                "as it was written"
            ) from None


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def run_bytes_within(memory: int) -> int:
    """Return how many bytes of rows are sorted together where sorting may take ``memory``.

    They are held three times meanwhile; the other half is DuckDB's.
    """
    return min(max((memory - _BESIDE) // 6, _LEAST_RUN), _MOST_RUN)


def _checked(batch: pa.RecordBatch, where: str, identity: str = "none") -> pa.RecordBatch:
    """Return rows whose sizes are there, whose times can be read, and whose keys are paths."""
    paths, sizes, modified = (batch[name] for name in SCHEMA.names)  # and perhaps entity tags
    if paths.null_count:
        raise InputError(f"{where}: a row has no key: {_LEAVE}")
    if sizes.null_count:
        key = paths.filter(pc.is_null(sizes))[0].as_py()
        raise InputError(f"{where}: {key} has no size, or none that can be read: {_LEAVE}")
    unreadable = pc.equal(modified, UNREADABLE)
    if pc.any(unreadable).as_py():
        key = paths.filter(unreadable)[0].as_py()
        raise InputError(
            f"{where}: the time of {key} cannot be read, or is a day: write times as "
            "2026-11-29T00:00:00Z, or leave that column out"
        )
    odd = pc.match_substring_regex(pc.replace_substring_regex(paths, "/$", ""), _ODD)
    if pc.any(odd).as_py():
        key = paths.filter(odd)[0].as_py()
        raise InputError(
            f"{where}: the key {key[:200]!r} has an empty, '.' or '..' segment or a control "
            f"character, which no reader can ask for: {_LEAVE}"
        )
    _require_identity(batch, where, identity)
    columns, schema = [paths, sizes, modified], SCHEMA
    if identity == "etag":
        columns, schema = [*columns, batch["etag"]], TAGGED
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _require_identity(batch: pa.RecordBatch, where: str, identity: str) -> None:
    """Refuse a row that is an object's and does not say what is kept of it."""
    if identity == "none":
        return
    name, what = {"time": ("modified", "time"), "etag": ("etag", "entity tag")}[identity]
    column = batch[name]
    lacking = pc.equal(pc.coalesce(column, ""), "") if identity == "etag" else pc.is_null(column)
    lacking = pc.and_(lacking, pc.greater(pc.fill_null(batch["size"], 0), 0))
    if pc.any(lacking).as_py():
        key = batch["path"].filter(lacking)[0].as_py()
        raise InputError(
            f"{where}: {key} has no {what}, which --identity {identity} keeps: give an inventory "
            "that says it of all objects, or another --identity"
        )


_LEAVE = "repair that row, or leave it out of a table that is given instead"
