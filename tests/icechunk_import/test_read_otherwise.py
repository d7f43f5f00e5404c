"""No reader of a branch takes the chunks that it keeps for other values than they are."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import parchunk
from parchunk.cli.main import run

NAME = "parchunk-import-main"


def write(path: Path, scale: float, zarr_format: Any, numbers: np.ndarray[Any, Any]) -> None:
    """Write tenths or hundredths, say, of the same numbers."""
    shutil.rmtree(path, ignore_errors=True)
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name in ("rain", "snow"):
        names = ["time"] if zarr_format == 3 else None
        array = root.create_array(
            name, shape=(6,), chunks=(1,), dtype="i4", dimension_names=names, fill_value=-9
        )
        array.attrs.update({"scale_factor": scale} if name == "rain" else {"long_name": "snow"})
        if zarr_format == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
        array[...] = np.round(numbers / (scale if name == "rain" else 1))


def seen(repo: str) -> list[float]:
    """Return the values of ``rain`` as xarray reads them on the branch."""
    store = parchunk.open_icechunk(repo).readonly_session("main").store
    with xarray.open_zarr(store, consolidated=False) as data:
        return [round(float(value), 6) for value in data["rain"].values]


def stop(_: Any) -> None:
    """End an import after the next region, as a kill would."""
    raise KeyboardInterrupt


def branches(repo: str) -> set[str]:
    return set(parchunk.open_icechunk(repo).list_branches())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_attributes_come_with_the_chunks_that_they_are_of(
    tmp_path: Path, zarr_format: int
) -> None:
    source, out, repo = tmp_path / "s.zarr", tmp_path / "refs", str(tmp_path / "repo")
    numbers = np.arange(1.0, 7)
    write(source, 0.5, zarr_format, numbers)
    plan = parchunk.plan(source, split="time", region=2, inline_threshold=100)
    parchunk.build(plan, out)
    parchunk.to_icechunk(out, repo)
    assert seen(repo) == [*numbers]

    write(source, 0.25, zarr_format, numbers)
    parchunk.update(out)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            parchunk.to_icechunk(out, repo, progress=stop)
        assert seen(repo) == [*numbers]
    result = parchunk.to_icechunk(out, repo)
    assert (result.published, result.on_side, result.commits) == (True, None, ())
    assert seen(repo) == [*numbers]
    assert branches(repo) == {"main"}


def test_some_regions_wait_aside_for_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, repo = (str(tmp_path / name) for name in ("s.zarr", "refs", "repo"))
    numbers = np.arange(1.0, 7)
    write(Path(source), 0.5, 3, numbers)
    parchunk.build(parchunk.plan(source, split="time", region=2, inline_threshold=100), out)
    parchunk.to_icechunk(out, repo)
    write(Path(source), 0.25, 3, numbers)
    parchunk.update(out)

    assert run(["to-icechunk", out, repo, "--regions", "0"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "note: rain: chunks that branch main keeps are read by other attributes now " in told
    assert f"on branch {NAME} until all are in, then main is moved: run again without" in told
    assert seen(repo) == [*numbers]
    assert run(["to-icechunk", out, repo]) == 0
    assert "3 of 3 regions are in" in capsys.readouterr().out
    assert seen(repo) == [*numbers]
    assert branches(repo) == {"main"}
    assert run(["audit", out, "--icechunk", repo]) == 0


def test_what_means_the_same_goes_on_the_branch(tmp_path: Path) -> None:
    source, out, repo = tmp_path / "s.zarr", tmp_path / "refs", str(tmp_path / "repo")
    write(source, 0.5, 3, np.arange(1.0, 7))
    parchunk.build(parchunk.plan(source, split="time", region=2, inline_threshold=100), out)
    parchunk.to_icechunk(out, repo)
    write(source, 0.5, 3, np.arange(2.0, 8))
    zarr.open_group(source)["snow"].attrs["long_name"] = "snowfall"
    parchunk.update(out, regions=[0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        parchunk.to_icechunk(out, repo, progress=stop)
    assert seen(repo) == [2.0, 3.0, 3.0, 4.0, 5.0, 6.0]  # region by region, as they come
    assert branches(repo) == {"main"}
