"""Arrays that some stores lack: what audits say of them, and of those that get them later."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run
from parchunk.planning.from_stores import Wishes, plan_many
from parchunk.planning.joining.joining import Joining
from parchunk.planning.many_sources import find_stores
from parchunk.report.markdown import markdown


def month(path: Path, begin: int, axis: int, sharded: bool) -> Path:
    shape, names, chunks, shards = [4, 3], ["time", "x"], (2, 1), (4, 2)
    values = 1.0 + np.arange(12.0).reshape(shape) + begin
    if axis:
        values, names, chunks, shards = values.T, names[::-1], chunks[::-1], shards[::-1]
    return write(
        path,
        {
            "time": Made(
                np.arange(begin, begin + 4), ("time",), None, {"units": "hours since 2000-01-01"}
            ),
            "air": Made(values, tuple(names), chunks),
            "rain": Made(values, tuple(names), chunks, {}, shards if sharded else None),
        },
        3,
    )


def plan_of(paths: list[Path], stores_apart: int) -> parchunk.Plan:
    joining, wishes = Joining(concat="time", join="outer"), Wishes("", (), (), "expand", "auto")
    found = find_stores([str(path) for path in paths])
    return plan_many(found, joining, wishes, None, False, stores_apart=stores_apart)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_what_a_store_got_since_is_found_and_taken_in(
    tmp_path: Path, axis: int, sharded: bool, together: bool
) -> None:
    """Also where several small stores share a region, of which some rows are in no store."""
    paths = [month(tmp_path / "in" / f"{at}.zarr", 4 * at, axis, sharded) for at in range(3)]
    aside = shutil.move(paths[1] / "rain", tmp_path / "rain")
    out = tmp_path / "out"
    built = parchunk.build(plan_of(paths, stores_apart=1 if together else len(paths)), out)
    assert len(built.plan.regions) == (1 if together and not axis and not sharded else 3)
    assert (built.missing, built.lacking) == (6, 6)
    found = parchunk.audit(out, against_source=True)
    assert [one.kind for one in found.findings] == ["lacking"]
    assert "| missing | lacking | bytes |" in markdown(found)
    assert found.to_html().count(">lacking</th>") == 2, "of arrays, and of stores"
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


def test_what_only_a_later_store_has_can_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy is followed: what --exclude names need not be in the first store."""
    paths = [str(month(tmp_path / f"{at}.zarr", 4 * at, 0, False)) for at in range(3)]
    shutil.rmtree(Path(paths[0]) / "rain")
    out, joined = str(tmp_path / "out"), ["--concat", "time", "--no-progress"]
    assert run(["build", *paths[:2], out, *joined]) == 2
    assert "--exclude" in capsys.readouterr().err
    assert run(["build", *paths[:2], out, *joined, "--exclude", "rian"]) == 2
    assert "--exclude rian matches no array of any of the stores" in capsys.readouterr().err
    assert run(["build", *paths[:2], out, *joined, "--exclude", "rain"]) == 0
    assert set(parchunk.open_dataset(out).data_vars) == {"air"}
    Path(paths[2], "rain").rename(Path(paths[2], "snow"))
    capsys.readouterr()
    assert run(["update", out, paths[2], "--no-progress"]) == 2
    assert "--exclude" in capsys.readouterr().err
    assert run(["update", out, paths[2], "--no-progress", "--exclude", "snow"]) == 0
    assert parchunk.open_dataset(out).sizes["time"] == 12
    assert run(["audit", out, "--against-source"]) == 0
