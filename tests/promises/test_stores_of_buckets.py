"""Stores of one dataset in several buckets: built, updated, read, audited and imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from instruments.s3_server import S3Bucket, new_bucket
from tests.many_stores import Made, write

import parchunk

pytestmark = pytest.mark.s3


def month(folder: Path, at: int) -> Path:
    units = {"units": f"hours since 2000-01-{1 + at:02d}"}
    arrays = {
        "air": Made(np.full((4, 3), at + 1.0), ("time", "y"), (2, 3)),
        "time": Made(np.arange(4), ("time",), None, units),
    }
    return write(folder / f"{at}.zarr", arrays)


def joined(paths: list[Path]) -> xarray.Dataset:
    opened = [xarray.open_zarr(path, consolidated=False, chunks=None).load() for path in paths]
    return xarray.concat(opened, "time", data_vars="minimal")


@pytest.mark.slow
def test_stores_of_several_buckets(
    tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets: list[S3Bucket] = [new_bucket(s3_endpoint) for _ in range(3)]
    options = buckets[0].options
    paths = [month(tmp_path / "in", at) for at in range(5)]
    places = [(0, "era5/a.zarr"), (0, "era5/b.zarr"), (1, "c.zarr"), (1, "d.zarr"), (2, "e.zarr")]
    urls = []
    for path, (at, key) in zip(paths, places, strict=True):
        buckets[at].upload(path, key)
        urls.append(f"s3://{buckets[at].name}/{key}")
    out = tmp_path / "out"
    plan = parchunk.plan(urls[:4], concat="time", store_options=options)
    assert plan.location.url == f"s3://{buckets[0].name}/era5"
    listed = tmp_path / "keys.csv"
    listed.write_text("key,size\nera5/a.zarr/air/0.0,1\n")
    with pytest.raises(parchunk.InputError, match="it lists one bucket, and"):
        parchunk.plan(urls[:4], concat="time", store_options=options, inventory=listed)
    parchunk.build(plan, out)
    for receipt in (out / ".parchunk" / "receipts" / "air").glob("[12].json"):
        receipt.unlink()
    again = parchunk.plan(urls[:4], concat="time", store_options=options)
    assert parchunk.build(again, out).built == 2
    found = parchunk.open_dataset(out, store_options=options).load()
    xarray.testing.assert_equal(found, joined(paths[:4]))
    parchunk.update(out, urls[4], store_options=options)
    found = parchunk.open_dataset(out, store_options=options).load()
    xarray.testing.assert_equal(found, joined(paths))
    report = parchunk.audit(out, against_source=True, decode="100%", store_options=options)
    assert report.findings == ()
    assert report.decoded.read == report.present
    buckets[1].store().delete("c.zarr/air/1.0")
    gone = parchunk.audit(out, against_source=True, store_options=options).findings
    assert [(f.kind, f.array, f.region) for f in gone] == [("gone-chunks", "air", 2)]


def test_icechunk_knows_all_buckets(tmp_path: Path, s3_endpoint: str) -> None:
    pytest.importorskip("icechunk")
    buckets: list[S3Bucket] = [new_bucket(s3_endpoint) for _ in range(2)]
    paths = [month(tmp_path / "in", at) for at in range(2)]
    urls = []
    for bucket, path in zip(buckets, paths, strict=True):
        bucket.upload(path, "a month, 1.zarr")
        urls.append(f"s3://{bucket.name}/a month, 1.zarr")
    plan = parchunk.plan(urls, concat="time", store_options=buckets[0].options)
    parchunk.build(plan, tmp_path / "out")
    parchunk.to_icechunk(tmp_path / "out", tmp_path / "repo")
    repo = parchunk.open_icechunk(tmp_path / "repo")
    assert sorted(repo.config.virtual_chunk_containers) == sorted(
        f"s3://{bucket.name}/" for bucket in buckets
    )
    session = repo.readonly_session("main").store
    found = xarray.open_zarr(session, consolidated=False, chunks=None).load()
    xarray.testing.assert_equal(found.drop_encoding(), joined(paths))
    findings = parchunk.audit(tmp_path / "out", icechunk=tmp_path / "repo").findings
    assert [f.kind for f in findings] == ["uneven-labels"]  # of months that do not meet
