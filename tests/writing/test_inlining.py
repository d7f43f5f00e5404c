"""Inlined chunks: every byte reaches every reader, within the memory bound, or none is written."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from fsspec.implementations.reference import ReferenceFileSystem
from hypothesis import given
from hypothesis import strategies as st

import parchunk
from parchunk.cover.inlining import MOST, UNBOUNDED, InlineBound, needed
from parchunk.out import inlined, record_files
from parchunk.out.opening import open_output
from parchunk.out.record_files import References, encode

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


def v2_store(path: Path, count: int, size: int) -> Path:
    """Write an array of ``count`` chunks of ``size`` bytes that no codec touches."""
    (path / "a").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    document = {
        "zarr_format": 2, "shape": [count], "chunks": [1], "dtype": f"|V{size}",
        "compressor": None, "filters": None, "fill_value": None, "order": "C",
    }  # fmt: skip
    (path / "a/.zarray").write_text(json.dumps(document))
    for number in range(count):
        (path / f"a/{number}").write_bytes(os.urandom(size))
    return path


def forge(out: Path, change: Callable[[dict[str, list[Any]]], None]) -> None:
    """Change the rows of a record file, and make its receipt anew to match."""
    path = out / "a/refs.0.parq"
    columns = pq.read_table(path).to_pydict()
    change(columns)
    raw = pa.array(columns["raw"], pa.binary())
    path.write_bytes(
        encode(
            References(
                pa.array(columns["path"], pa.string()),
                np.array(columns["offset"]),
                np.array(columns["size"]),
                raw,
            )
        )
    )
    data = path.read_bytes()
    receipt = next((out / ".parchunk/receipts/a").glob("*.json"))
    document = json.loads(receipt.read_text())
    file = document["record_files"][0]
    file[3:] = [len(data), record_files.digest(data)]
    document["inlined"] = len(raw) - raw.null_count
    sizes = np.array(columns["size"]) + inlined.lengths(raw)
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


# Memory


def test_the_memory_of_inlining_is_refused_with_what_would_do(tmp_path: Path) -> None:
    source, out = v2_store(tmp_path / "s.zarr", 600, 100_000), str(tmp_path / "refs")
    options: dict[str, Any] = {"memory": 120 << 20, "concurrency": 2}
    plan = parchunk.plan(str(source), inline_threshold=100_000)
    with pytest.raises(parchunk.InputError, match="600 chunks of 60,000,000 bytes") as refused:
        parchunk.build(plan, out, **options)
    said = str(refused.value)
    assert "\n" not in said
    assert not (tmp_path / "refs/.zmetadata").exists()
    threshold = int(said.split("--inline-threshold ")[1].split()[0])
    lower = parchunk.plan(str(source), inline_threshold=threshold)
    assert (
        sum(r.inlined for r in parchunk.build(lower, out, overwrite=True, **options).receipts) == 0
    )
    shorter = parchunk.plan(str(source), inline_threshold=100_000, record_size=20)
    assert parchunk.build(shorter, out, overwrite=True, **options).present == 600
    memory = int(said.split("give --memory ")[1].split("MiB")[0])
    options["memory"] = memory << 20
    result = parchunk.build(plan, out, overwrite=True, **options)
    assert sum(receipt.inlined for receipt in result.receipts) == 600


def test_whether_there_is_room_says_nothing_else_of_the_bytes(
    tmp_path: Path, tree: Callable[[Path], dict[str, str]]
) -> None:
    source = v2_store(tmp_path / "s.zarr", 40, 300_000)
    plan = parchunk.plan(str(source), inline_threshold=300_000, record_size=10)
    for memory in (110 << 20, 512 << 20):
        parchunk.build(plan, str(tmp_path / f"{memory}"), memory=memory, concurrency=2)
    one, other = (tree(tmp_path / f"{memory}" / "a") for memory in (110 << 20, 512 << 20))
    assert one == other


def test_shards_are_refused_alike(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    size = 100_000
    root.create_array(
        "a", shape=(300 * size,), chunks=(size,), shards=(60 * size,), dtype="u1", compressors=None
    )[...] = 1
    plan = parchunk.plan(str(tmp_path / "s.zarr"), inline_threshold=size)
    with pytest.raises(parchunk.InputError, match="300 chunks of 30,000,000 bytes") as refused:
        parchunk.build(plan, str(tmp_path / "refs"), memory=120 << 20, concurrency=2)
    memory = int(str(refused.value).split("give --memory ")[1].split("MiB")[0])
    result = parchunk.build(plan, str(tmp_path / "refs"), memory=memory << 20, concurrency=2)
    assert sum(receipt.inlined for receipt in result.receipts) == 300


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.integers(0, 1 << 32),
    st.integers(0, 1 << 32), st.integers(1, 8),
)  # fmt: skip
def test_what_is_advised_would_do(sizes: list[int], room: int, least: int, processes: int) -> None:
    bound, found = InlineBound(room, least, processes), np.array(sizes)
    try:
        assert bound.check("a/refs.0.parq", found) <= room
        assert found.sum() <= MOST
    except parchunk.InputError as error:
        said = str(error)
        assert found.sum() > MOST or needed(int(found.sum()), max(sizes)) > room
        lower = found[found <= int(said.split("--inline-threshold ")[1].split()[0])]
        assert len(lower) < len(found)
        if len(lower):
            assert bound.check("a/refs.0.parq", lower) <= room
        if "give --memory" in said:
            memory = int(said.split("give --memory ")[1].split("MiB")[0]) << 20
            more = InlineBound((memory // processes - least) // 2, least, processes)
            assert more.check("a/refs.0.parq", found) <= more.room


def test_more_than_a_record_file_may_hold_is_refused_whatever_the_memory() -> None:
    with pytest.raises(parchunk.InputError, match="more than the 1024 MiB that a record file may"):
        UNBOUNDED.check("a/refs.0.parq", np.full(2_300, 1_000_000))


PEAK = """
import sys
import parchunk

def status(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) << 10

small, large, out, memory = sys.argv[1:]
parchunk.build(parchunk.plan(small, inline_threshold=99), out + "-small")  # imports
before = status("VmRSS")
plan = parchunk.plan(large, inline_threshold=10**6)
parchunk.build(plan, out, memory=int(memory), concurrency=2)
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("count", "size"), [(100, 400_000), (40_000, 1_000), (4, 10_000_000)])
def test_the_peak_of_inlining_stays_within_the_bound(tmp_path: Path, count: int, size: int) -> None:
    small = v2_store(tmp_path / "small.zarr", 2, 10)
    large = v2_store(tmp_path / "large.zarr", count, size)
    plan = parchunk.plan(str(large), inline_threshold=10**7)
    with pytest.raises(parchunk.InputError) as refused:
        parchunk.build(plan, str(tmp_path / "none"), memory=150 << 20, concurrency=2)
    memory = int(str(refused.value).split("give --memory ")[1].split("MiB")[0]) << 20
    arguments = [str(small), str(large), str(tmp_path / "refs"), str(memory)]
    script = PEAK.replace("10**6", "10**7")
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )
    assert count * size < int(done.stdout) < memory


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
