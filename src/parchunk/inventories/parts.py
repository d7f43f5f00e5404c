"""Parts: files of rows, recognised by their content, as DuckDB reads them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

from parchunk.errors import InputError
from parchunk.inventories.columns import is_known
from parchunk.inventories.json_objects import json_objects

_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
#: Rows that are held while a stream of them is written to a file.
_ROWS = 50_000
#: Bytes that are unpacked at a time.
_BLOCK = 1 << 20
#: Bytes of a manifest, at most: it names parts, some thousands.
_MANIFEST = 1 << 24


@dataclass(frozen=True)
class Part:
    """A file of rows: ``name`` for messages, its ``columns`` and, of Parquet, their types.

    ``text`` says that it is CSV, in which every value is text; ``delimiter``, ``header`` (whether
    its first line is one) and ``packed`` (by gzip) say how.
    """

    name: str
    path: Path
    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...] = ()
    text: bool = False
    delimiter: str = ","
    header: bool = True
    packed: bool = False


def small_document(path: Path) -> Any:
    """Return what a file holds if it is a JSON object of a size that a manifest may have."""
    if path.stat().st_size > _MANIFEST:
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def recognised(
    path: Path, name: str, spool: Path, header: tuple[str, ...] | None = None, sure: bool = False
) -> Part:
    """Return a file as a part; JSON and ORC become Parquet at ``spool``.

    ``header`` are the columns of a CSV without a header. ``sure``: its checksum is right, so that
    nothing is cut off.

    Raises
    ------
    InputError
        When it is nothing that is read, or cut off.
    """
    with path.open("rb") as file:
        magic = file.read(8)
    for begin, what in _OTHERS.items():
        if magic.startswith(begin):
            raise InputError(f"{name} is packed by {what}: unpack it, or pack it by gzip")
    if magic.startswith(b"PAR1"):
        return _parquet(path, name)
    if magic.startswith(b"ORC"):
        try:
            stored = orc.ORCFile(path)
            stripes = (stored.read_stripe(at) for at in range(stored.nstripes))
            return _spooled(stripes, stored.schema, name, spool)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{name} cannot be read as ORC ({_first(error)}): {_WHOLE}") from None
    packed = magic.startswith(_GZIP)
    start = _first_text(path, name)
    if start[:1] in ("{", "["):
        with _text_of(path, packed) as file:
            return _spooled_objects(json_objects(file, name), name, spool)
    if not start:
        if header is not None and sure:  # as where a manifest has a part for no rows
            return Part(name, path, header, text=True, header=False, packed=packed)
        raise InputError(f"{name} is empty: {_WHOLE}")
    if not sure:
        _refuse_unended(path, name, packed)
    return _csv(path, name, start, header, packed)


def spooled_stream(stream: Any, name: str, spool: Path) -> Part:
    """Return an Arrow stream (whatever exports one, a table, too) as a part at ``spool``.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        reader = pa.RecordBatchReader.from_stream(stream)
    except (TypeError, pa.ArrowException) as error:
        raise InputError(
            f"{name} is no Arrow stream or table, and no DuckDB relation ({_first(error)}): give "
            "one of those"
        ) from None
    return _spooled(reader, reader.schema, name, spool)


_WHOLE = "it was cut off, or is of another format; give the whole file"


def _parquet(path: Path, name: str) -> Part:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} cannot be read as Parquet ({_first(error)}): {_WHOLE}") from None
    return Part(name, path, tuple(schema.names), tuple(schema.types))


def _spooled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, name: str, spool: Path) -> Part:
    with pq.ParquetWriter(spool, schema, compression="zstd") as writer:
        for batch in batches:
            if batch.num_rows:
                writer.write_table(pa.Table.from_batches([batch.cast(schema)]))
    return Part(name, spool, tuple(schema.names), tuple(schema.types))


def _spooled_objects(objects: Iterator[dict[str, Any]], name: str, spool: Path) -> Part:
    """Write objects as rows, every value as text: what they mean is decided in one place."""
    held = list(islice(objects, _ROWS))
    names = list(dict.fromkeys(member for found in held for member in found))
    schema = pa.schema([pa.field(member, pa.string()) for member in names])

    def batches() -> Iterator[pa.RecordBatch]:
        rows = held
        while rows:
            yield from _as_rows(rows, schema).to_batches()
            rows = list(islice(objects, _ROWS))
            late = {member for found in rows for member in found} - {*names}
            if any(map(is_known, late)):
                raise InputError(
                    f"{name}: {sorted(filter(is_known, late))[0]!r} comes first after {_ROWS:,} "
                    "objects: write its members in all of them"
                )

    return _spooled(batches(), schema, name, spool)


def _as_rows(held: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array([_text(found.get(name)) for found in held], pa.string()) for name in schema.names
    ]
    return pa.table(columns, schema=schema)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _csv(path: Path, name: str, start: str, header: tuple[str, ...] | None, packed: bool) -> Part:
    line = start.splitlines()[0]
    delimiter = "\t" if "\t" in line and header is None else ","
    first = next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    if header is not None:
        if len(first) != len(header):
            raise InputError(
                f"{name} has {len(first)} columns, and its manifest names {len(header)}: give the "
                "manifest.json that belongs to it"
            )
        return Part(name, path, header, text=True, header=False, packed=packed)
    return Part(name, path, tuple(first), text=True, delimiter=delimiter, packed=packed)


def _text_of(path: Path, packed: bool) -> IO[str]:
    if packed:
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _first_text(path: Path, name: str) -> str:
    """Return how a text begins: some lines, without what stands before the first of them."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            start: bytes = file.read(1 << 16)
        return start.decode("utf-8-sig", "strict" if len(start) < 1 << 16 else "ignore").lstrip()
    except (OSError, EOFError, UnicodeError) as error:
        raise InputError(
            f"{name} is no text that can be read ({_first(error)}): {_WHOLE}"
        ) from None


def _refuse_unended(path: Path, name: str, packed: bool) -> None:
    """Refuse a table whose last line may have been cut off amid a number."""
    last = b""
    if packed:  # what was cut off before it was packed, as on its way to gzip, is whole as a file
        try:
            with gzip.open(path) as text:
                while block := text.read(_BLOCK):
                    last = block[-1:]
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name} cannot be unpacked ({_first(error)}): {_WHOLE}") from None
    else:
        with path.open("rb") as file:
            file.seek(-1, io.SEEK_END)
            last = file.read(1)
    if last not in (b"\n", b"\r"):
        raise InputError(
            f"{name} does not end with a line's end, so it may have been cut off: give the whole "
            "file, or end its last line"
        )


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:120] or type(error).__name__
