"""Inventories of every format, of a real store: the same record files as from its listing."""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr
from instruments.inventories import FORMATS, Object, objects_in

import parchunk
from parchunk.out.counts import Counts
from parchunk.planning.plan import Plan

#: Characters that inventories spell in their own ways.
ODD = "odd name+é %41"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bucket with a store that has strays, gaps, nested groups, and neighbours."""
    bucket = tmp_path_factory.mktemp("bucket")
    group = zarr.open_group(bucket / "data/s.zarr", mode="w", zarr_format=3)
    air = group.create_array(
        "air", shape=(24, 9), chunks=(1, 3), dtype="i4", dimension_names=("time", "x")
    )
    air[:] = np.arange(1, 217).reshape(24, 9)
    group.create_array("air_temp", shape=(4,), chunks=(1,), dtype="i4")[:2] = 1
    group.create_array(f"deep/{ODD}", shape=(3,), chunks=(2,), dtype="f8")[:] = 1.5
    for stray in ("air/c/2.tmp", "air/c/7/1.partial", "deep/notes"):
        (bucket / "data/s.zarr" / stray).write_text("x")
    (bucket / "data/s.zarr/air/c/5/1").unlink()
    for neighbour in ("data/s.zarr-old/zarr.json", "data/s", "zz/readme"):
        (bucket / neighbour).parent.mkdir(parents=True, exist_ok=True)
        (bucket / neighbour).write_text("{}")
    before = time.time() - 100
    for path in bucket.rglob("*"):
        os.utime(path, (before, before))
    return bucket


@pytest.fixture(scope="module")
def listed(bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> parchunk.BuildResult:
    """Return what a build makes of the store by listing it."""
    plan = parchunk.plan(bucket / "data/s.zarr", split="time", region=5)
    return parchunk.build(plan, tmp_path_factory.mktemp("listed") / "out")


@pytest.fixture(scope="module")
def objects(bucket: Path) -> list[Object]:
    return objects_in(bucket, "")


def test_a_manifest_may_have_parts_of_no_rows(
    bucket: Path, objects: list[Object], listed: parchunk.BuildResult, tmp_path: Path
) -> None:
    manifest = FORMATS["S3 CSV"](tmp_path, objects, "bucket")
    document, empty = json.loads(manifest.read_text()), gzip.compress(b"")
    folder = Path(document["files"][0]["key"]).parent
    next(tmp_path.rglob("*.csv.gz")).with_name("none.csv.gz").write_bytes(empty)
    md5 = hashlib.md5(empty, usedforsecurity=False).hexdigest()
    part = {"key": str(folder / "none.csv.gz"), "size": len(empty), "MD5checksum": md5}
    document["files"].insert(0, part)
    manifest.write_text(json.dumps(document))
    plan = parchunk.plan(bucket / "data/s.zarr", split="time", region=5, inventory=manifest)
    assert_same(parchunk.build(plan, tmp_path / "out"), listed)


def files(out: str, ending: str) -> dict[str, bytes]:
    root = Path(out)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob(f"*{ending}")}


def assert_same(made: parchunk.BuildResult, listed: parchunk.BuildResult) -> None:
    """Assert that record files, strays, root and counts are those of a listed build."""
    for ending in ("parq", "parquet", ".zmetadata"):
        assert files(made.url, ending) == files(listed.url, ending)
    assert Counts.total([made]) == Counts.total([listed])
    assert made.present > 70
    assert made.strays == 2
    assert made.requests == 0


@pytest.mark.parametrize("name", FORMATS)
def test_record_files_are_those_of_a_listed_build(
    name: str,
    bucket: Path,
    objects: list[Object],
    listed: parchunk.BuildResult,
    tmp_path: Path,
) -> None:
    (tmp_path / "inventory").mkdir()
    file = FORMATS[name](tmp_path / "inventory", objects, bucket.name)
    plan = planned(bucket, inventory=file)
    made = parchunk.build(plan, tmp_path / "out")
    assert_same(made, listed)
    assert made.listing.startswith("inventory (of 20")


def test_listings_of_several_folders_may_follow_each_other(
    bucket: Path, objects: list[Object], listed: parchunk.BuildResult, tmp_path: Path
) -> None:
    none = json.dumps({"RequestCharged": None, "Prefix": "data/none/"})  # of a folder of none
    text = none
    for at in range(2):
        (tmp_path / f"{at}").mkdir()
        part = FORMATS["list-objects-v2"](tmp_path / f"{at}", objects[at::2], bucket.name)
        text += part.read_text() + none + "\n"
    (tmp_path / "both.json").write_text(text)
    plan = planned(bucket, inventory=tmp_path / "both.json")
    assert_same(parchunk.build(plan, tmp_path / "out"), listed)


def planned(bucket: Path, **how: object) -> Plan:
    return parchunk.plan(bucket / "data/s.zarr", split="time", region=5, **how)  # type: ignore[arg-type]


def as_table(objects: list[Object]) -> pa.Table:
    return pa.table(
        {
            "key": [one.key for one in objects],
            "size": [one.size for one in objects],
            "last_modified": [one.modified for one in objects],
        }
    )


def as_relation(table: pa.Table) -> object:
    import duckdb

    return duckdb.from_arrow(table)


@pytest.mark.parametrize(
    "given",
    [lambda table: table, lambda table: table.to_reader(7), as_relation],
    ids=["table", "stream", "relation"],
)
def test_objects_may_be_arrow_or_a_relation(
    given: Callable[[pa.Table], object],
    bucket: Path,
    objects: list[Object],
    listed: parchunk.BuildResult,
    tmp_path: Path,
) -> None:
    opened = parchunk.Source.open(str(bucket / "data/s.zarr"))
    source = parchunk.Source(
        opened.store, opened.prefix, opened.url, objects=given(as_table(objects))
    )
    plan = parchunk.plan(source, split="time", region=5)
    assert_same(parchunk.build(plan, tmp_path / "out"), listed)
    assert_same(parchunk.build(plan, tmp_path / "other", workers=2), listed)
