"""The table of docs/readers.md is what the readers that are installed here do."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.version import Version

xarray = pytest.importorskip("xarray")

import zarr  # noqa: E402

import parchunk  # noqa: E402
from docs import readers  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
#: What xarray makes of v3 attributes before 2026.4, where it differs from the table.
OLDER_XARRAY = {
    (2, "`c8`"): {"Icechunk + xarray": "error"},
    (2, "`c16`"): {"Icechunk + xarray": "error"},
    (2, "variable-length text"): {"Icechunk + xarray": "exact"},
}


@pytest.mark.slow
def test_the_table_is_what_readers_do() -> None:
    """Run `python -m docs.readers` to write it anew, and read what has changed."""
    written = readers.read_page((DOCS / "readers.md").read_text())
    found = readers.find_out()
    assert list(written) == list(found)
    older = OLDER_XARRAY if Version(xarray.__version__) < Version("2026.4") else {}
    for row, cells in found.items():
        wanted = written[row] | older.get(row, {})
        for title, cell in cells.items():
            assert wanted[title] == cell, (row, title)


def test_fsspec_and_zarr_read_every_row_exactly() -> None:
    for row, cells in readers.read_page((DOCS / "readers.md").read_text()).items():
        assert cells["fsspec + zarr"] == "exact", row
        assert cells["parchunk.open_dataset"] in ("exact", "nor the source"), row


@pytest.mark.usefixtures("quiet_zarr")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_whose_dimensions_have_no_names_are_named(tmp_path: Path, zarr_format: int) -> None:
    """Of xarray they are an error that speaks of its own insides."""
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=zarr_format)  # type: ignore[call-overload]
    root.create_array("plain", shape=(4,), chunks=(2,), dtype="f4")[...] = 1
    names = {"dimension_names": ["x"]} if zarr_format == 3 else {}
    attributes = {} if names else {"_ARRAY_DIMENSIONS": ["x"]}
    below = root.create_group("g")
    below.create_array(
        "named", shape=(4,), chunks=(2,), dtype="f4", attributes=attributes, **names
    )[...] = 1
    parchunk.build(str(tmp_path / "s"), tmp_path / "out")
    with pytest.raises(parchunk.InputError, match="no names: 'plain': read them with zarr-python"):
        parchunk.open_dataset(tmp_path / "out")
    with pytest.raises(parchunk.InputError, match="out has no group 'h': there are g"):
        parchunk.open_dataset(tmp_path / "out", group="h")
    with parchunk.open_dataset(tmp_path / "out", group="/g/") as opened:
        assert opened["named"].dims == ("x",)


@pytest.mark.usefixtures("quiet_zarr")
def test_dimensions_of_which_some_have_no_name_read_as_in_the_source(tmp_path: Path) -> None:
    store = zarr.open_group(tmp_path / "s", mode="w", zarr_format=3)
    store.create_array(
        "a", shape=(4, 2), chunks=(2, 2), dtype="f4", dimension_names=["y", None]
    )[...] = 1  # fmt: skip
    parchunk.build(str(tmp_path / "s"), tmp_path / "out")
    with (
        xarray.open_zarr(tmp_path / "s", consolidated=False, chunks=None) as source,
        parchunk.open_dataset(tmp_path / "out") as opened,
    ):
        assert opened["a"].identical(source["a"])
        assert opened["a"].dims == ("y", None)


@pytest.mark.usefixtures("quiet_zarr")
@pytest.mark.parametrize(
    ("zarr_format", "options"), [(2, {}), (3, {}), (3, {"zarr_format": 3})], ids=["2", "3", "kept"]
)
def test_groups_open_by_the_recipe_without_parchunk(
    tmp_path: Path, zarr_format: int, options: dict[str, Any]
) -> None:
    """As the how-to says; its block opened groups empty, as zarr-python 3.1 lists none."""
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=zarr_format)  # type: ignore[call-overload]
    for path in ("a", "g/b", "g/deep/c"):
        named = {"dimension_names": ["x"]} if zarr_format == 3 else {}
        attributes = {} if named else {"_ARRAY_DIMENSIONS": ["x"]}
        root.create_array(
            path, shape=(4,), chunks=(2,), dtype="i4", attributes=attributes, **named
        )[...] = np.arange(4) + len(path)
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(tmp_path / "s", **options), out)
    page = (DOCS / "howto" / "read.md").read_text()
    recipe = next(
        block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "reference:" in block
    )
    recipe = recipe.replace('"refs.parquet"', repr(str(out))).replace("dataset.close()", "")
    for group in ("", "g", "g/deep"):
        scope: dict[str, Any] = {}
        exec(recipe.replace('engine="zarr",', f'engine="zarr", group="{group}",'), scope)
        with (
            xarray.open_zarr(tmp_path / "s", group=group, consolidated=False) as source,
            scope["dataset"] as dataset,
        ):
            xarray.testing.assert_equal(dataset.load(), source.load())
    with (
        xarray.open_datatree(tmp_path / "s", engine="zarr", consolidated=False) as tree,
        xarray.open_datatree(
            "reference://", engine="zarr", consolidated=True,
            storage_options={"fo": str(out), "remote_protocol": "file"},
        ) as opened,
    ):  # fmt: skip
        xarray.testing.assert_equal(opened.load(), tree.load())


def test_sameness_is_of_bits() -> None:
    assert readers.same([1.0, float("nan")], [1.0, float("nan")])
    assert not readers.same([0.0], [-0.0])
    assert not readers.same([1], [1.0])


def test_text_of_another_type_is_told_apart() -> None:
    texts = np.array([["0", "1"]], object)
    assert readers.verdict(texts.astype("U4"), texts) == "other type"
    assert readers.verdict(texts, texts) == "exact"
    assert readers.verdict(texts[:, :1].astype("U4"), texts) == "**differs**"
    assert readers.verdict(np.array([["0", "2"]]), texts) == "**differs**"
    assert readers.verdict(np.zeros((1, 2), "i8"), np.zeros((1, 2), "i4")) == "**differs**"
