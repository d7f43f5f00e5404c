"""What `parchunk plan` shows people: arrays that are alike in one row, within 80 columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from parchunk.cli.main import run
from parchunk.cli.prices import costs_text


@pytest.mark.parametrize("arrays", [3, 40])
def test_arrays_that_are_alike_are_one_row(
    arrays: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=3)
    for number in range(arrays):
        root.create_array(
            f"v{number:02}", shape=(9000, 700, 1400), chunks=(1, 700, 1400), dtype="f4",
            dimension_names=("time", "y", "x"),
        )  # fmt: skip
    root.create_array("other", shape=(9000,), chunks=(10,), dtype="i8", dimension_names=("time",))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    assert run(["plan", "s", "--split", "time"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    rows = [line for line in lines if line.startswith(("v00", "other"))]
    assert rows[0].startswith("other")
    assert rows[1].startswith("v00, v01, v02")
    assert ("37 more" in " ".join(lines)) == (arrays == 40)
    assert f"{arrays * 9000:,}" in rows[1]
    assert f"{arrays + 1} arrays of Zarr v3, {arrays * 9000 + 900:,} chunks" in " ".join(lines)


def test_what_hardly_costs_anything_is_said_so() -> None:
    assert costs_text(0.00001, 0.04) == "less than $0.01 and less than a second"
    assert costs_text(0.5571, 1_657.7) == "about $0.56 and 28 min"
    assert costs_text(5_570.2, 4.2) == "about $5,570.20 and 4.2 s"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--concat", "t"], ["joined and kept inline: t", "kept inline: x (1 chunk)"]),
        (["--concat", "t", "--no-inline-coordinates"], []),
        (["--merge", "--exclude", "v", "--static", "first"], ["kept inline: t, x (2 chunks)"]),
    ],
)
def test_all_that_is_kept_of_many_stores_is_named(
    given: list[str], said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for store in range(2):
        root = zarr.open_group(tmp_path / str(store), mode="w", zarr_format=3)
        for name, dimensions in (("v", ("t", "x")), ("t", ("t",)), ("x", ("x",))):
            shape = (2,) * len(dimensions)
            array = root.create_array(
                name, shape=shape, chunks=shape, dtype="i8", dimension_names=dimensions
            )
            array[...] = np.arange(array.size).reshape(shape) + (2 * store if name == "t" else 0)
    stores = [str(tmp_path / "0"), str(tmp_path / "1")]
    assert run(["plan", *stores, *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("; ")[2] for line in lines if "kept inline" in line] == said


@pytest.mark.parametrize(
    ("region", "said"), [("", "1 region of up to "), ("25", "2 regions of 25 elements")]
)
def test_a_region_that_others_may_follow_is_as_long_as_it_may_become(
    region: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zarr.create_array(
        tmp_path / "s", shape=(50, 64), chunks=(1, 1), shards=(1, 64), dtype="i4",
        dimension_names=("time", "x"),
    )  # fmt: skip
    assert run(["plan", str(tmp_path / "s"), *(["--region", region] if region else [])]) == 0
    assert f"split along time: {said}" in capsys.readouterr().out


@pytest.mark.parametrize("region", [[], ["--region", "4"]])
def test_what_is_split_along_a_dimension_of_no_length(
    region: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zarr.create_array(
        tmp_path / "s/v", shape=(0, 4), chunks=(1, 4), dtype="i4", dimension_names=("t", "x")
    )
    zarr.create_group(tmp_path / "s")
    assert run(["plan", str(tmp_path / "s"), "--split", "t", *region]) == 0
    assert "split along t: 0 regions of" in capsys.readouterr().out
