"""Object files: what tells the versions of a record file's objects apart, row by row.

They lie in OUT/.parchunk/objects, by the names of the record files that they are beside, and have
one column: ``last_modified`` or ``etag``, null where a chunk is missing. Of an expanded array they
are of the shard that a chunk lies in. Readers of references do not look at them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.errors import InputError
from parchunk.out.output import OBJECTS, Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import digest, record_path

#: The column of each kind of identity.
FIELDS: Mapping[str, pa.Field] = {
    "time": pa.field("last_modified", pa.timestamp("us")),
    "etag": pa.field("etag", pa.string()),
}


def objects_path(array: str, index: int) -> str:
    """Return the path below OUT of the object file that is beside a record file."""
    return f"{OBJECTS}/{record_path(array, index)}"


def no_objects(identity: str, count: int) -> pa.Array:
    """Return the column of ``count`` rows that are of no objects."""
    return pa.nulls(count, FIELDS[identity].type)


def encode_objects(identity: str, column: pa.Array, shared: bool) -> bytes:
    """Return the Parquet file of a column; equal rows give equal bytes.

    Rows that are ``shared`` are of few objects: their values are stored once.
    """
    table = pa.Table.from_arrays([column], schema=pa.schema([FIELDS[identity]]))
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=shared,
        row_group_size=max(len(column), 1),
        store_schema=False,
    )
    return sink.getvalue()


def read_objects(output: Output, array: str, file: RecordFile, identity: str) -> pa.Array | None:
    """Return the column beside a record file of a receipt, None where nothing was kept beside it.

    Raises
    ------
    InputError
        When it is gone, or is not what the receipt says.
    """
    if identity == "none" or not file.objects:
        return None
    path = objects_path(array, file.index)
    data = output.get(path)
    if data is None or digest(data) != file.objects:
        what = "is gone" if data is None else "is not what its receipt says"
        raise InputError(
            f"{output.describe(path)} {what}: run parchunk update OUT --arrays {array}, which "
            "lists all of it again"
        )
    return decode_objects(data, identity, file.rows)


def decode_objects(data: bytes, identity: str, rows: int) -> pa.Array:
    """Return the column of an object file.

    Raises
    ------
    InputError
        When it is none of so many rows.
    """
    field = FIELDS[identity]
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as opened:
            table = opened.read(use_threads=False)
        column = table.column(field.name).combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0][:160]
        raise InputError(f"what is kept of objects cannot be read: {reason}") from None
    found = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if len(found) != rows or found.type != field.type:
        raise InputError(f"what is kept of objects is not of {rows} rows")
    return found
