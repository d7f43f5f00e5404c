"""References that were updated, imported again."""

from pathlib import Path

import pytest
import zarr
from tests.made import grow

import parchunk


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_an_update_did_not_touch_is_not_imported_again(
    tmp_path: Path, zarr_format: int
) -> None:
    source, out, repo = tmp_path / "s.zarr", str(tmp_path / "refs"), str(tmp_path / "repo")
    grow(source, 13, zarr_format)
    parchunk.build(parchunk.plan(str(source), split="time", region=8), out)
    parchunk.to_icechunk(out, repo)
    grow(source, 40, zarr_format)
    parchunk.update(out)
    again = parchunk.to_icechunk(out, repo)
    # Region 0 was full; region 1 was not, and the whole arrays are longer.
    assert [commit.region for commit in again.commits] == [None, 1, 2, 3, 4]
    session = parchunk.open_icechunk(repo).readonly_session("main")
    imported = zarr.open_group(session.store, mode="r")
    original = zarr.open_group(source, mode="r")
    for name in ("air", "rain", "time", "x"):
        assert imported[name].shape == original[name].shape
        assert imported[name][...].tobytes() == original[name][...].tobytes()
