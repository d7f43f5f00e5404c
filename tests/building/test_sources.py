"""Sources of odd shapes and names: lone arrays, groups, empty arrays, long axes."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.made import chunk_files

import parchunk

#: The module: its name in the package is the function's.
build_module = importlib.import_module("parchunk.building.build")

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("quiet_zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_that_begin_each_other_and_odd_ones(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    zarr_format: int,
) -> None:
    # fmt: off
    names = [
        "air", "air_temp", "air-2", "air.x", "airc", "c", "0", "1", "a b", "ä", "日本", "50%",
        "a%20b",
        "q?x=1", "h#1", "a+b", "a&b=c", "a,b", "[x]", "(y)", "{z}", "it's", 'say "hi"', "~t",
        "g/air",
        "g/air_temp", "g/c/c", "semi;colon", "star*", "$d", "@at", "!",
    ]
    # fmt: on
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=zarr_format)
    for at, name in enumerate(names):
        array = root.create_array(name, shape=(11, 2), chunks=(1, 1), dtype="i4")
        array[...] = np.arange(1, 23).reshape(11, 2) * (at + 1)
        array.attrs["at"] = at
    next(iter(chunk_files(source / "air"))).unlink()
    result = parchunk.build(parchunk.plan(str(source)), str(tmp_path / "refs"))
    assert (result.missing, result.strays) == (1, 0)
    opened, original = open_references(tmp_path / "refs"), zarr.open_group(source, mode="r")
    for at, name in enumerate(names):
        assert opened[name].attrs["at"] == at
        same_bits(opened[name][...], original[name][...])


def test_arrays_of_no_length_scalars_and_unwritten_ones(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    for zarr_format in (2, 3):
        source, out = tmp_path / f"s{zarr_format}", tmp_path / f"refs{zarr_format}"
        root = zarr.open_group(source, mode="w", zarr_format=zarr_format)
        root.create_array("none", shape=(0,), chunks=(3,), dtype="f4")
        root.create_array("none2", shape=(5, 0), chunks=(1, 3), dtype="f4")
        root.create_array("scalar", shape=(), dtype="f8")[...] = 2.5
        root.create_array("unwritten scalar", shape=(), dtype="i8", fill_value=9)
        root.create_array("unwritten", shape=(4, 4), chunks=(1, 1), dtype="i8", fill_value=9)
        part = root.create_array("part", shape=(7, 5), chunks=(3, 2), dtype="u2", fill_value=1)
        part[...] = np.arange(35).reshape(7, 5)
        result = parchunk.build(parchunk.plan(str(source)), str(out))
        assert (result.expected, result.present) == (1 + 1 + 16 + 9, 1 + 9)
        opened = open_references(out)
        for name, array in root.arrays():
            same_bits(opened[name][...], array[...])
        assert opened["none2"].shape == (5, 0)


def test_an_axis_made_far_too_long(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    """As ARCO-ERA5: preallocated, with data in the middle only."""
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    array = root.create_array(
        "t", shape=(200_000, 2), chunks=(1, 2), dtype="f4", fill_value=np.nan, compressors=None
    )
    array[50_000:50_300] = np.arange(600).reshape(300, 2)
    plan = parchunk.plan(str(source), region=10_000)
    result = parchunk.build(plan, str(tmp_path / "refs"))
    assert (result.expected, result.present) == (200_000, 300)
    assert [r.present for r in sorted(result.receipts, key=lambda r: r.region or 0)] == [
        300 if region == 5 else 0 for region in range(20)
    ]
    opened = open_references(tmp_path / "refs")["t"]
    same_bits(opened[49_990:50_310], array[49_990:50_310])
    same_bits(opened[199_990:], array[199_990:])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("beside", [False, True])
def test_a_lone_array_is_a_source(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    zarr_format: int,
    beside: bool,
) -> None:
    source = tmp_path / "data" / "lone.zarr"
    array = zarr.create_array(
        source, shape=(10, 4), chunks=(1, 2), dtype="i4", zarr_format=zarr_format
    )
    array[...] = np.arange(1, 41).reshape(10, 4)
    # The folder beside the array is where anybody would put its references.
    out = tmp_path / "data" / "refs" if beside else tmp_path / "refs"
    result = parchunk.build(parchunk.plan(str(source)), str(out))
    assert result.present == 20
    same_bits(open_references(out)["lone.zarr"][...], array[...])
    with pytest.raises(parchunk.InputError, match="inside SRC"):
        parchunk.build(parchunk.plan(str(source)), str(source / "refs"))


def test_a_group_is_a_source(
    tmp_path: Path, open_references: Reader, same_bits: Bits, tree: Any
) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    for name in ("a/b/t", "a/b/c/t", "a/u", "v"):
        root.create_array(name, shape=(6,), chunks=(1,), dtype="i4")[...] = np.arange(1, 7)
    out = tmp_path / "refs"
    plan = parchunk.plan(str(source), group="/a/b/")
    result = parchunk.build(plan, str(out))
    assert {r.array for r in result.receipts} == {"t", "c/t"}
    opened = open_references(out)
    same_bits(opened["c/t"][...], np.arange(1, 7, dtype="i4"))
    assert parchunk.build(plan, str(out)).built == 0
    whole = tree(source)
    for inside in (source / "refs", source / "a" / "refs", source / "a" / "b" / "refs", tmp_path):
        with pytest.raises(parchunk.InputError, match="SRC"):
            parchunk.build(plan, str(inside))
    assert tree(source) == whole
    lone = parchunk.build(parchunk.plan(str(source), group="a/u"), str(tmp_path / "lone"))
    assert [r.array for r in lone.receipts] == ["u"]


def test_includes_and_excludes(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    for name in ("air", "air_temp", "g/air", "rain"):
        root.create_array(name, shape=(3,), chunks=(1,), dtype="i4")[...] = 1
    plan = parchunk.plan(str(source), include=["air*", "g/*"], exclude=["*_temp"])
    result = parchunk.build(plan, str(tmp_path / "refs"))
    assert {r.array for r in result.receipts} == {"air", "g/air"}


# When the source moves


def test_metadata_that_changes_meanwhile_is_not_published(tmp_path: Path) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array("t", shape=(6,), chunks=(1,), dtype="i4")
    array[...] = 1
    plan = parchunk.plan(str(source))
    array.resize((8,))
    with pytest.raises(parchunk.SourceChangedError, match="nothing was published"):
        parchunk.build(plan, str(out))
    assert not (out / ".zmetadata").exists()
    grown = parchunk.plan(str(source))
    with pytest.raises(parchunk.InputError, match=r"another plan \(region length 6 there, 8 now"):
        parchunk.build(grown, str(out))
    result = parchunk.build(grown, str(out), overwrite=True)
    assert (result.expected, result.present) == (8, 6)
