"""Arrays that some stores lack: what audits say of them, and of those that get them later."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.many_stores import Made, write

import parchunk


def month(path: Path, begin: int, axis: int, sharded: bool) -> Path:
    shape, names, chunks, shards = [4, 3], ["time", "x"], (2, 1), (4, 2)
    values = 1.0 + np.arange(12.0).reshape(shape) + begin
    if axis:
        values, names, chunks, shards = values.T, names[::-1], chunks[::-1], shards[::-1]
    return write(
        path,
        {
            "time": Made(np.arange(begin, begin + 4), ("time",), None, {"units": "hours"}),
            "air": Made(values, tuple(names), chunks),
            "rain": Made(values, tuple(names), chunks, {}, shards if sharded else None),
        },
        3,
    )


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_what_a_store_got_since_is_found_and_taken_in(
    tmp_path: Path, axis: int, sharded: bool, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where several small stores share a region, of which some rows are in no store."""
    if together:
        monkeypatch.setattr("parchunk.planning.joining.regions.STORES_APART", 1)
    paths = [month(tmp_path / "in" / f"{at}.zarr", 4 * at, axis, sharded) for at in range(3)]
    aside = shutil.move(paths[1] / "rain", tmp_path / "rain")
    out = tmp_path / "out"
    built = parchunk.build(parchunk.plan(paths, concat="time", join="outer"), out)
    assert built.missing == 6
    assert [f.kind for f in parchunk.audit(out, against_source=True).findings] == ["lacking"]
    shutil.move(aside, paths[1] / "rain")
    findings = parchunk.audit(out, against_source=True).findings
    assert {(f.kind, f.array) for f in findings} == {("lacking", "rain"), ("new-array", "rain")}
    came = next(f for f in findings if f.kind == "new-array")
    assert str(paths[1]) in came.message
    assert str(paths[0]) not in came.message
    parchunk.update(out)
    assert parchunk.audit(out, against_source=True).findings == ()
    whole = parchunk.open_dataset(out).load()
    np.testing.assert_array_equal(whole.rain.values, whole.air.values)
