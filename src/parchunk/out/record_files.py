"""Record files: the one place that knows how kerchunk's Parquet references are encoded.

Row ``r`` of ``refs.<i>.parq`` is the chunk with number ``i * N + r``, N the record size. The
encodings are those that fastparquet and pyarrow read right; two of pyarrow's defaults
make fastparquet lose references without an error, so none of them is left to a default.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from parchunk.errors import OutputError
from parchunk.metadata.names import record_name
from parchunk.metadata.spreading import Pairs, is_spread, spread
from parchunk.planning.plan import INLINED_BYTES

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("raw", pa.binary()),
    ]
)
#: Rows up to which references take a block of a disk however they are compressed.
_FEW = 128


@dataclass(frozen=True)
class References:
    """The rows of one record file; all columns of one length, null where a chunk is missing.

    A ``path`` that is a dictionary stays one in the file: where rows share objects, as the inner
    chunks of a shard do, their paths are spelled and stored once.
    """

    path: pa.StringArray | pa.DictionaryArray
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    raw: pa.BinaryArray

    def table(self) -> pa.Table:
        """Return the rows as a table with SCHEMA, its path perhaps as a dictionary."""
        columns = [self.path, pa.array(self.offset), pa.array(self.size), self.raw]
        schema = SCHEMA
        if self.path.type != SCHEMA.types[0]:
            schema = SCHEMA.set(0, SCHEMA.field(0).with_type(self.path.type))
        return pa.Table.from_arrays(columns, schema=schema)


def record_path(array: str, index: int) -> str:
    """Return the path below OUT of an array's record file."""
    return f"{array}/{record_name(index)}"


def record_index(array: str, numbers: NDArray[np.int64], record_size: int, total: int) -> int:
    """Return which record file of an array of ``total`` rows has the rows of these numbers.

    Raises
    ------
    OutputError
        When they are not all the rows of one record file: readers would take them for others.
    """
    index, within = divmod(int(numbers[0]), record_size)
    rows = min(record_size, total - index * record_size)
    if within or len(numbers) != rows or int(numbers[-1]) - int(numbers[0]) != rows - 1:
        raise OutputError(
            f"{array}: rows {int(numbers[0])} to {int(numbers[-1])} ({len(numbers)} in all) are no "
            f"record file of {record_size} rows: they are not written; please report this"
        )
    return index


def encode(references: References) -> bytes:
    """Return the Parquet file of one record file; equal rows give equal bytes."""
    # A column with nulls must be dictionary-encoded throughout and one without plainly: when
    # pyarrow falls back in the middle, fastparquet reads None from there on, with no error.
    dictionaries = [
        name
        for name, column in (("path", references.path), ("raw", references.raw))
        if column.null_count or pa.types.is_dictionary(column.type)
    ]
    table = references.table()
    ends = _row_groups(references.raw)
    if len(ends) > 1 and pa.types.is_dictionary(references.path.type):
        # Each row group would hold the paths of all of them.
        table = table.set_column(0, SCHEMA.field(0), references.path.dictionary_decode())
    # Arrow's own sink asks for no turn in Python at each of its writes, but holds what it has twice
    # when it grows, which would be too much of inlined chunks.
    plain = references.raw.null_count == len(references.raw)
    sink: Any = pa.BufferOutputStream() if plain else io.BytesIO()
    # For a few rows Zstandard is set up for longer than all else takes: there may be very many.
    few = plain and len(table) <= _FEW
    with pq.ParquetWriter(
        sink,
        table.schema,
        version="1.0",
        data_page_version="1.0",
        compression="snappy" if few else "zstd",
        compression_level=None if few else 1,
        use_dictionary=dictionaries,
        dictionary_pagesize_limit=2**31 - 1,
        # Without statistics fastparquet cannot tell that there are no nulls, and makes floats.
        write_statistics=["offset", "size"],
        store_schema=False,
    ) as writer:
        for begin, end in pairwise([0, *ends]):
            rows = table if len(ends) == 1 else table.slice(begin, end - begin)
            writer.write_table(rows, row_group_size=max(end - begin, 1))
    data: bytes = sink.getvalue().to_pybytes() if plain else sink.getvalue()
    return data


def have_columns(schema: pa.Schema) -> bool:
    """Whether these are the columns that a build writes."""
    return [(c.name, c.type) for c in schema] == [(c.name, c.type) for c in SCHEMA]


def are_references(batch: pa.RecordBatch) -> bool:
    """Whether rows have the columns that a build writes, without nulls where it writes none."""
    return have_columns(batch.schema) and not (
        batch.column("offset").null_count or batch.column("size").null_count
    )


def _row_groups(raw: pa.BinaryArray) -> list[int]:
    """Return where row groups end: there is one, but where many bytes are inlined."""
    if raw.null_count == len(raw):
        return [len(raw)]
    lengths = np.asarray(pc.fill_null(pc.binary_length(raw), 0)).astype(np.int64)
    groups = (np.cumsum(lengths) - lengths) // INLINED_BYTES
    return [*(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(raw)]


def digest(data: bytes) -> str:
    """Return the checksum of a file's bytes, as receipts hold it of record files."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def root_document(metadata: Iterable[tuple[str, Any]], record_size: int) -> bytes:
    """Return OUT/.zmetadata: the kerchunk root that makes the record files a store.

    ``metadata`` are keys and documents.

    ``zarr_consolidated_format`` is not kerchunk's; it lets older zarr open the store consolidated.
    """
    return spread(_root(metadata, record_size), 2)


def with_entries(root: bytes, metadata: Mapping[str, Any]) -> bytes | None:
    """Return a root with other documents at some of its keys; None where it is spelled otherwise.

    In what `root_document` gives each key has a line of its own.
    """
    edits = []
    for key, document in metadata.items():
        head = f"\n  {json.dumps(key)}: ".encode()
        begin = root.find(head) + len(head)
        end = root.find(b"\n", begin)
        line = root[begin:end]
        try:
            if begin < len(head) or end < 0 or not isinstance(json.loads(line.rstrip(b",")), dict):
                return None
        except ValueError:
            return None
        edits.append((begin, end, json.dumps(document).encode() + b"," * line.endswith(b",")))
    pieces, at = [], 0
    for begin, end, spelled in sorted(edits):
        pieces += [root[at:begin], spelled]
        at = end
    return b"".join([*pieces, root[at:]])


def is_root_document(data: bytes, metadata: Iterable[tuple[str, Any]], record_size: int) -> bool:
    """Whether bytes are what `root_document` gives."""
    return is_spread(data, _root(metadata, record_size), 2)


def _root(metadata: Iterable[tuple[str, Any]], record_size: int) -> dict[str, Any]:
    return {
        "metadata": Pairs(metadata),
        "record_size": record_size,
        "zarr_consolidated_format": 1,
    }
