"""Stores on HTTP servers, which list nothing: built from an inventory, read by stock readers."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from instruments.http_server import HttpServer, served
from instruments.inventories import FORMATS, objects_in

import parchunk
from parchunk.icechunk_import import adapter

ODD = "a b/é %41#?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    group = zarr.open_group(folder / "my data/s.zarr", mode="w", zarr_format=3)
    air = group.create_array(
        "air", shape=(12, 4), chunks=(1, 2), dtype="i4", dimension_names=("time", "x")
    )
    air[:] = np.arange(1, 49).reshape(12, 4)
    odd = group.create_array(
        f"g/{ODD}", shape=(3,), chunks=(1,), dtype="i4", dimension_names=("y",)
    )
    odd[:] = [5, 6, 7]
    (folder / "my data/s.zarr/air/c/3/1").unlink()
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[HttpServer]:
    with served(folder) as running:
        yield running


@pytest.fixture
def inventory(folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "inventory").mkdir()
    return FORMATS["S3 Parquet"](tmp_path / "inventory", objects_in(folder, ""), "anything")


@pytest.mark.parametrize("spelled", ["my data/s.zarr", "my%20data/s.zarr/"])
def test_what_stock_readers_make_of_it(
    spelled: str, server: HttpServer, inventory: Path, tmp_path: Path
) -> None:
    plan = parchunk.plan(f"{server.url}/{spelled}", split="time", region=4, inventory=inventory)
    assert plan.location.url == f"{server.url}/my%20data/s.zarr"
    made = parchunk.build(plan, tmp_path / "out")
    assert (made.present, made.missing, made.requests) == (26, 1, 0)
    assert server.count("PROPFIND") == 0
    wanted = np.arange(1, 49).reshape(12, 4)
    wanted[3, 2:] = 0
    with parchunk.open_dataset(tmp_path / "out") as dataset:
        assert (dataset.air.values == wanted).all()
    with parchunk.open_dataset(tmp_path / "out", group=f"g/{ODD.split('/')[0]}") as dataset:
        assert dataset[ODD.split("/")[1]].values.tolist() == [5, 6, 7]
    options = {
        "fo": str(tmp_path / "out"),
        "remote_protocol": "http",
        "remote_options": {"asynchronous": True},
    }
    stock = xarray.open_dataset(
        "reference://",
        engine="zarr",
        backend_kwargs={"consolidated": False, "storage_options": options},
    )
    assert stock.air.values[0].tolist() == [1, 2, 3, 4]
    references = fsspec.filesystem(
        "reference", fo=str(tmp_path / "out"), remote_protocol="http", skip_instance_cache=True
    )
    assert references.cat_file("air/0.1") == (
        (tmp_path / "www/my data/s.zarr/air/c/0/1").read_bytes()
    )
    assert parchunk.audit(tmp_path / "out", allow_missing="air").complete


def test_it_is_updated_and_audited_by_newer_inventories(
    server: HttpServer, folder: Path, inventory: Path, tmp_path: Path
) -> None:
    url = f"{server.url}/my data/s.zarr"
    parchunk.build(parchunk.plan(url, inventory=inventory), tmp_path / "out")
    for call in (
        lambda: parchunk.update(tmp_path / "out"),
        lambda: parchunk.audit(tmp_path / "out", against_source=True),
        lambda: parchunk.plan(url),
    ):
        with pytest.raises(parchunk.InputError, match=r"HTTP servers have no listing .*inventory"):
            call()
    zarr.open_group(folder / "my data/s.zarr", mode="r+")["air"][3] = 9
    newer = FORMATS["CSV"](tmp_path, objects_in(folder, ""), "anything")
    made = parchunk.update(tmp_path / "out", inventory=newer)
    assert made.missing == 0
    report = parchunk.audit(tmp_path / "out", against_source=True, inventory=newer)
    assert report.complete
    assert server.count("PROPFIND") == 0


def test_an_inventory_may_lie_on_the_server(
    server: HttpServer, folder: Path, tmp_path: Path
) -> None:
    file = FORMATS["Google Parquet"](folder, objects_in(folder / "my data", ""), "anything")
    url = f"{server.url}/my data/s.zarr"
    plan = parchunk.plan(url, inventory=f"{server.url}/{file.name}")
    assert parchunk.build(plan, tmp_path / "out").missing == 1
    with pytest.raises(parchunk.SourceError, match=r"cannot read http://.*/none"):
        parchunk.plan(url, inventory=f"{server.url}/none")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@host/s.zarr",
        "https://host/s.zarr?X-Amz-Signature=abc",
        "https://host/a/../b",
    ],
)
def test_urls_that_name_no_folder(url: str, tmp_path: Path) -> None:
    with pytest.raises(parchunk.InputError) as caught:
        parchunk.plan(url, inventory=tmp_path)
    assert "pw" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_out_is_not_on_an_http_server(folder: Path) -> None:
    with pytest.raises(parchunk.InputError, match="cannot be written to"):
        parchunk.build(folder / "my data/s.zarr", "https://example.org/out")


def test_icechunk_reads_it_there(server: HttpServer, inventory: Path, tmp_path: Path) -> None:
    url = f"{server.url}/my data/s.zarr"
    parchunk.build(parchunk.plan(url, inventory=inventory), tmp_path / "out")
    repository = str(tmp_path / "repo")
    if not adapter.takes_arrays():
        with pytest.raises(parchunk.UnsupportedError, match="Icechunk 1 forgets the port"):
            parchunk.to_icechunk(tmp_path / "out", repository, publish=True)
        return
    parchunk.to_icechunk(tmp_path / "out", repository, publish=True)
    repo = parchunk.open_icechunk(repository)
    group = zarr.open_group(repo.readonly_session("main").store, mode="r")
    assert group["air"][2].tolist() == [9, 10, 11, 12]
    assert group[f"g/{ODD}"][:].tolist() == [5, 6, 7]
