"""Labels kept in OUT: the split dimension's coordinate, decoded when the references are published.

They say in SQL, audits and statuses which dates chunks are of; references do not depend on them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.errors import ParchunkError, SourceError
from parchunk.metadata.chunk_keys import chunk_index
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import original
from parchunk.out.output import LABELS, Output
from parchunk.out.receipts import Receipt
from parchunk.out.record_files import record_path
from parchunk.planning.joining.values import read_objects, values_of
from parchunk.planning.labels import Labels, coordinates_of, label_values, labels_of_all
from parchunk.planning.plan import Plan
from parchunk.stores.oversized import Oversized
from parchunk.stores.source import Source

#: The columns of the file, as the view ``labels`` has them.
SCHEMA = pa.schema(
    [
        pa.field("dimension", pa.string(), nullable=False),
        pa.field("element", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
    ]
)
#: Labels that are written at once.
_AT_ONCE = 100_000
#: Under which key of its metadata the file says what it was made of.
_MADE_OF = b"parchunk_labels"


def keep_labels(plan: Plan, output: Output, source: Source, receipts: Iterable[Receipt]) -> None:
    """Write the labels of the split dimension, unless they are there.

    Where there is no coordinate, or it cannot be read, a file without labels says so.

    Raises
    ------
    OutputError
        When OUT cannot be written.
    """
    names = {spec.name for spec in coordinates_of(plan)}
    if not names:
        output.delete(LABELS)
        return
    own = [receipt for receipt in receipts if receipt.array in names]
    made_of = json.dumps(
        [
            plan.fingerprint,
            sorted((file.index, file.digest) for receipt in own for file in receipt.record_files),
            max((receipt.last_modified or 0 for receipt in own), default=0),
        ]
    ).encode()
    there = output.get(LABELS)
    if there is not None and _made_of(there) == made_of:
        return
    try:
        labels = read_coordinate(plan, output, source)
    except ParchunkError:
        labels, made_of = Labels(), b""  # the next time it may be to be had
    output.put(LABELS, _encoded(str(plan.split), labels, made_of))


def read_labels(output: Output) -> Labels | None:
    """Return the labels kept in OUT; None where there are none, or not in a file that is whole."""
    data = output.get(LABELS)
    if data is None or _made_of(data) is None:
        return None
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            column = file.read(["label"]).column("label")
    except (pa.ArrowException, OSError, ValueError):
        return None
    return Labels(pa.concat_arrays(column.chunks) if column.num_chunks else None)


def holds_labels(output: Output) -> bool:
    """Whether OUT holds a file of labels that is one."""
    data = output.get(LABELS)
    return data is not None and _made_of(data) is not None


def read_coordinate(plan: Plan, output: Output, source: Source) -> Labels:
    """Return the labels of the split dimension, decoded from its coordinate.

    Chunks that OUT keeps inline are taken from there, all others are read from the source. There
    are no labels where groups have coordinates that do not say the same.

    Raises
    ------
    SourceError, OutputError
        When it cannot be read.
    """
    return labels_of_all(_labels(plan, output, source, spec) for spec in coordinates_of(plan))


def _labels(
    plan: Plan, output: Output, source: Source, spec: ArraySpec
) -> Iterator[pa.StringArray]:
    absent = np.zeros(spec.shape[0], bool)
    size = spec.reference_chunks[0]
    objects = {}
    for number, chunk, path in _rows(plan, output, spec):
        if chunk is None and path is None:
            absent[number * size : (number + 1) * size] = True
        elif spec.inner_chunks is None:
            tail = spec.keys.tail(chunk_index(spec, number))
            objects[tail] = chunk if chunk is not None else _fetched(source, path or "")
    if spec.inner_chunks is not None:
        objects = read_objects(source, spec)
    yield from label_values(values_of(spec.name, spec, objects), spec, absent)


def _rows(
    plan: Plan, output: Output, spec: ArraySpec
) -> Iterable[tuple[int, bytes | None, str | None]]:
    """Yield the number, the inlined bytes, and the path of each chunk of a small array."""
    for first in range(0, spec.reference_total, plan.record_size):
        name = record_path(spec.name, first // plan.record_size)
        try:
            with pq.ParquetFile(io.BytesIO(output.get(name) or b"")) as file:
                rows = file.read(["path", "raw"]).to_pylist()
        except (pa.ArrowException, OSError, ValueError, KeyError):
            raise SourceError(f"{output.describe(name)} cannot be read") from None
        for at, row in enumerate(rows):
            raw = row["raw"]
            yield first + at, None if raw is None else original(raw), row["path"]


def _fetched(source: Source, path: str) -> bytes:
    """Return the bytes of a chunk that is a whole object."""
    within = f"{source.url}/"
    data = source.get(path.removeprefix(within)) if path.startswith(within) else None
    if data is None or isinstance(data, Oversized):
        raise SourceError(f"{path}: the coordinate's chunk cannot be read")
    return data


def _encoded(dimension: str, labels: Labels, made_of: bytes) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        SCHEMA.with_metadata({_MADE_OF: made_of}),
        compression="zstd",
        use_dictionary=["dimension"],
        column_encoding={"element": "DELTA_BINARY_PACKED", "label": "DELTA_BYTE_ARRAY"},
    ) as writer:
        for begin in range(0, len(labels), _AT_ONCE):
            part = labels.texts.slice(begin, _AT_ONCE)
            elements = np.arange(begin, begin + len(part), dtype=np.int64)
            names = pa.array([dimension], pa.string()).take(pa.array(np.zeros(len(part), np.int64)))
            writer.write_table(pa.Table.from_arrays([names, elements, part], schema=SCHEMA))
    return sink.getvalue()


def _made_of(data: bytes) -> bytes | None:
    """Return what a file of labels was made of; None when it is none."""
    try:
        schema = pq.read_schema(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError):
        return None
    if schema.names != SCHEMA.names or schema.types != SCHEMA.types:
        return None
    found: bytes | None = (schema.metadata or {}).get(_MADE_OF)
    return found
