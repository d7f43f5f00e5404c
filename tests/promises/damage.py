"""References that are damaged, and how what an audit says of them is followed."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from parchunk.auditing.findings import Finding
from parchunk.cli.main import run


def write(source: Path, length: int) -> None:
    group = zarr.open_group(source, mode="a", zarr_format=2)
    for name in ("t", "g/whole"):
        if name not in group:
            group.require_group("g")
            shape = (length,) if name == "t" else (4,)
            array = group.create_array(name, shape=shape, chunks=(1,), dtype="i4")
            array.attrs["_ARRAY_DIMENSIONS"] = ["time" if name == "t" else "x"]
        elif name == "t":
            array = group[name]
            array.resize((length,))
        else:
            continue
        array[:] = np.arange(1, array.shape[0] + 1)


DELTA = {"path": "DELTA_BYTE_ARRAY"}


def rows(out: Path, name: str, change: Callable[[pa.Table], pa.Table], **how: object) -> None:
    path = out / name
    pq.write_table(change(pq.read_table(path)), path, **{"use_dictionary": False, **how})


def put(column: str, value: int) -> Callable[[pa.Table], pa.Table]:
    """Return what puts a value into the first row of a column."""

    def change(table: pa.Table) -> pa.Table:
        values = pa.array([value, *table[column].to_pylist()[1:]], pa.int64())
        return table.set_column(table.column_names.index(column), column, values)

    return change


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


RECEIPTS = ".parchunk/receipts"
DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "root gone": lambda out, source: (out / ".zmetadata").unlink(),
    "root edited": lambda out, source: edit(out / ".zmetadata", record_size=9),
    "root is none": lambda out, source: (out / ".zmetadata").write_text("no"),
    "receipt broken": lambda out, source: (out / RECEIPTS / "t/1.json").write_text("no"),
    "receipt of no partition": lambda out, source: (out / RECEIPTS / "t/77.json").write_bytes(
        (out / RECEIPTS / "t/1.json").read_bytes()
    ),
    "receipt contradicts": lambda out, source: edit(out / RECEIPTS / "t/1.json", bytes=1),
    "receipt gone": lambda out, source: (out / RECEIPTS / "t/1.json").unlink(),
    "receipt of a whole array": lambda out, source: edit(
        out / RECEIPTS / "g/whole/whole.json", bytes=1
    ),
    "file gone": lambda out, source: (out / "t/refs.0.parq").unlink(),
    "file unreadable": lambda out, source: (out / "t/refs.0.parq").write_bytes(b"no"),
    "file of another": lambda out, source: (out / "t/refs.0.parq").write_bytes(
        (out / "t/refs.1.parq").read_bytes()
    ),
    "file too many": lambda out, source: (out / "t/refs.99.parq").write_bytes(b""),
    "rows gone": lambda out, source: rows(out, "t/refs.0.parq", lambda t: t.slice(1)),
    "column gone": lambda out, source: rows(out, "t/refs.0.parq", lambda t: t.drop(["raw"])),
    "chunks gone": lambda out, source: (source / "t/3").unlink(),
    "chunk of zero bytes": lambda out, source: (source / "t/3").write_bytes(b""),
    "chunks rewritten": lambda out, source: (source / "t/3").write_bytes(bytes(77)),
    "chunks of a whole array rewritten": lambda out, source: (source / "g/whole/2").write_bytes(
        bytes(77)
    ),
    "file of a whole array gone": lambda out, source: (out / "g/whole/refs.0.parq").unlink(),
    "grown": lambda out, source: write(source, 12),
    "encoded otherwise": lambda out, source: rows(
        out, "t/refs.0.parq", lambda t: t, use_dictionary=False, column_encoding=DELTA
    ),
    "no size": lambda out, source: rows(out, "t/refs.0.parq", put("size", 0)),
    "an offset": lambda out, source: rows(out, "t/refs.0.parq", put("offset", 4)),
}


#: Kinds that an audit finds, and of which of the above.
OF_DAMAGE = {
    "missing-root": "root gone",
    "wrong-root": "root edited",
    "bad-receipt": "receipt broken",
    "receipt-mismatch": "receipt contradicts",
    "unfinished": "receipt gone",
    "missing-file": "file gone",
    "unreadable-file": "file unreadable",
    "wrong-digest": "file unreadable",
    "duplicate-path": "file of another",
    "wrong-path": "file of another",
    "extra-file": "file too many",
    "wrong-rows": "rows gone",
    "wrong-columns": "column gone",
    "wrong-encoding": "encoded otherwise",
    "wrong-size": "no size",
    "wrong-offset": "an offset",
    "missing-chunks": "chunks gone",
    "zero-sized": "chunk of zero bytes",
    "gone-chunks": "chunks gone, against the source",
    "changed-chunks": "chunks rewritten, against the source",
    "source-metadata": "grown, against the source",
}


def follow(finding: Finding, out: Path, produce: Callable[[], object], file: str = "") -> None:
    """Do what a finding's remedy says; a producer writes all chunks again."""
    remedy = finding.remedy.partition("; or ")[0]
    if "producer" in remedy:
        produce()
    for path in re.findall(r"delete (\S+)", remedy):
        (out / path).unlink(missing_ok=True)
    for command in re.findall(r"parchunk (update OUT(?: --\w+(?:-\w+)*(?: [^\s-]\S*)?)*)", remedy):
        words = [word.rstrip(":,;") for word in shlex.split(command)]
        place = {"OUT": str(out), "FILE": file}
        words = [place.get(word, word) for word in words]
        assert run(words) == 0, words
