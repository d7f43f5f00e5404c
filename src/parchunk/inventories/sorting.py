"""Rows of an inventory's parts, sorted by DuckDB in bounded memory, and written to a file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parchunk.errors import InputError
from parchunk.inventories.queries import UNREADABLE, Rows, quoted
from parchunk.inventories.sorted_objects import GROUP_ROWS, SCHEMA

#: What is used beside DuckDB's own bound: batches, what writes them, buffers of files.
_BESIDE = 96 << 20
#: The least that DuckDB sorts with.
_LEAST = 64 << 20
#: Segments that no path has, and characters that no reader can ask for.
_ODD = r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]"


class Sorter:
    """DuckDB over the parts of one inventory, in a folder of its own."""

    def __init__(self, rows: Sequence[Rows], folder: Path, memory: int, where: str) -> None:
        """Begin; ``where`` is what messages call the inventory."""
        self._rows, self._where = rows, where
        self._paths: list[Path] = []
        for at, one in enumerate(rows):
            # Names of its own: what stands in a user's could mean something to DuckDB.
            path = folder / f"in-{at}{'.csv' if one.part.text else '.parquet'}"
            path.symlink_to(one.part.path.resolve())
            self._paths.append(path)
        spill = folder / "spill"
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{max(memory - _BESIDE, _LEAST)}B",
                "temp_directory": f"{spill}",
                "threads": 2,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "preserve_insertion_order": True,
            }
        )
        self._connection.execute("SET TimeZone='UTC'")

    def close(self) -> None:
        """Give back what DuckDB holds."""
        self._connection.close()

    def count(self) -> int:
        """Return how many rows there are in all parts, of whatever kind."""
        each = (
            f"SELECT count(*) AS n FROM {one.table(path)}"
            for one, path in zip(self._rows, self._paths, strict=True)
        )
        return int(self._asked(f"SELECT sum(n) FROM ({' UNION ALL '.join(each)})")[0][0])

    def present(self, keys: Sequence[str]) -> Collection[str]:
        """Return those of some keys that are there."""
        asked = ", ".join(map(quoted, keys))
        found = self._asked(f"SELECT DISTINCT key FROM ({self._all}) WHERE key IN ({asked})")
        return {key for (key,) in found}

    def examples(self) -> list[str]:
        """Return some keys, for messages."""
        return [key for (key,) in self._asked(f"SELECT key FROM ({self._all}) LIMIT 3")]

    def batches(self, begin: str, folder: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows whose keys begin with ``begin``, sorted, and below ``folder`` instead."""
        key = f"concat({quoted(folder)}, substr(key, {len(begin) + 1}))"
        query = (
            f"SELECT {key} AS path, size, modified FROM ({self._all}) "
            f"WHERE starts_with(key, {quoted(begin)}) AND length(key) > {len(begin)} "
            "ORDER BY path, size, modified"
        )
        try:
            yield from self._connection.sql(query).to_arrow_reader(GROUP_ROWS)
        except duckdb.Error as error:
            raise self._failure(error) from None

    @property
    def _all(self) -> str:
        return " UNION ALL ".join(
            one.query(path) for one, path in zip(self._rows, self._paths, strict=True)
        )

    def _asked(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.sql(query).fetchall()
        except duckdb.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: duckdb.Error) -> InputError:
        first = str(error).strip().partition("\n")[0]
        if isinstance(error, duckdb.OutOfMemoryException):
            return InputError(
                f"{self._where} cannot be sorted in that much memory, or in that much space on "
                f"disk ({first[:160]}): give more --memory, or set TMPDIR to a folder with more "
                "space"
            )
        for one, path in zip(self._rows, self._paths, strict=True):
            first = first.replace(str(path), one.part.name).replace(path.name, one.part.name)
        return InputError(
            f"{self._where} cannot be read ({first[:300]}): it was cut off or damaged; give it as "
            "it was written"
        )


def write_sorted(
    batches: Iterator[pa.RecordBatch], file: Path, taken: datetime, where: str
) -> tuple[int, str, list[str]]:
    """Write sorted rows; return how many there are, their digest, and what a user should know.

    Rows without a time are as old as the inventory, at most: they get its time.

    Raises
    ------
    InputError
        Naming the key that comes twice with two sizes or times, or that has none.
    """
    digest, count, same, untimed = _Digest(), 0, 0, 0
    known = round(taken.timestamp() * 1_000_000)
    previous: pa.RecordBatch | None = None
    with pq.ParquetWriter(
        file, SCHEMA, compression="zstd", compression_level=1, use_dictionary=False
    ) as writer:
        for batch in batches:
            untimed += batch["modified"].null_count
            rows = _checked(batch, known, where)
            rows, repeated = _once(rows, previous, where)
            same += repeated
            if rows.num_rows:
                previous = rows.slice(rows.num_rows - 1)
                digest.add(rows)
                count += rows.num_rows
                writer.write_batch(rows)
    notes = []
    if same:
        notes.append(f"{where}: {same:,} rows are in it twice, and count once")
    if untimed:
        notes.append(
            f"{where}: {untimed:,} objects have no time of their own; they count as last written "
            "no later than the inventory"
        )
    return count, digest.text, notes


def _checked(batch: pa.RecordBatch, taken: int, where: str) -> pa.RecordBatch:
    """Return rows whose sizes are there, whose times can be read, and whose keys are paths."""
    paths, sizes, modified = (batch[name] for name in SCHEMA.names)
    if sizes.null_count:
        key = paths.filter(pc.is_null(sizes))[0].as_py()
        raise InputError(f"{where}: {key} has no size, or none that can be read: {_LEAVE}")
    unreadable = pc.equal(modified, UNREADABLE)
    if pc.any(unreadable).as_py():
        key = paths.filter(unreadable)[0].as_py()
        raise InputError(
            f"{where}: the time of {key} cannot be read: write times as 2026-11-29T00:00:00Z"
        )
    odd = pc.match_substring_regex(pc.replace_substring_regex(paths, "/$", ""), _ODD)
    if pc.any(odd).as_py():
        key = paths.filter(odd)[0].as_py()
        raise InputError(
            f"{where}: the key {key[:200]!r} has an empty, '.' or '..' segment or a control "
            f"character, which no reader can ask for: {_LEAVE}"
        )
    columns = [paths, sizes, pc.fill_null(modified, taken)]
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


_LEAVE = "repair that row, or leave it out of a table that is given instead"


def _once(
    rows: pa.RecordBatch, previous: pa.RecordBatch | None, where: str
) -> tuple[pa.RecordBatch, int]:
    """Leave out rows that come again, and return how many; two that disagree are refused."""
    if previous is not None:
        rows = pa.concat_batches([previous, rows])
    repeated = np.zeros(rows.num_rows, bool)
    paths = rows["path"]
    if rows.num_rows > 1:
        equal = pc.equal(paths.slice(1), paths.slice(0, rows.num_rows - 1))
        repeated[1:] = np.asarray(equal).astype(bool)
    for at in np.flatnonzero(repeated).tolist() if repeated.any() else ():
        for name in ("size", "modified"):
            one, other = rows[name][at - 1].as_py(), rows[name][at].as_py()
            if one != other:
                raise InputError(
                    f"{where}: {paths[at].as_py()} comes twice, with two {name}s ({one} and "
                    f"{other}): give one inventory, or a column is_latest that tells versions apart"
                )
    if previous is not None:
        rows, repeated = rows.slice(1), repeated[1:]
    count = int(repeated.sum())
    return (rows.filter(pa.array(~repeated)) if count else rows), count


class _Digest:
    """A digest of rows that does not depend on how they come in batches."""

    def __init__(self) -> None:
        self._columns = [hashlib.blake2b(digest_size=16) for _ in range(4)]

    def add(self, rows: pa.RecordBatch) -> None:
        paths = rows["path"]
        text = pa.concat_arrays([paths]) if paths.offset == 0 else paths.take(_all(len(paths)))
        offsets = np.frombuffer(text.buffers()[1], np.int32, len(text) + 1)
        data = memoryview(text.buffers()[2])[int(offsets[0]) : int(offsets[-1])]
        numbers = (np.diff(offsets), *(rows[name].to_numpy() for name in ("size", "modified")))
        self._columns[0].update(data)
        for column, values in zip(self._columns[1:], numbers, strict=True):
            column.update(np.ascontiguousarray(values).tobytes())

    @property
    def text(self) -> str:
        whole = b"".join(column.digest() for column in self._columns)
        return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _all(count: int) -> pa.Array:
    return pa.array(np.arange(count))
