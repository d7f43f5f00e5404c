"""The PNG of the coverage, read back pixel by pixel."""

import io
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.report.plot import coverage_png

WHOLE, ALL_MISSING = (0x3A, 0x7C, 0xA5), (0xC0, 0x39, 0x2B)


@pytest.fixture
def audited(tmp_path: Path) -> parchunk.AuditReport:
    """Return the audit of two arrays of 40 chunks; of one, chunks 20 to 29 are missing."""
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    for name in ("gap", "whole"):
        array = root.create_array(name, shape=(40,), chunks=(1,), dtype="f4", fill_value=-1)
        array[...] = np.arange(40)
    for chunk in range(20, 30):
        (tmp_path / "s/gap" / str(chunk)).unlink()
    plan = parchunk.plan(str(tmp_path / "s"), split="0", region=10)
    parchunk.build(plan, str(tmp_path / "out"))
    return parchunk.audit(str(tmp_path / "out"))


def test_without_matplotlib_it_says_what_to_install(
    audited: parchunk.AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(parchunk.MissingExtraError, match=r"parchunk\[plot\]"):
        coverage_png(audited)


def test_gaps_are_drawn_where_they_are(audited: parchunk.AuditReport) -> None:
    image = pytest.importorskip("matplotlib.image")
    data = coverage_png(audited)
    assert data.startswith(b"\x89PNG")
    assert len(data) < 100_000
    pixels = np.round(image.imread(io.BytesIO(data))[..., :3] * 255).astype(int)
    blue, red = (np.all(pixels == colour, axis=-1) for colour in (WHOLE, ALL_MISSING))
    # The widest rows are strips; the legend's patches are narrow.
    wide = blue.sum(axis=1) + red.sum(axis=1) > pixels.shape[1] // 2
    cut = wide & (red.sum(axis=1) > 100)
    left, right = np.flatnonzero(blue[wide].any(axis=0))[[0, -1]]
    width = right - left + 1
    first, last = np.flatnonzero(red[cut].all(axis=0))[[0, -1]]
    assert abs((first - left) / width - 0.5) < 0.02
    assert abs((last - left) / width - 0.75) < 0.02
    # Half of the strips' rows are the gap's array; the other's are blue throughout.
    assert 0.8 < cut.sum() / (wide & ~cut).sum() < 1.25
    assert blue[wide & ~cut][:, left : right + 1].all()
