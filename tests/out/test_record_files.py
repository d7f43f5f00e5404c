"""Record files through every reader there is: the data-loss traps of fastparquet stay shut."""

import io
import json
from pathlib import Path
from typing import Any

import fastparquet
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.reference import LazyReferenceMapper
from packaging.version import Version

from parchunk.out.record_files import (
    SCHEMA,
    References,
    digest,
    encode,
    record_path,
    root_document,
    with_entries,
)

#: Enough unique paths that their dictionary passes 1 MB, where pyarrow would fall back (trap 1).
MANY = 45_000
LONG = "s3://bucket/a/rather/long/prefix/store.zarr/temperature/c"


def references(kind: str, rows: int) -> References:
    """Return rows of unique paths: all present, with holes, partly inlined, all missing."""
    numbers = np.arange(rows)
    missing = {
        "dense": np.zeros(rows, bool),
        "one hole": numbers == rows // 2,
        "holes": numbers % 3 == 0,
        "nearly empty": numbers != rows - 2,
        "inlined": numbers % 2 == 0,
        "all inlined": np.ones(rows, bool),
        "missing": np.ones(rows, bool),
    }[kind]
    paths = [None if gone else f"{LONG}/{n}/0/0" for n, gone in zip(numbers, missing, strict=True)]
    raw: list[bytes | None] = [None] * rows
    if kind == "inlined":
        raw = [b"\0%d" % n if n % 4 == 0 else None for n in numbers]
    if kind == "all inlined":
        raw = [b"\xff%d" % n for n in numbers]
    sizes = np.where(missing, 0, numbers + 1)
    return References(
        pa.array(paths, pa.string()), np.zeros(rows, np.int64), sizes, pa.array(raw, pa.binary())
    )


KINDS = ["dense", "one hole", "holes", "nearly empty", "inlined", "all inlined", "missing"]


def write(folder: Path, *files: References, record_size: int) -> None:
    rows = sum(len(file.path) for file in files)
    document = {
        "zarr_format": 2,
        "shape": [rows],
        "chunks": [1],
        "dtype": "<f4",
        "compressor": None,
        "fill_value": None,
        "filters": None,
        "order": "C",
        "dimension_separator": ".",
    }
    (folder / "v").mkdir(parents=True)
    metadata = {".zgroup": {"zarr_format": 2}, "v/.zarray": document}
    (folder / ".zmetadata").write_bytes(root_document(metadata.items(), record_size))
    for index, file in enumerate(files):
        (folder / record_path("v", index)).write_bytes(encode(file))


def read_every_row(folder: Path, rows: int) -> list[object]:
    """Return what the stock reader says of every chunk; None where it says there is none."""
    mapper = LazyReferenceMapper(str(folder), fsspec.filesystem("file"))
    found: list[object] = []
    for number in range(rows):
        try:
            found.append(mapper[f"v/{number}"])
        except KeyError:
            found.append(None)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [2, 128, 129, MANY])
def test_every_row_comes_back_through_fsspec(tmp_path: Path, kind: str, rows: int) -> None:
    made = references(kind, rows)
    write(tmp_path / "refs", made, record_size=rows)
    wanted = [
        raw if raw is not None else None if path is None else [path, 0, int(size)]
        for path, size, raw in zip(
            made.path.to_pylist(), made.size, made.raw.to_pylist(), strict=True
        )
    ]
    found = read_every_row(tmp_path / "refs", rows)
    assert [row for row in range(rows) if found[row] != wanted[row]] == []


def test_files_of_two_kinds_and_a_short_last_one(tmp_path: Path) -> None:
    files = [references("dense", 100), references("holes", 100), references("missing", 37)]
    write(tmp_path / "refs", *files, record_size=100)
    found = read_every_row(tmp_path / "refs", 237)
    assert found[:100] == [[f"{LONG}/{n}/0/0", 0, n + 1] for n in range(100)]
    assert [row is None for row in found[100:200]] == [n % 3 == 0 for n in range(100)]
    assert found[200:] == [None] * 37


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 2, 5000, MANY])
def test_pyarrow_reads_the_same_rows(kind: str, rows: int) -> None:
    made = references(kind, rows)
    table = pq.read_table(io.BytesIO(encode(made)))
    assert table.schema.names == ["path", "offset", "size", "raw"]
    assert table.equals(made.table())
    assert table.schema.equals(SCHEMA)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encodings_are_those_that_all_readers_know(kind: str) -> None:
    made = references(kind, MANY)
    file = pq.ParquetFile(io.BytesIO(encode(made)))
    assert file.metadata.format_version == "1.0"
    assert file.metadata.num_row_groups == 1
    assert file.metadata.num_rows == MANY
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(4)}
    assert list(columns) == ["path", "offset", "size", "raw"]
    for name, column in columns.items():
        assert column.compression == "ZSTD"
        assert not {
            "DELTA_BYTE_ARRAY",
            "DELTA_LENGTH_BYTE_ARRAY",
            "DELTA_BINARY_PACKED",
            "BYTE_STREAM_SPLIT",
        } & set(column.encodings)
        nulls = {"path": made.path.null_count, "raw": made.raw.null_count}.get(name, 0)
        # Plain without nulls, one dictionary with them; never both kinds (trap 1).
        assert column.has_dictionary_page == bool(nulls), name
        if nulls:
            assert {"PLAIN_DICTIONARY", "RLE_DICTIONARY"} & set(column.encodings)
        else:
            assert "PLAIN" in column.encodings
    for name in ("offset", "size"):
        # Trap 2: fastparquet makes floats of integers without statistics.
        assert columns[name].is_stats_set
        assert columns[name].statistics.null_count == 0
        assert file.schema_arrow.field(name).type == pa.int64()
        assert not file.schema_arrow.field(name).nullable
    assert file.schema_arrow.field("raw").type == pa.binary()
    assert file.schema_arrow.metadata is None


def test_no_page_falls_back_from_its_dictionary() -> None:
    """The pages' own headers: what the footer calls encodings does not tell them apart."""
    from fastparquet import ParquetFile

    dictionary_page, data_page = 2, 0
    for kind in KINDS:
        made = references(kind, MANY)
        data = encode(made)
        file = ParquetFile(io.BytesIO(data))
        for column in file.row_groups[0].columns:
            about = column.meta_data
            name = about.path_in_schema[0]
            at = about.dictionary_page_offset or about.data_page_offset
            end = at + about.total_compressed_size
            encodings = []
            while at < end:
                header, length = _page_header(data, at)
                encodings.append((header.type, _encoding(header)))
                assert header.type in (dictionary_page, data_page), "no data page v2"
                at += length + header.compressed_page_size
            plain, by_dictionary = 0, {2, 8}
            data_encodings = {code for kind_, code in encodings if kind_ == data_page}
            if (made.path if name == "path" else made.raw).null_count and name in ("path", "raw"):
                assert data_encodings <= by_dictionary, (kind, name, encodings)
            else:
                assert data_encodings == {plain}, (kind, name, encodings)


def _page_header(data: bytes, at: int) -> tuple[Any, int]:
    from fastparquet.cencoding import NumpyIO, from_buffer

    buffer = NumpyIO(np.frombuffer(data, np.uint8)[at:].copy())
    header = from_buffer(buffer, "PageHeader")
    return header, buffer.tell()


def _encoding(header: Any) -> int:
    page = header.data_page_header or header.dictionary_page_header
    return int(page.encoding)


@pytest.mark.parametrize("kind", ["dense", "holes", "missing"])
def test_a_few_rows_take_a_block_of_a_disk_and_no_zstandard(kind: str) -> None:
    data = encode(references(kind, 128))
    assert len(data) <= 4096
    columns = pq.read_metadata(io.BytesIO(data)).row_group(0)
    assert {columns.column(at).compression for at in range(4)} == {"SNAPPY"}
    many = pq.read_metadata(io.BytesIO(encode(references(kind, 129)))).row_group(0)
    assert {many.column(at).compression for at in range(4)} == {"ZSTD"}


def test_equal_rows_give_equal_bytes() -> None:
    for kind in KINDS:
        one, other = encode(references(kind, 1000)), encode(references(kind, 1000))
        assert one == other
        assert digest(one) == digest(other)
    assert digest(encode(references("dense", 9))) != digest(encode(references("dense", 10)))


@pytest.mark.skipif(
    Version(fastparquet.__version__) < Version("2026.5"),
    reason="fastparquet loses references with pandas 3 since 2026.5",
)
def test_the_fact_behind_trap_one(tmp_path: Path) -> None:
    """pyarrow's defaults lose references under fastparquet: should this ever pass, simplify."""
    made = references("dense", MANY)
    write(tmp_path / "refs", made, record_size=MANY)
    pq.write_table(made.table(), tmp_path / "refs" / "v" / "refs.0.parq")
    found = read_every_row(tmp_path / "refs", MANY)
    wanted = [
        [path, 0, int(size)] for path, size in zip(made.path.to_pylist(), made.size, strict=True)
    ]
    assert sum(one != other for one, other in zip(found, wanted, strict=True)) > 1000


def test_the_root_is_what_fsspec_reads(tmp_path: Path) -> None:
    root = json.loads(root_document([(".zgroup", {"zarr_format": 2}), ("é/.zattrs", {"a": 1})], 7))
    assert root == {
        "metadata": {".zgroup": {"zarr_format": 2}, "é/.zattrs": {"a": 1}},
        "record_size": 7,
        "zarr_consolidated_format": 1,
    }


def test_documents_of_a_root_are_replaced_where_they_stand() -> None:
    """As in a root that is made of all of them anew, or not at all."""
    names = ("t/.zarray", "t/.zattrs", 'a "b"\\n/.zarray', "z/.zarray")
    before = {name: {"fill_value": None, "of": [name, "{\n"]} for name in names}
    root = root_document(before.items(), 5)
    for changed in (["t/.zarray"], ["z/.zarray", "t/.zattrs"], [names[2]], [*names], []):
        new = {name: {"fill_value": 7.0, "more": {"of": name}} for name in changed}
        assert with_entries(root, new) == root_document((before | new).items(), 5)
    assert with_entries(root, {"zz/.zarray": {}}) is None
    for indent in (None, 1, 2, 4):
        assert (
            with_entries(json.dumps(json.loads(root), indent=indent).encode(), new | before) is None
        )
    assert with_entries(root[: len(root) // 2], before) is None
