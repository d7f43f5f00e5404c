"""Expanded sharded arrays against zarr-python: the references must read back bit for bit."""

import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from tests.examples import examples
from tests.writing.shards import (
    BIG,
    LITTLE,
    WIDTH,
    Case,
    Changing,
    brute_force,
    cases,
    check,
    memory_source,
    open_references,
    write,
    written_shards,
)
from zarr.codecs import (
    BloscCodec,
    Crc32cCodec,
    GzipCodec,
    TransposeCodec,
    ZstdCodec,
)

import parchunk
from parchunk.building.build import build
from parchunk.cover import forecast, scheduling
from parchunk.cover.limits import Limits
from parchunk.listing import index_reading
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.stores.opening import open_store

# fsspec reads references through pandas and fastparquet; zarr-python warns of types beyond v3.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
]


CASES = {
    "one axis": Case((100,), (20,), (5,)),
    "two axes, partial last shards": Case((37, 41), (10, 12), (5, 3), region=10, record_size=14),
    "split on axis 0": Case((40, 24), (8, 12), (2, 3), split="0", region=16),
    "split on axis 1": Case((40, 24), (8, 12), (2, 3), split="1", region=12),
    "split on axis 1, partial": Case((9, 50), (4, 8), (2, 2), split="1", region=16, record_size=1),
    "three axes": Case((6, 20, 30), (2, 8, 12), (1, 4, 3), split="0", region=2),
    "three axes, split on the last": Case((6, 20, 24), (2, 8, 12), (1, 4, 3), split="2", region=12),
    "index at start": Case((40, 24), (8, 12), (2, 3), location="start"),
    "no checksum": Case((40, 24), (8, 12), (2, 3), index_codecs=(LITTLE,)),
    "big index": Case((40, 24), (8, 12), (2, 3), index_codecs=(BIG, Crc32cCodec())),
    "big index at start, no checksum": Case(
        (40, 24), (8, 12), (2, 3), index_codecs=(BIG,), location="start"
    ),
    "dots": Case((40, 24), (8, 12), (2, 3), keys={"name": "default", "separator": "."}),
    "v2 keys": Case((40, 24), (8, 12), (2, 3), keys={"name": "v2", "separator": "."}),
    "v2 slashes": Case((40, 24), (8, 12), (2, 3), keys={"name": "v2", "separator": "/"}),
    "no holes": Case((32, 24), (8, 12), (2, 3), holes=0.0),
    "only holes": Case((32, 24), (8, 12), (2, 3), holes=1.1),
    "one inner chunk a shard": Case((32, 24), (8, 12), (8, 12)),
    "shard larger than the array": Case((5, 5), (64, 64), (2, 4)),
    "inner chunk larger than the array": Case((5, 5), (64, 64), (8, 8)),
    "gzip": Case((40, 24), (8, 12), (2, 3), codecs=(LITTLE, GzipCodec(level=1))),
    "zstd and checksum": Case(
        (40, 24), (8, 12), (2, 3), codecs=(LITTLE, ZstdCodec(level=1), Crc32cCodec())
    ),
    "blosc": Case(
        (40, 24),
        (8, 12),
        (2, 3),
        "f8",
        np.nan,
        codecs=(LITTLE, BloscCodec(cname="lz4", typesize=8)),
    ),
    "big endian": Case((40, 24), (8, 12), (2, 3), "i2", codecs=(BIG,)),
    "Fortran order": Case(
        (40, 24), (8, 12), (2, 3), codecs=(TransposeCodec(order=(1, 0)), LITTLE, ZstdCodec())
    ),
    "bool": Case((40, 24), (8, 12), (2, 3), "bool", False),
    "complex": Case((40, 24), (8, 12), (2, 3), "c16", 0j),
    "half floats": Case((40, 24), (8, 12), (2, 3), "f2", -0.0),
    "unsigned": Case((40, 24), (8, 12), (2, 3), "u8", 2**64 - 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_expanded_shards_read_back_bit_for_bit(tmp_path: Path, case: Case) -> None:
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "refs", case)


def slices_of(most: int) -> Limits:
    """Return limits with which slices have ``most`` rows at most."""
    return Limits(inner_rows=most)


def slices_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows each slice has."""
    seen: list[int] = []
    read = index_reading.IndexReading.read

    def spy(self: Any, rows: Any) -> Any:
        seen.append(rows.total)
        return read(self, rows)

    monkeypatch.setattr(index_reading.IndexReading, "read", spy)
    return seen


@pytest.mark.parametrize(("split", "record_size"), [("0", 10), ("1", 16), ("2", 4)])
@pytest.mark.parametrize("most", [7, 130])
def test_slices_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, record_size: int, most: int
) -> None:
    case = Case((13, 20, 22), (4, 8, 12), (2, 2, 3), split=split, record_size=record_size)
    case = replace(case, region=case.shards[int(split)])
    write(tmp_path / "s.zarr", case)
    seen = slices_seen(monkeypatch)
    limits = slices_of(most)
    receipts = check(tmp_path / "s.zarr", tmp_path / "refs", case, limits=limits)
    assert max(seen) <= max(most, record_size)
    assert len(seen) > len(receipts)
    plan = load_plan(open_output(str(tmp_path / "refs")))
    made = scheduling.make_jobs(plan, plan.partitions(), 10**6, WIDTH, limits=limits)
    cost = forecast.forecast_jobs(plan, made)
    assert cost.shards == sum(r.shards_expected for r in receipts)
    assert sum(r.index_requests for r in receipts) <= cost.gets


def test_each_index_is_read_once_when_slices_can_end_between_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case((64, 24), (8, 12), (2, 3), holes=0.0, split="0", region=32, record_size=16)
    write(tmp_path / "s.zarr", case)
    seen = slices_seen(monkeypatch)
    receipts = check(tmp_path / "s.zarr", tmp_path / "refs", case, limits=slices_of(70))
    assert seen == [64] * 4
    assert [r.index_requests for r in receipts] == [r.shards_present for r in receipts] == [8, 8]


def test_the_next_region_is_read_while_one_is_written(tmp_path: Path) -> None:
    root = tmp_path / "s.zarr"
    write(root, Case((24, 24), (8, 12), (2, 3), holes=0.0))
    plan = parchunk.plan(str(root), split="0", region=8)
    assert plan.source is not None
    begun = threading.Event()

    class Telling(Changing):
        def get(self, path: str, *, options: Any = None) -> Any:
            if options and path.endswith("a/c/1/0"):
                begun.set()
            return super().get(path, options=options)

    class Waiting(LocalOutput):
        def put(self, path: str, data: bytes | memoryview) -> None:
            if path == "a/refs.0.parq":
                assert begun.wait(250)
            super().put(path, data)

    source = replace(plan.source, store=Telling(plan.source.store, lambda: None))
    output = Waiting(open_store(str(tmp_path / "refs")).location)
    assert build(replace(plan, source=source), output).present == 12 * 8


@pytest.mark.parametrize("workers", [1, 2])
def test_regions_resume_and_equal_an_undisturbed_build(tmp_path: Path, workers: int) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="0", region=8)
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "whole", case)
    check(tmp_path / "s.zarr", tmp_path / "refs", case, concurrency=4)
    wanted = {p.name: p.read_bytes() for p in (tmp_path / "whole" / "a").iterdir()}
    for name in ("1.json", "3.json"):
        (tmp_path / "refs/.parchunk/receipts/a" / name).unlink()
    for name in ("refs.0.parq", "refs.1.parq"):
        (tmp_path / "refs/a" / name).unlink(missing_ok=True)
    (tmp_path / "refs/.parchunk/receipts/a/0.json").unlink()
    plan = parchunk.plan(str(tmp_path / "s.zarr"), split="0", region=8)
    result = build(plan, str(tmp_path / "refs"), workers=workers)
    assert result.built == 3
    assert {p.name: p.read_bytes() for p in (tmp_path / "refs/a").iterdir()} == wanted


def test_more_shards_than_one_thread_decodes_together_are_all_there(tmp_path: Path) -> None:
    case = Case((3 * 66, 2), (2, 2), (1, 2), holes=0.0)
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "refs", case, concurrency=1)


def test_absent_shards_are_told_from_empty_entries(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    data = array[...]
    data[:] = 9
    data[8:10, 0:3] = 7  # one inner chunk of the fill value
    array[...] = data
    (root / "a/c/2/1").unlink()
    (root / "a/c/4/0").write_bytes(b"")
    plan = parchunk.plan(str(root))
    result = build(plan, str(tmp_path / "refs"))
    (receipt,) = result.receipts
    assert (receipt.shards_expected, receipt.shards_present) == (10, 8)
    assert (receipt.expected, receipt.missing, receipt.empty_entries) == (160, 33, 1)
    assert receipt.zero_sized == 16
    assert receipt.index_requests == 8
    data[16:24, 12:] = 7
    data[32:, :12] = 7
    assert (open_references(tmp_path / "refs")["a"][...] == data).all()


def test_small_inner_chunks_are_inlined(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), codecs=(LITTLE, ZstdCodec(level=1)))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    data = array[...]
    data[:, :12] = np.arange(40)[:, None] // 2 + 100
    array[...] = data
    sizes = [size for _, _, size in brute_force(root, case, "a").values()]
    threshold = sorted(sizes)[len(sizes) // 2]
    plan = parchunk.plan(str(root), inline_threshold=threshold)
    result = build(plan, str(tmp_path / "refs"))
    inlined = sum(r.inlined for r in result.receipts)
    assert inlined == sum(size <= threshold for size in sizes) > 0
    assert inlined < len(sizes)
    for path in sorted((tmp_path / "refs/a").glob("refs.*.parq")):
        for row in pq.read_table(path).to_pylist():
            if row["raw"] is not None:
                assert (row["path"], row["offset"], row["size"]) == (None, 0, 0)
    assert open_references(tmp_path / "refs")["a"][...].tobytes() == array[...].tobytes()


def test_inlined_inner_chunks_are_fetched_side_by_side(tmp_path: Path) -> None:
    array = write(tmp_path / "s.zarr", Case((40, 24), (8, 12), (2, 3), holes=0.0))
    plan = parchunk.plan(str(tmp_path / "s.zarr"), inline_threshold=24)
    assert plan.source is not None
    second, reads = threading.Event(), iter(range(10**6))

    class Together(Changing):
        def get(self, path: str, *, options: Any = None) -> Any:
            # Of a shard the first bytes are inner chunks, the last its index.
            if options and not options["range"][0]:
                if next(reads):
                    second.set()
                assert second.wait(250)
            return super().get(path, options=options)

    source = replace(plan.source, store=Together(plan.source.store, lambda: None))
    result = build(replace(plan, source=source), str(tmp_path / "refs"))
    assert sum(receipt.inlined for receipt in result.receipts) == 160
    assert open_references(tmp_path / "refs")["a"][...].tobytes() == array[...].tobytes()


def test_strays_among_shards_are_reported(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    (tmp_path / "s.zarr/a/c/5").mkdir()
    (tmp_path / "s.zarr/a/c/0/0.partial").write_bytes(b"x")
    (tmp_path / "s.zarr/a/c/5/0").write_bytes(b"x")
    result = build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    assert result.strays == 2
    assert result.missing == 0


def test_ordered_stores_give_the_same_bytes(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="0", region=16)
    write(tmp_path / "s.zarr", case)
    check(tmp_path / "s.zarr", tmp_path / "local", case)
    plan = parchunk.plan(memory_source(tmp_path / "s.zarr"), split="0", region=16)
    build(plan, str(tmp_path / "memory"))
    for path in (tmp_path / "local/a").iterdir():
        assert path.read_bytes() == (tmp_path / "memory/a" / path.name).read_bytes()


def test_sharded_and_plain_arrays_side_by_side(tmp_path: Path) -> None:
    root = tmp_path / "s.zarr"
    case = Case((48, 24), (8, 12), (2, 3), names=("time", "x"))
    write(root, case, "sharded")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(root, mode="a")
        plain = group.create_array(
            "plain", shape=(48, 24), chunks=(4, 24), dtype="f4", dimension_names=("time", "x")
        )
        plain[...] = np.random.default_rng(0).random((48, 24))
        time = group.create_array(
            "time", shape=(48,), chunks=(48,), dtype="i8", dimension_names=("time",)
        )
        time[...] = np.arange(48)
    plan = parchunk.plan(str(root), split="time", region=16, record_size=4)
    build(plan, str(tmp_path / "refs"))
    opened = open_references(tmp_path / "refs")
    for name in ("sharded", "plain", "time"):
        assert opened[name][...].tobytes() == group[name][...].tobytes()
    assert [r.index for r in plan.regions] == [0, 1, 2]


@given(cases())
@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_sharded_array_reads_back_or_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    root = tmp_path_factory.mktemp("random")
    write(root / "s.zarr", case)
    check(root / "s.zarr", root / "refs", case)


@pytest.mark.s3
def test_shards_on_s3_are_expanded_with_ranged_requests(tmp_path: Path, bucket: Any) -> None:
    case = Case((40, 24), (8, 12), (2, 3), split="time", region=16, names=("time", "x"))
    root = tmp_path / "s.zarr"
    array = write(root, case)
    bucket.upload(root, "data/s.zarr")
    url, options = f"s3://{bucket.name}/data/s.zarr", bucket.options
    plan = parchunk.plan(url, split="time", region=16, store_options=options)
    result = build(plan, str(tmp_path / "refs"))
    assert result.gets == result.shards_present == len(written_shards(root))
    with parchunk.open_dataset(str(tmp_path / "refs"), store_options=options) as opened:
        assert "a" in opened
        assert opened["a"].values.tobytes() == array[...].tobytes()


# Indexes so long that they are read part by part
