"""Builds against zarr-python: what stock readers read of the references is what the source holds.

The oracle is outside the project on both sides: zarr-python writes and reads the source, fsspec,
zarr, xarray and kerchunk's engine read the references.
"""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from tests.examples import examples
from tests.made import chunk_files, planned, stores, write_store

import parchunk

#: The module: its name in the package is the function's.
build_module = importlib.import_module("parchunk.building.build")

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]


pytestmark = pytest.mark.usefixtures("quiet_zarr")


def check_counts(result: parchunk.BuildResult, source: Path) -> None:
    present = sum(len(chunk_files(source / array.spec.name)) for array in result.plan.arrays)
    assert result.expected == sum(array.spec.total for array in result.plan.arrays)
    assert result.present + result.missing == result.expected
    assert result.present == present
    assert result.strays == 0
    sizes = sum(
        file.stat().st_size
        for array in result.plan.arrays
        for file in chunk_files(source / array.spec.name)
    )
    assert result.bytes == sizes


@settings(
    deadline=None,
    max_examples=examples(12),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=stores())
def test_stock_readers_read_what_the_source_holds(
    made: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    open_references: Reader,
    same_bits: Bits,
) -> None:
    folder = tmp_path_factory.mktemp("oracle")
    source, out = folder / "s.zarr", folder / "refs"
    write_store(source, made)
    result = parchunk.build(planned(str(source), made), str(out))
    check_counts(result, source)

    original = zarr.open_group(source, mode="r", use_consolidated=False)
    opened = open_references(out)
    assert dict(opened.attrs) == dict(original.attrs)
    for name in made["arrays"]:
        same_bits(opened[name][...], original[name][...])
        attributes = dict(opened[name].attrs)
        attributes.pop("_ARRAY_DIMENSIONS", None)
        assert attributes == dict(original[name].attrs)
        assert opened[name].chunks == original[name].chunks
    for array in result.plan.arrays:
        files = sorted((out / array.spec.name).glob("refs.*.parq"))
        assert len(files) == -(-array.spec.total // result.plan.record_size)
        rows = [pq.read_metadata(file).num_rows for file in files]
        assert sum(rows) == array.spec.total
    shutil.rmtree(folder)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_text(tmp_path: Path, open_references: Reader, same_bits: Bits, zarr_format: int) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=zarr_format)
    values = np.array(["a", "", "ünïcode", "日本", "x" * 300] * 3)
    dtypes = {"vlen": "string"}
    if zarr_format == 2:
        dtypes |= {"fixed": "<U300", "raw": "S300"}
    for name, dtype in dtypes.items():
        array = root.create_array(name, shape=(15,), chunks=(4,), dtype=dtype)
        array[...] = values if name != "raw" else np.char.encode(values, "utf-8")
    parchunk.build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    opened = open_references(tmp_path / "refs")
    for name in dtypes:
        same_bits(opened[name][...], root[name][...])


def dataset_store(path: Path, zarr_format: int, separator: str = "/") -> None:
    """A store as xarray users have it: coordinates, 3-D variables, times, a scalar, a hole."""
    import xarray

    random = np.random.default_rng(5)
    times = np.arange("2020-01-01", "2020-01-13", dtype="M8[D]").astype("M8[ns]")
    dataset = xarray.Dataset(
        {
            "air": (("time", "y", "x"), random.normal(280, 5, (12, 6, 8)).astype("f4")),
            "air_temp": (("time", "y"), random.integers(1, 99, (12, 6)).astype("i2")),
            "flag": (("y", "x"), random.random((6, 8)) > 0.5),
            "crs": ((), np.int32(4326)),
        },
        coords={"time": times, "y": np.arange(6.0), "x": np.arange(8) * 0.5},
        attrs={"title": "made up"},
    )
    encoding: dict[str, Any] = {
        "air": {"chunks": (1, 3, 4)},
        "air_temp": {"chunks": (2, 6)},
        "time": {"units": "hours since 2020-01-01", "dtype": "i8"},
    }
    dataset.to_zarr(path, zarr_format=zarr_format, encoding=encoding, consolidated=False)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("region", [2, 4, 12])
def test_xarray_opens_the_same_dataset(tmp_path: Path, zarr_format: int, region: int) -> None:
    import xarray

    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    dataset_store(source, zarr_format)
    parchunk.build(parchunk.plan(str(source), split="time", region=region), str(out))
    with (
        xarray.open_dataset(source, engine="zarr", consolidated=False) as original,
        parchunk.open_dataset(str(out)) as opened,
    ):
        xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())
        assert opened.attrs == original.attrs
    # The other engines take a v2 fill value for a mask, so without masks on either side.
    plain = {"mask_and_scale": False}
    reference = {"fo": str(out), "remote_protocol": "file"}
    with (
        xarray.open_dataset(source, engine="zarr", consolidated=False, **plain) as original,
        xarray.open_dataset(
            "reference://",
            engine="zarr",
            consolidated=False,
            backend_kwargs={"storage_options": reference},
            **plain,
        ) as by_zarr,
        xarray.open_dataset(
            str(out), engine="kerchunk", storage_options={"remote_protocol": "file"}, **plain
        ) as by_kerchunk,
    ):
        for opened in (by_zarr, by_kerchunk):
            xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())
            assert opened.attrs == original.attrs


def test_open_dataset_takes_a_group(tmp_path: Path) -> None:
    import xarray

    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    zarr.open_group(source, mode="w", zarr_format=3)
    dataset_store(source / "inner", 3)
    with (source / "inner" / "zarr.json").open() as file:
        assert json.load(file)["node_type"] == "group"
    parchunk.build(parchunk.plan(str(source)), str(out))
    with (
        parchunk.open_dataset(str(out), group="inner") as opened,
        xarray.open_dataset(source / "inner", engine="zarr", consolidated=False) as original,
    ):
        xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())


# Ways to the same bytes
