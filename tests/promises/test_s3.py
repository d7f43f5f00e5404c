"""Source and output on a real S3 server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.out.opening import open_output
from parchunk.reading.status import read_status

pytestmark = pytest.mark.s3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "s.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.create_array(
        "air", shape=(30, 12), chunks=(1, 3), dtype="f4", dimension_names=["time", "x"]
    )[...] = np.arange(360).reshape(30, 12) + 1
    root.create_array("time", shape=(30,), chunks=(30,), dtype="i8", dimension_names=["time"])[
        ...
    ] = np.arange(30)
    (path / "air" / "c" / "7" / "2").unlink()
    return path


@pytest.mark.parametrize("split", ["time", "x"])
def test_there_and_back(
    source: Path, tmp_path: Path, bucket: Any, split: str, published: Callable[..., Any]
) -> None:
    bucket.upload(source, "data/s.zarr")
    bucket.put("data/s.zarr/air/c/3/", b"")  # a directory marker, as consoles make them
    bucket.put("data/s.zarr/air/c/3/1.tmp", b"stray")
    url, options = f"s3://{bucket.name}/data/s.zarr", bucket.options
    region = {"time": 10, "x": 6}[split]
    plan = parchunk.plan(url, split=split, region=region, store_options=options)
    out = f"s3://{bucket.name}/refs/deep"
    result = parchunk.build(plan, out, output_options=options)
    assert (result.expected, result.present, result.missing) == (121, 120 - 1 + 1, 1)
    assert result.strays in (1, 2)  # obstore may or may not show the marker
    assert result.requests > 0

    status = read_status(open_output(out, options))
    assert status.published
    assert status.done == status.partitions
    local = tmp_path / "local"
    parchunk.build(plan, str(local))
    remote = {
        entry["path"].removeprefix("refs/deep/")
        for page in bucket.store().list("refs/deep")
        for entry in page
        if ".parchunk" not in entry["path"]
    }
    assert remote == set(published(local))
    for path, data in published(local).items():
        assert bytes(bucket.store().get(f"refs/deep/{path}").bytes()) == data

    wanted = zarr.open_group(source, mode="r")["air"][...]
    for place, given in ((str(local), {}), (out, {"output_options": options})):
        with parchunk.open_dataset(place, store_options=options, **given) as dataset:
            np.testing.assert_array_equal(dataset["air"].values, wanted)
            assert dataset["time"].values.tolist() == list(range(30))
    assert parchunk.build(plan, out, output_options=options).built == 0


def test_another_plan_and_something_else(source: Path, bucket: Any) -> None:
    out, options = f"s3://{bucket.name}/refs", bucket.options
    parchunk.build(parchunk.plan(str(source), region=10), out, output_options=options)
    other = parchunk.plan(str(source), region=30)
    with pytest.raises(parchunk.InputError, match="region length 10 there, 30 now"):
        parchunk.build(other, out, output_options=options)
    parchunk.build(other, out, output_options=options, overwrite=True)
    bucket.put("theirs/thesis.txt", b"mine")
    with pytest.raises(parchunk.InputError, match="did not write"):
        parchunk.build(other, f"s3://{bucket.name}/theirs", output_options=options)
    bucket.upload(source, "s.zarr")
    inside = parchunk.plan(f"s3://{bucket.name}/s.zarr", store_options=options)
    with pytest.raises(parchunk.InputError, match="inside SRC"):
        parchunk.build(inside, f"s3://{bucket.name}/s.zarr/refs", output_options=options)


def test_nothing_there(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(parchunk.InputError, match="no Zarr metadata"):
        parchunk.plan(f"s3://{bucket.name}/nothing", store_options=bucket.options)
    with pytest.raises(parchunk.ParchunkError) as refused:
        parchunk.plan("s3://no-such-bucket-at-all/s.zarr", store_options=bucket.options)
    assert "\n" not in str(refused.value)
