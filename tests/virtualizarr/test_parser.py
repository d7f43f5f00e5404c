"""The workflow of VirtualiZarr's issue 894: region after region appended to Icechunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import parchunk

pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
pytest.importorskip("virtualizarr", reason="the extra 'virtualizarr' is not installed")

from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr.parsers.typing import Parser

import icechunk
from parchunk.virtualizarr.parser import RegionParser
from virtualizarr import open_virtual_dataset

pytestmark = [
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
    pytest.mark.filterwarnings("ignore:.*vz.* accessor.*:DeprecationWarning"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    root = zarr.open_group(path, mode="w", zarr_format=3, attributes={"title": "t"})

    def add(name: str, values: Any, chunks: tuple[int, ...], dims: tuple[str, ...]) -> None:
        array = root.create_array(
            name,
            shape=values.shape,
            chunks=chunks,
            dtype=values.dtype,
            dimension_names=dims,
            fill_value=0,
        )
        array[...] = values

    seed = np.random.default_rng(5)
    add("air", seed.normal(size=(12, 4, 6)).astype("f4"), (1, 2, 3), ("time", "y", "x"))
    add("rain", seed.integers(1, 9, (12, 6)), (2, 3), ("time", "x"))
    add("height", seed.normal(size=(4, 6)), (2, 3), ("y", "x"))
    add("time", np.arange(1, 13), (12,), ("time",))
    add("y", np.arange(4.0), (4,), ("y",))
    (path / "air/c/5/1/0").unlink()
    return path


@pytest.fixture
def registry(tmp_path: Path) -> ObjectStoreRegistry:
    return ObjectStoreRegistry({"file://": LocalStore()})


def repository(tmp_path: Path) -> icechunk.Repository:
    icechunk.set_logs_filter("error")
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(
            f"file://{tmp_path}/source/", icechunk.local_filesystem_store(f"{tmp_path}/source")
        )
    )
    storage = icechunk.local_filesystem_storage(str(tmp_path / "repo"))
    return icechunk.Repository.create(storage, config=config)


def test_it_is_a_parser():
    assert isinstance(RegionParser(region=0), Parser)


@pytest.mark.parametrize("record_size", [None, 3])
def test_regions_are_appended_one_after_another(source, registry, build, tmp_path, record_size):
    out = build(source, split="time", region=4, record_size=record_size)
    repo = repository(tmp_path)
    for region in range(3):
        session = repo.writable_session("main")
        vds = open_virtual_dataset(
            f"file://{out}", registry=registry, parser=RegionParser(region=region)
        )
        assert vds.sizes["time"] == 4
        vds.vz.to_icechunk(session.store, **({"append_dim": "time"} if region else {}))
        session.commit(f"region {region}")
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    ours = xarray.open_zarr(store, consolidated=False, chunks=None).load()
    theirs = xarray.open_zarr(source, consolidated=False, chunks=None).load()
    xarray.testing.assert_equal(ours, theirs)
    assert ours.attrs == {"title": "t"}
    assert (ours["air"].values[5, 2:, :3] == 0).all()


def test_the_manifests_are_those_of_the_store(source, registry, build):
    out = build(source, split="time", region=4)
    store = RegionParser(region=1)(f"file://{out}", registry)
    manifest = store._group.arrays["air"].manifest.dict()
    assert len(manifest) == 4 * 4 - 1
    for index, entry in manifest.items():
        t, y, x = map(int, index.split("."))
        chunk = source / f"air/c/{t + 4}/{y}/{x}"
        assert entry["path"] == f"file://{chunk}"
        assert (entry["offset"], entry["length"]) == (0, chunk.stat().st_size)
    whole = RegionParser()(f"file://{out}", registry)._group.arrays["air"]
    assert whole.shape == (12, 4, 6)


def test_a_region_of_a_later_axis(source, registry, build):
    out = build(source, split="x", region=3, include=["air", "rain", "height", "y"])
    vds = open_virtual_dataset(
        f"file://{out}",
        registry=registry,
        parser=RegionParser(region=1),
        loadable_variables=["air", "rain", "height"],
    )
    theirs = xarray.open_zarr(source, consolidated=False, chunks=None)
    for name in ("air", "rain", "height"):
        np.testing.assert_array_equal(vds[name].values, theirs[name].isel(x=slice(3, 6)).values)


def test_variables_can_be_skipped_and_groups_chosen(source, registry, build):
    root = zarr.open_group(source)
    root.create_array("deep/a", shape=(12,), chunks=(4,), dtype="i4", dimension_names=("time",))
    out = build(source, split="time", region=4)
    parser = RegionParser(region=2, skip_variables=["time", "rain"])
    store = parser(f"file://{out}", registry)
    assert set(store._group.arrays) == {"air", "height", "y"}
    assert set(RegionParser(region=2, group="deep")(out, registry)._group.arrays) == {"a"}
    with pytest.raises(parchunk.InputError, match="has no group 'none'"):
        RegionParser(group="none")(out, registry)
    with pytest.raises(parchunk.InputError, match="there is no region 3"):
        RegionParser(region=3)(out, registry)


def test_inlined_chunks(source, registry, build):
    """A VirtualiZarr that takes none gets them as the objects of the source that they are."""
    out = build(source, split="time", region=4, inline_threshold=60)
    vds = open_virtual_dataset(
        f"file://{out}",
        registry=registry,
        parser=RegionParser(region=1),
        loadable_variables=["air", "height"],
    )
    theirs = xarray.open_zarr(source, consolidated=False, chunks=None)
    np.testing.assert_array_equal(vds["air"].values, theirs["air"].values[4:8])


def test_v2_sources(registry, build, tmp_path):
    source = tmp_path / "source"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    array = root.create_array(
        "a",
        shape=(6, 4),
        chunks=(1, 2),
        dtype=">f4",
        order="F",
        fill_value=None,
        attributes={"_ARRAY_DIMENSIONS": ["time", "x"]},
    )
    array[...] = np.arange(24).reshape(6, 4)
    out = build(source, split="time", region=3)
    vds = open_virtual_dataset(
        f"file://{out}",
        registry=registry,
        parser=RegionParser(region=1),
        loadable_variables=["a"],
    )
    np.testing.assert_array_equal(vds["a"].values, np.arange(24).reshape(6, 4)[3:])


@pytest.fixture
def build(tmp_path: Path) -> Any:
    def make(source: Path, **options: Any) -> str:
        plan = parchunk.plan(str(source), **options)
        return parchunk.build(plan, str(tmp_path / "out")).url

    return make


def write_sharded(path: Path) -> Any:
    """Write an array of shards with several inner chunks, and one with a single one in each."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    values = np.arange(1, 121, dtype="f4").reshape(12, 10)
    values[4:8, 6:] = 0
    for name, inner in (("air", (2, 3)), ("single", (4, 6))):
        array = root.create_array(
            name, shape=(12, 10), chunks=inner, shards=(4, 6), dtype="f4", fill_value=0,
            dimension_names=("time", "x"),
        )  # fmt: skip
        array[...] = values
    return values


@pytest.mark.parametrize(
    ("shards", "regions"), [("expand", range(3)), ("expand", [None]), ("whole", [None])]
)
def test_sharded_arrays(registry, build, tmp_path, shards, regions):
    values = write_sharded(tmp_path / "source")
    out = build(tmp_path / "source", split="time", region=4, shards=shards)
    repo = repository(tmp_path)
    for region in regions:
        session = repo.writable_session("main")
        with open_virtual_dataset(
            out, registry=registry, parser=RegionParser(region=region), loadable_variables=[]
        ) as dataset:
            append = {"append_dim": "time"} if region else {}
            dataset.vz.to_icechunk(session.store, **append)
        session.commit(str(region))
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    got = zarr.open_group(store, mode="r")
    for name in ("air", "single"):
        assert np.asarray(got[name][...]).tobytes() == values.tobytes()


def test_regions_of_whole_shards_are_refused(registry, build, tmp_path):
    # VirtualiZarr would append them at the number of inner chunks, and not of shards.
    write_sharded(tmp_path / "source")
    out = build(tmp_path / "source", split="time", region=4, shards="whole")
    with pytest.raises(parchunk.UnsupportedError, match=r"air.*--shards whole"):
        RegionParser(region=1)(f"file://{out}", registry)
