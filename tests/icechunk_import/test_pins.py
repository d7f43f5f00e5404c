"""Each reference is pinned to the object that it was made of, where that was kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr
from instruments.s3_server import S3Bucket

import parchunk
from parchunk.icechunk_import.pins import pins_of

icechunk = pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
REFUSED = r"has changed|modified|precondition|Precondition"


def aged(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("kind", ["none", "time"])
def test_an_older_chunk_written_anew_is_refused(kind, grow, build, opened, tmp_path):
    """By its region's newest time it is none: nothing in it is later than that."""
    source = grow(8)
    now = int(time.time())
    for path in source.rglob("*"):
        if path.is_file():
            aged(path, now - 1000)
    aged(source / "air/c/1/0/0", now)
    out = build(source, split="time", region=4, identity=kind)
    parchunk.to_icechunk(out, str(tmp_path / "repo"))
    parchunk.to_icechunk(out, str(tmp_path / "lax"), checksum=False)
    assert opened(tmp_path / "repo")["air"][0, 0, 0] == 1
    aged(source / "air/c/0/0/0", now - 500)
    if kind == "none":
        assert opened(tmp_path / "repo")["air"][0, 0, 0] == 1
        return
    with pytest.raises(icechunk.IcechunkError, match=REFUSED):
        opened(tmp_path / "repo")["air"][0]
    assert opened(tmp_path / "repo")["air"][1, 0, 0] == 25
    assert opened(tmp_path / "lax")["air"][0, 0, 0] == 1
    report = parchunk.audit(str(out), against_source=True)
    assert {one.kind for one in report.findings if one.severity == "change"} == {"rewritten-chunks"}
    parchunk.update(str(out), regions=0, gaps=False)
    again = parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert [commit.region for commit in again.commits if commit.region is not None] == [0]
    assert opened(tmp_path / "repo")["air"][0, 0, 0] == 1


@pytest.mark.s3
@pytest.mark.parametrize("kind", ["time", "etag"])
def test_objects_of_a_bucket_are_pinned(kind, bucket: S3Bucket, tmp_path, opened):
    store = zarr.storage.ObjectStore(bucket.store(f"{kind}.zarr"))
    array = zarr.open_group(store, mode="w", zarr_format=3).create_array(
        "a",
        shape=(6, 4),
        chunks=(1, 4),
        dtype="f4",
        dimension_names=("time", "x"),
        compressors=None,
    )
    array[...] = np.arange(1, 25).reshape(6, 4)
    url = f"s3://{bucket.name}/{kind}.zarr"
    plan = parchunk.plan(url, split="time", region=3, store_options=bucket.options, identity=kind)
    parchunk.build(plan, str(tmp_path / "out"))
    result = parchunk.to_icechunk(str(tmp_path / "out"), str(tmp_path / "repo"))
    assert result.references == 6
    group = opened(tmp_path / "repo")
    assert group["a"][...].tolist() == array[...].tolist()
    if kind == "etag":
        array[2] = 7
        with pytest.raises(icechunk.IcechunkError, match=REFUSED):
            opened(tmp_path / "repo")["a"][2]
        assert opened(tmp_path / "repo")["a"][1].tolist() == [5, 6, 7, 8]
        parchunk.update(str(tmp_path / "out"), regions=0, store_options=bucket.options)
        parchunk.to_icechunk(str(tmp_path / "out"), str(tmp_path / "repo"))
        assert opened(tmp_path / "repo")["a"][2].tolist() == [7, 7, 7, 7]


def test_pins_are_as_they_are_compared():
    tags = pa.array(["abc", None, 'W/"x"'])
    assert list(pins_of(tags, "s3", None)) == ['"abc"', None, 'W/"x"']
    times = pa.array([1_000_000, 1_000_001, None], pa.timestamp("us"))
    region = pins_of(pa.array([9_000_000], pa.timestamp("us")), "s3", None)[0]
    assert list(pins_of(tags, "file", region)) == [region] * 3
    seconds = [one.timestamp() for one in pins_of(times, "s3", region)]
    assert seconds == [1, 2, 9]
    assert [one.timestamp() for one in pins_of(times, "file", region)] == [2, 2, 9]
