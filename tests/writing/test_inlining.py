"""Inlined chunks: every byte reaches every reader, or none is written."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from fsspec.implementations.reference import ReferenceFileSystem
from hypothesis import given
from hypothesis import strategies as st
from tests.auditing.rewriting import rewrite
from tests.writing.v2_store import v2_store

import parchunk
from parchunk.out import inlined, record_files
from parchunk.out.opening import open_output

Reader = Callable[..., zarr.Group]

pytestmark = pytest.mark.usefixtures("quiet_zarr")


# Bytes that begin as encoded ones do


def as_fsspec_reads(raw: bytes) -> bytes:
    """Return what fsspec gives for inlined bytes."""
    return ReferenceFileSystem({"a": raw}).cat("a")


chunks = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda tail: b"base64:" + tail),
    st.binary(max_size=40).map(lambda tail: b"base64:" + base64.b64encode(tail)),
)


@given(chunks)
def test_what_is_stored_is_read_as_the_chunk(chunk: bytes) -> None:
    raw = inlined.stored(chunk)
    assert as_fsspec_reads(raw) == inlined.original(raw) == chunk
    assert not inlined.is_misread(raw)
    assert (raw == chunk) == (not chunk.startswith(b"base64:"))


@given(st.lists(st.one_of(st.none(), chunks), max_size=12))
def test_the_column_holds_every_chunk(rows: list[bytes | None]) -> None:
    column = inlined.column(rows)
    column.validate(full=True)
    stored = [None if row is None else inlined.stored(row) for row in rows]
    assert column.to_pylist() == stored
    assert inlined.lengths(column).tolist() == [len(row or b"") for row in rows]


@given(chunks)
def test_bytes_that_readers_would_decode_are_told(raw: bytes) -> None:
    chunk = inlined.original(raw)
    if inlined.is_misread(raw):
        assert chunk == raw
    else:
        assert as_fsspec_reads(raw) == chunk


HOSTILE = b"base64:AAAAAAAAA"


@pytest.fixture(params=["plain v2", "plain v3", "sharded"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An array of three chunks without compression, one of which begins with ``base64:``."""
    size = len(HOSTILE)
    root = zarr.open_group(
        tmp_path / "s.zarr", mode="w", zarr_format=2 if request.param == "plain v2" else 3
    )
    root.create_array(
        "a", shape=(3 * size,), chunks=(size,), dtype="u1", compressors=None,
        **({"shards": (3 * size,)} if request.param == "sharded" else {}),
    )[...] = np.frombuffer(b"x" * size + HOSTILE + b"base64" * 2 + b"base", "u1")  # fmt: skip
    return tmp_path / "s.zarr"


def test_chunks_that_begin_with_base64_survive_inlining(
    hostile: Path, tmp_path: Path, open_references: Reader
) -> None:
    out = tmp_path / "refs"
    result = parchunk.build(parchunk.plan(str(hostile), inline_threshold=100), str(out))
    assert sum(receipt.inlined for receipt in result.receipts) == 3
    wanted = zarr.open_group(hostile, mode="r")["a"][...]
    assert (open_references(out)["a"][...] == wanted).all()
    assert parchunk.audit(str(out), against_source=True).findings == ()
    sizes = parchunk.connect(str(out)).execute("SELECT DISTINCT size, inlined FROM refs")
    assert sizes.fetchall() == [(len(HOSTILE), True)]


def test_chunks_that_begin_with_base64_reach_icechunk(hostile: Path, tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    out = str(tmp_path / "refs")
    parchunk.build(parchunk.plan(str(hostile), inline_threshold=100), out)
    parchunk.to_icechunk(out, str(tmp_path / "repo"), publish=True)
    session = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main")
    wanted = zarr.open_group(hostile, mode="r")["a"][...]
    assert (zarr.open_group(session.store, mode="r")["a"][...] == wanted).all()


def test_an_older_build_that_stored_them_as_they_are_is_damage(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_references: Reader
) -> None:
    out = tmp_path / "refs"
    with monkeypatch.context() as older:
        older.setattr(inlined, "stored", lambda chunk: chunk)
        parchunk.build(parchunk.plan(str(hostile), inline_threshold=100), str(out))
    (found,) = parchunk.audit(str(out)).findings
    assert found.kind == "wrong-encoding"
    assert "begin with base64: and are not encoded" in found.message
    receipt = next((out / ".parchunk/receipts").rglob("*.json"))
    assert receipt.name in found.remedy
    receipt.unlink()
    parchunk.build(parchunk.plan(str(hostile), inline_threshold=100), str(out))
    assert parchunk.audit(str(out)).complete
    wanted = zarr.open_group(hostile, mode="r")["a"][...]
    assert (open_references(out)["a"][...] == wanted).all()


# What the plan inlines, and nothing else


def forge(out: Path, change: Callable[[dict[str, list[Any]]], None]) -> None:
    """Change the rows of a record file, and make its receipt anew to match."""
    path = out / "a/refs.0.parq"
    rewrite(path, change)
    table = pq.read_table(path)
    raw = table["raw"].combine_chunks()
    data = path.read_bytes()
    receipt = next((out / ".parchunk/receipts/a").glob("*.json"))
    document = json.loads(receipt.read_text())
    file = document["record_files"][0]
    file[3:] = [len(data), record_files.digest(data)]
    document["inlined"] = len(raw) - raw.null_count
    sizes = np.array(table["size"]) + inlined.lengths(raw)
    document["bytes"] = int(sizes.sum())
    receipt.write_text(json.dumps(document))


@pytest.mark.parametrize("threshold", [0, 10, 20])
def test_rows_are_inlined_as_the_plan_says_or_are_damage(tmp_path: Path, threshold: int) -> None:
    source, out = v2_store(tmp_path / "s.zarr", 6, 20), tmp_path / "refs"
    parchunk.build(parchunk.plan(str(source), inline_threshold=threshold), str(out))
    assert parchunk.audit(str(out)).findings == ()

    def swap(columns: dict[str, list[Any]]) -> None:
        if columns["raw"][2] is None:
            columns["path"][2], columns["size"][2], columns["raw"][2] = None, 0, b"x" * 20
        else:
            columns["path"][2] = f"{source}/a/2"
            columns["size"][2], columns["raw"][2] = 20, None

    forge(out, swap)
    (found,) = parchunk.audit(str(out)).findings
    assert (found.kind, found.severity, found.key) == ("wrong-size", "damage", "a/2")
    said = {0: "inlines nothing", 10: "chunks of 1 to 10 bytes", 20: "chunks of up to 20 bytes"}
    assert said[threshold] in found.message


def test_many_inlined_bytes_are_several_row_groups_that_read_alike(
    tmp_path: Path, open_references: Reader
) -> None:
    # Some row groups are without inlined chunks, some without references, one has missing chunks.
    source = v2_store(tmp_path / "s.zarr", 60, 900_000)
    for number in (*range(20, 30), 41, 59):
        (source / f"a/{number}").write_bytes(os.urandom(1_000_000))
    for number in (3, 25, 50):
        (source / f"a/{number}").unlink()
    document = json.loads((source / "a/.zarray").read_text())
    (source / "a/.zarray").write_text(json.dumps({**document, "dtype": "|V900000"}))
    out = tmp_path / "refs"
    plan = parchunk.plan(str(source), inline_threshold=900_000)
    parchunk.build(plan, str(out))
    assert pq.ParquetFile(out / "a/refs.0.parq").num_row_groups > 5
    references = fsspec.filesystem("reference", fo=str(out), remote_protocol="file")
    for number in range(60):
        path = source / f"a/{number}"
        if path.exists():
            assert references.cat(f"a/{number}") == path.read_bytes()
        else:
            with pytest.raises(FileNotFoundError):
                references.cat(f"a/{number}")
    assert {f.severity for f in parchunk.audit(str(out)).findings} <= {"gap", "notice"}
    rows = parchunk.connect(str(out)).execute("SELECT chunk_number, size FROM refs ORDER BY 1")
    for number, size in rows.fetchall():
        path = source / f"a/{number}"
        assert size == (path.stat().st_size if path.exists() else None)


# The source changes meanwhile


class _Changing:
    """A store on which something happens before the second ranged read."""

    def __init__(self, store: Any, change: Callable[[], None]) -> None:
        self._store, self._change, self.reads = store, change, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get(self, path: str, *, options: Any = None) -> Any:
        if options:
            self.reads += 1
            if self.reads == 2:
                self._change()
        return self._store.get(path, options=options) if options else self._store.get(path)


def test_a_shard_replaced_by_one_of_equal_length_is_not_inlined(tmp_path: Path) -> None:
    from dataclasses import replace

    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(40,), chunks=(4,), shards=(40,), dtype="u1", compressors=None
    )
    array[...] = np.arange(40)
    plan = parchunk.plan(str(tmp_path / "s.zarr"), inline_threshold=10)
    assert plan.source is not None

    def rewrite() -> None:
        length = (tmp_path / "s.zarr/a/c/0").stat().st_size
        array[...] = np.arange(40)[::-1]
        assert (tmp_path / "s.zarr/a/c/0").stat().st_size == length

    store: Any = _Changing(plan.source.store, rewrite)
    changing = replace(plan, source=replace(plan.source, store=store))
    with pytest.raises(parchunk.SourceError, match="a/c/0 changed while it was read"):
        parchunk.build(changing, str(tmp_path / "refs"))
    assert store.reads == 2
    assert not (tmp_path / "refs/.zmetadata").exists()
    parchunk.build(plan, str(tmp_path / "refs"))
    assert parchunk.audit(str(tmp_path / "refs"), against_source=True).complete


@pytest.mark.parametrize("change", [b"more", b"less"])
def test_a_chunk_of_another_length_than_listed_is_not_inlined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    source = v2_store(tmp_path / "s.zarr", 6, 20)
    get = parchunk.Source.get

    def changed(self: parchunk.Source, key: str) -> bytes | None:
        data = get(self, key)
        if key != "a/3" or data is None:
            return data
        return data + b"more" if change == b"more" else data[:-4]

    monkeypatch.setattr(parchunk.Source, "get", changed)
    with pytest.raises(parchunk.SourceError, match=r"a/3 was listed with 20 bytes and now has"):
        parchunk.build(parchunk.plan(str(source), inline_threshold=20), str(tmp_path / "refs"))


def test_inlined_inner_chunks_keep_no_offset(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    array = root.create_array("a", shape=(400,), chunks=(40,), shards=(400,), dtype="u1")
    array[...] = [*range(1, 201), *[7] * 200]
    sizes = {row["size"] for row in rows_of(tmp_path, "none", 0)}
    threshold = sorted(sizes)[0]
    rows = rows_of(tmp_path, "some", threshold)
    kept = [row for row in rows if row["raw"] is not None]
    assert 0 < len(kept) < len(rows)
    assert {(row["path"], row["offset"], row["size"]) for row in kept} == {(None, 0, 0)}
    assert all(row["size"] > threshold for row in rows if row["raw"] is None)
    assert parchunk.audit(str(tmp_path / "some")).findings == ()


def rows_of(folder: Path, out: str, threshold: int) -> list[dict[str, Any]]:
    plan = parchunk.plan(str(folder / "s.zarr"), inline_threshold=threshold)
    parchunk.build(plan, open_output(str(folder / out)))
    rows: list[dict[str, Any]] = pq.read_table(folder / out / "a/refs.0.parq").to_pylist()
    return rows
