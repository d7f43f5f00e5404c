"""The table of docs/readers.md is what the readers that are installed here do."""

from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version

xarray = pytest.importorskip("xarray")

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
