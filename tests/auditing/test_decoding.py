"""A sample of chunks is decoded: what cannot be is named, and what is nothing but fill value."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import parchunk
from parchunk.auditing.decoding import Sample
from parchunk.cli.main import run


def write(path: Path, zarr_format: int = 3, shards: bool = False) -> None:
    """Write compressed arrays of floats and of text, and a scalar."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, shape, chunks in (("t", (8, 6), (1, 3)), ("g/u", (5, 4), (2, 3))):
        named = {"dimension_names": ("time", "x")} if zarr_format == 3 else {}
        if shards:
            named["shards"] = (2, 6) if name == "t" else (4, 6)
        array = root.create_array(
            name, shape=shape, chunks=chunks, dtype="f4", fill_value=np.nan, **named
        )
        array[...] = np.arange(1, array.size + 1).reshape(shape)
    root.create_array("crs", shape=(), dtype="i4")[...] = 7


def build(folder: Path, **options) -> str:
    plan = parchunk.plan(folder / "store", **options)
    parchunk.build(plan, folder / "refs")
    return str(folder / "refs")


def kinds(report) -> Counter:
    return Counter(found.kind for found in report.findings)


@pytest.mark.parametrize(
    ("zarr_format", "shards", "options"),
    [
        (2, False, {}),
        (3, False, {}),
        (3, False, {"inline_threshold": 10_000}),
        (3, True, {}),
        (3, True, {"shards": "whole"}),
        (3, True, {"zarr_format": 3}),
    ],
)
def test_what_is_whole_decodes(tmp_path, zarr_format, shards, options):
    write(tmp_path / "store", zarr_format, shards)
    out = build(tmp_path, **options)
    report = parchunk.audit(out, decode="100%")
    assert report.complete
    assert kinds(report) == Counter()
    assert report.decoded.read == report.decoded.of == report.present
    assert report.to_json()["decoded"] == {"read": report.present, "of": report.present}


def test_what_does_not_decode_is_named_until_it_is_written_again(tmp_path, capfd):
    write(tmp_path / "store")
    out = build(tmp_path, region=2, split="time")
    field = zarr.open_group(tmp_path / "store")["t"]
    chunk = tmp_path / "store/t/c/5/1"
    chunk.write_bytes(b"\x00" * chunk.stat().st_size)
    (found,) = [f for f in parchunk.audit(out, decode=100).findings if f.kind == "undecodable"]
    assert (found.array, found.region, found.severity, found.count) == ("t", 2, "gap", 1)
    assert found.message.startswith("t, region 2: 1 of 4 chunks read cannot be decoded: t/c/5/1 (")
    assert run(["audit", out, "--decode", "100%"]) == 1
    said = capfd.readouterr().out
    assert "decoded: 23 of 23 chunks" in said
    assert "\nincomplete: 1 chunk cannot be decoded\n" in said
    field[5, 3:] = [1.5, 2.5, 3.5]
    assert "run parchunk update OUT --regions 2" in found.remedy
    parchunk.update(out, regions=[2])
    report = parchunk.audit(out, decode="100%")
    assert report.complete
    assert kinds(report) == Counter()


def test_chunks_of_nothing_but_fill_value_are_a_notice(tmp_path):
    store = tmp_path / "store"
    root = zarr.open_group(store, mode="w", zarr_format=3)
    for name, fill in (("nan", np.nan), ("zero", 0)):
        array = root.create_array(
            name, shape=(4,), chunks=(1,), dtype="f4", fill_value=fill,
            config={"write_empty_chunks": True},
        )  # fmt: skip
        array[...] = [1, fill, 2, fill]
    report = parchunk.audit(build(tmp_path), decode="100%")
    assert report.complete
    assert [(f.kind, f.array, f.count) for f in report.findings] == [
        ("all-fill", "nan", 2), ("all-fill", "zero", 2),
    ]  # fmt: skip
    assert "nan/c/1, nan/c/3" in report.findings[0].message


def test_chunks_that_changed_since_are_not_taken_for_whole(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    (tmp_path / "store/t/c/0/0").unlink()
    (tmp_path / "store/t/c/0/1").write_bytes(b"longer than it was, by some bytes" * 9)
    (found,) = [f for f in parchunk.audit(out, decode="100%").findings if f.kind == "undecodable"]
    assert found.count == 2
    assert "t/c/0/0 (it is gone, or has another size now)" in found.message


def test_damage_is_reported_and_not_decoded(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path, region=2, split="time")
    receipt = tmp_path / "refs/.parchunk/receipts/t/1.json"
    said = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(said | {"present": 0, "missing": said["expected"]}))
    path = tmp_path / "refs/t/refs.4.parq"
    table = pq.read_table(path)
    paths = pa.array([f"elsewhere/{at}" for at in range(len(table))])
    pq.write_table(table.set_column(table.column_names.index("path"), "path", paths), path)
    report = parchunk.audit(out, decode="100%")
    assert {found.region for found in report.findings if found.severity == "damage"} == {1, 2}
    assert "undecodable" not in kinds(report)
    assert report.decoded.read == report.decoded.of - 2
    assert run(["audit", out, "--decode", "100%"]) == 1


def test_a_source_that_lies_elsewhere_is_read_there(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    (tmp_path / "store").rename(tmp_path / "moved")
    report = parchunk.audit(out, decode="100%", source=tmp_path / "moved")
    assert report.complete
    assert report.decoded.read == report.present


def test_samples_have_chunks_of_every_partition():
    random = np.random.default_rng(0)
    present = np.array([1000, 10, 0, 1, 500])
    assert Sample.parse("0.1%").shares(present, random).tolist() == [1, 1, 0, 1, 1]
    assert Sample.parse("100%").shares(present, random).tolist() == present.tolist()
    assert Sample.parse(5000).shares(present, random).tolist() == present.tolist()
    for count in (1, 3, 4, 50, 1500):
        drawn = Sample.parse(count).shares(present, random)
        assert drawn.sum() == count
        assert (drawn <= present).all()
        assert count < 4 or (drawn[present > 0] > 0).all()


@pytest.mark.parametrize("given", ["0%", "101%", "0", "-1", "some", "1.5", "%"])
def test_samples_that_are_none(given):
    with pytest.raises(parchunk.InputError, match="--decode"):
        Sample.parse(given)
