"""What `parchunk plan` shows people: arrays that are alike in one row, within 80 columns."""

from __future__ import annotations

from pathlib import Path

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
