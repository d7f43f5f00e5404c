"""What lies among the chunks and is none: told apart, and counted once."""

import importlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zarr
from obstore.store import MemoryStore

import parchunk
from parchunk.keys.text_order import rank_of

#: The module: its name in the package is the function's.
build_module = importlib.import_module("parchunk.building.build")

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("quiet_zarr")


@pytest.fixture
def dirty() -> tuple[MemoryStore, dict[str, str]]:
    """A v3 ``/`` array ``air`` of 12 x 3 chunks with everything beside them, and the reasons."""
    store = MemoryStore()
    zarr_store = {
        "shape": [12, 3],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
    }
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    store.put("s/zarr.json", json.dumps(group).encode())
    store.put("s/air/zarr.json", json.dumps(zarr_store).encode())
    for t, x in itertools.product(range(12), range(3)):
        if (t, x) not in {(3, 1), (11, 2)}:
            store.put(f"s/air/c/{t}/{x}", b"x" * (1 + t))
    strays = {
        "c/3/1.partial": "not a chunk key",
        "c/0.tmp": "not a chunk key",
        "c/.DS_Store": "not a chunk key",
        "c/README.md": "not a chunk key",
        "c/0/0/0": "not a chunk key",
        "c/7/x": "not a chunk key",
        "c/-1/0": "not a chunk key",
        "c/0/00": "not a canonical number",
        "c/00/1": "not a canonical number",
        "c/011/2": "not a canonical number",
        "c/12/0": "outside the grid",
        "c/0/3": "outside the grid",
        "c/99999999999999999999/0": "outside the grid",
        "c/9/3": "outside the grid",
        "c/é/0": "not a chunk key",
        "c/zzz": "not a chunk key",
        "c/12/zarr.json": "not a chunk key",
    }
    for path in strays:
        store.put(f"s/air/{path}", b"stray")
    store.put("s/air/c/4", b"")  # a directory marker as obstore shows it
    strays["c/4"] = "directory marker"
    store.put("s/air/c/5/2", b"")  # a chunk of no bytes
    store.put("s/air_temp/c/0/0", b"another array's")
    return store, strays


@pytest.mark.parametrize(("split", "region"), [(0, 12), (0, 1), (0, 5), (1, 1)])
@pytest.mark.parametrize("trust", [False, True])
def test_strays_are_told_apart_and_counted_once(
    dirty: tuple[MemoryStore, dict[str, str]],
    tmp_path: Path,
    split: int,
    region: int,
    trust: bool,
) -> None:
    store, reasons = dirty
    source = parchunk.Source(store, "s", "s3://b/s")
    plan = parchunk.plan(source, split=split, region=region)
    result = parchunk.build(plan, str(tmp_path / "refs"), trust_listing=trust)
    assert (result.expected, result.present, result.missing) == (36, 33, 3)
    assert result.zero_sized == 1
    kept = {}
    files = sorted((tmp_path / "refs" / ".parchunk" / "strays").rglob("*.parquet"))
    for row in itertools.chain(*(pq.read_table(file).to_pylist() for file in files)):
        assert row["array"] == "air"
        assert row["path"] not in kept
        kept[row["path"]] = row["reason"]
    assert kept == reasons
    assert result.strays == len(reasons)
    counted: dict[str, int] = {}
    for receipt in result.receipts:
        assert sum(receipt.stray_reasons.values()) == receipt.strays
        for reason, count in receipt.stray_reasons.items():
            counted[reason] = counted.get(reason, 0) + count
    assert sum(counted.values()) == len(reasons)
    # Every listed object is a reference, a chunk of no bytes, a stray or metadata.
    listed = sum(len(page) for page in store.list("s/air"))
    assert listed == result.present + result.zero_sized + result.strays + 1
    rows = {}
    for file in sorted((tmp_path / "refs" / "air").glob("*.parq")):
        first = int(file.name.split(".")[1]) * plan.record_size
        for at, row in enumerate(pq.read_table(file).to_pylist()):
            rows[first + at] = row
    for (t, x), number in zip(itertools.product(range(12), range(3)), range(36), strict=True):
        gone = (t, x) in {(3, 1), (11, 2), (5, 2)}
        assert rows[number]["path"] == (None if gone else f"s3://b/s/air/c/{t}/{x}")
        assert rows[number]["size"] == (0 if gone else 1 + t)


def test_strays_of_a_local_store(dirty: tuple[MemoryStore, dict[str, str]], tmp_path: Path) -> None:
    store, reasons = dirty
    local = tmp_path / "s"
    for page in store.list("s"):
        for entry in page:
            if entry["path"] == "s/air/c/4":
                continue  # a file and a folder of one name cannot be
            if entry["path"] == "s/air/c/0/0/0":
                continue
            path = tmp_path / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(store.get(entry["path"]).bytes()))
    result = parchunk.build(parchunk.plan(str(local), split=0, region=12), str(tmp_path / "refs"))
    assert (result.present, result.missing, result.zero_sized) == (33, 3, 1)
    assert result.strays == len(reasons) - 2


def test_strays_of_a_dotted_array(tmp_path: Path) -> None:
    store = MemoryStore()
    document = {
        "shape": [12, 3],
        "chunks": [1, 1],
        "dtype": "|u1",
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "zarr_format": 2,
    }
    store.put(".zgroup", b'{"zarr_format": 2}')
    store.put("air/.zarray", json.dumps(document).encode())
    store.put("air/.zattrs", b"{}")
    for t, x in itertools.product(range(12), range(3)):
        store.put(f"air/{t}.{x}", b"x")
    reasons = {
        "00.1": "not a canonical number",
        "0.01": "not a canonical number",
        "12.0": "outside the grid",
        "0.3": "outside the grid",
        "0.0.0": "not a chunk key",
        "0": "not a chunk key",
        "0/0": "not a chunk key",
        ".zattrs~": "not a chunk key",
        "11.2.tmp": "not a chunk key",
        "9.2x": "not a chunk key",
        "~": "not a chunk key",
        " ": "not a chunk key",
    }
    for path in reasons:
        store.put(f"air/{path}", b"stray")
    for region in (12, 1, 4):
        plan = parchunk.plan(parchunk.Source(store, "", "s3://b/s"), split=0, region=region)
        out = tmp_path / f"refs{region}"
        result = parchunk.build(plan, str(out))
        assert (result.present, result.missing, result.strays) == (36, 0, len(reasons))
        files = (out / ".parchunk" / "strays").rglob("*.parquet")
        kept = {row["path"]: row["reason"] for f in files for row in pq.read_table(f).to_pylist()}
        assert kept == reasons


@pytest.mark.parametrize("formats", [2, 3])
def test_what_was_outside_the_grid_is_a_stray_no_longer_once_the_array_has_grown(
    tmp_path: Path, formats: Any
) -> None:
    source, out = tmp_path / "s", str(tmp_path / "refs")
    group = zarr.open_group(source, mode="w", zarr_format=formats)
    array = group.create_array("a", shape=(12,), chunks=(1,), dtype="u1", fill_value=0)
    array[...] = 1
    chunks = source / "a" / ("c" if formats == 3 else "")
    (chunks / "README").write_bytes(b"x")
    # Written before the metadata says that there is more: the second is never said.
    for number in (12, 40):
        (chunks / str(number)).write_bytes((chunks / "11").read_bytes())
    built = parchunk.build(parchunk.plan(str(source), split=0, region=2, record_size=2), out)
    assert (built.present, built.strays) == (12, 3)
    array.resize((16,))
    array[12:] = 2
    updated = parchunk.update(out)
    assert (updated.present, updated.missing, updated.strays) == (16, 0, 2)
    with parchunk.connect(out) as con:
        rows = con.sql("SELECT path, reason FROM strays ORDER BY path").fetchall()
    where = "c/" if formats == 3 else ""
    assert rows == [
        (f"{where}40", "outside the grid"),
        (f"{where}README", "not a chunk key"),
    ]


def test_ranks_of_the_dirty_store_are_what_strays_stand_between() -> None:
    """Why ``c/4`` and its like need no chunk beside them: keys stand in text order."""
    assert rank_of((12, 3), (10, 0)) < rank_of((12, 3), (2, 0))
