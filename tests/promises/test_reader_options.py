"""The table of docs/remote.md: options of stock fsspec that read chunks where they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from instruments.http_server import served
from instruments.inventories import FORMATS, objects_in

import parchunk


@pytest.fixture
def store(tmp_path: Path) -> Path:
    group = zarr.open_group(tmp_path / "www/s.zarr", mode="w", zarr_format=2)
    group.create_array("air", shape=(6,), chunks=(2,), dtype="i4")[:4] = np.arange(1, 5)
    return tmp_path / "www/s.zarr"


def assert_read(store: Path, references: fsspec.AbstractFileSystem) -> None:
    """Assert that chunks are those of the store, and one that is not there is none."""
    for chunk in ("air/0", "air/1"):
        assert references.cat_file(chunk) == (store / chunk).read_bytes()
    with pytest.raises(FileNotFoundError):
        references.cat_file("air/2")


@pytest.fixture
def over_http(store: Path, tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "www") as server:
        file = FORMATS["CSV"](tmp_path, objects_in(store, "s.zarr/"), "bucket")
        plan = parchunk.plan(f"{server.url}/s.zarr", inventory=file)
        parchunk.build(plan, tmp_path / "out")
        yield str(tmp_path / "out")


def test_http(store: Path, over_http: str) -> None:
    assert_read(
        store,
        fsspec.filesystem(
            "reference", fo=over_http, remote_protocol="http", skip_instance_cache=True
        ),
    )


def test_http_behind_a_cache(store: Path, over_http: str, tmp_path: Path) -> None:
    options = {"fo": over_http, "remote_protocol": "http", "skip_instance_cache": True}
    cached = fsspec.filesystem(
        "simplecache",
        target_protocol="reference",
        target_options=options,
        cache_storage=str(tmp_path / "cache"),
        skip_instance_cache=True,
    )
    for _ in range(2):
        with cached.open("air/1") as file:
            assert file.read() == (store / "air/1").read_bytes()
    assert len(list((tmp_path / "cache").iterdir())) == 1


S3_OPTIONS: dict[str, dict[str, Any]] = {
    "anonymous": {"anon": True},
    "signed": {"key": "any", "secret": "thing"},
    "requester pays": {"key": "any", "secret": "thing", "requester_pays": True},
    "region auto": {"key": "any", "secret": "thing", "client_kwargs": {"region_name": "auto"}},
}


@pytest.mark.s3
@pytest.mark.parametrize("name", S3_OPTIONS)
def test_s3_at_an_endpoint(name: str, store: Path, bucket: Any, tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    target = bucket.store("s.zarr")
    for path in store.rglob("*"):
        if path.is_file():
            target.put(path.relative_to(store).as_posix(), path.read_bytes())
    options = dict(bucket.options)
    if name == "requester pays":
        options["request_payer"] = "true"
    if name == "region auto":
        options["region"] = "auto"
    plan = parchunk.plan(f"s3://{bucket.name}/s.zarr", store_options=options)
    parchunk.build(plan, tmp_path / "out")
    references = {
        "fo": str(tmp_path / "out"),
        "remote_protocol": "s3",
        "remote_options": {**S3_OPTIONS[name], "endpoint_url": bucket.endpoint},
        "skip_instance_cache": True,
    }
    assert_read(store, fsspec.filesystem("reference", **references))
    cached = fsspec.filesystem(
        "simplecache",
        target_protocol="reference",
        target_options=references,
        cache_storage=str(tmp_path / "cache"),
        skip_instance_cache=True,
    )
    with cached.open("air/1") as file:
        assert file.read() == (store / "air/1").read_bytes()
