"""Policies by array, from a file: what they excuse, whose word is last, and what they refuse."""

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

import parchunk
from parchunk.auditing.expectation import Expectation
from parchunk.cli.main import run

#: Chunk indices of `t` and of `u` that are missing: steps by columns.
MISSING = {"t": [(3, 1), (4, 0), (4, 1)], "u": [(9, 0)], "deep/v": [(0, 0), (0, 1)]}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> str:
    """References of ten days of three arrays, two chunks a day, some of them missing."""
    folder = tmp_path_factory.mktemp("policies")
    root = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=3)
    for name, missing in MISSING.items():
        array = root.create_array(
            name, shape=(10, 4), chunks=(1, 2), dtype="i4", dimension_names=("time", "x")
        )
        array[...] = 1
        for step, column in missing:
            (folder / f"s.zarr/{name}/c/{step}/{column}").unlink()
    time = root.create_array(
        "time", shape=(10,), chunks=(10,), dtype="i4", dimension_names=("time",),
        attributes={"units": "days since 2001-01-01"},
    )  # fmt: skip
    time[...] = np.arange(10)
    parchunk.build(parchunk.plan(folder / "s.zarr", split="time", region=5), folder / "refs")
    return str(folder / "refs")


def audited(out: str, folder: Path, text: str, **options: object) -> parchunk.AuditReport:
    path = folder / "policy.toml"
    path.write_text(dedent(text))
    return parchunk.audit(out, policy=path, **options)


def counts(report: parchunk.AuditReport) -> dict[str, tuple[int, int]]:
    """Return missing and excused chunks by array, of those that have any."""
    found = {one.array: (one.missing, one.excused) for one in report.arrays}
    return {name: pair for name, pair in found.items() if any(pair)}


@pytest.mark.parametrize(
    ("given", "excused"),
    [("6:7", 1), ("6:", 1), ("5:7", 1), ("4:6", 1), ("4:7", 2), ("5:6", 0), ("0:9", 4)],
)
def test_the_last_chunk_lies_in_what_reaches_the_end(
    tmp_path: Path, given: str, excused: int
) -> None:
    """Of seven elements in chunks of two the last has one, and one that is beyond the array."""
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    root.create_array("t", shape=(7,), chunks=(2,), dtype="i4", dimension_names=("x",))
    parchunk.build(parchunk.plan(tmp_path / "s.zarr"), tmp_path / "refs")
    (t,) = audited(str(tmp_path / "refs"), tmp_path, f'empty = ["x={given}"]').arrays
    assert (t.missing, t.excused) == (4 - excused, excused)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", {"t": (3, 0), "u": (1, 0), "deep/v": (2, 0)}),
        ('expect = "time=1:9"', {"t": (3, 0), "u": (0, 1), "deep/v": (0, 2)}),
        (
            """
            expect = ["time=1:9"]
            [arrays.u]
            expect = "time=2001-01-05:"
            [arrays."*/v"]
            expect = ["time=:", "x=2:4"]
            """,
            {"t": (3, 0), "u": (1, 0), "deep/v": (1, 1)},
        ),
        (
            """
            [arrays.t]
            empty = ["time=2001-01-05:2001-01-05", ["time=3:4", "x=2:4"]]
            """,
            {"t": (0, 3), "u": (1, 0), "deep/v": (2, 0)},
        ),
        # A chunk that lies there in part only is expected; ranges that are met twice count once.
        (
            """
            empty = ["x=0:3"]
            [arrays.t]
            empty = ["time=4:5"]
            """,
            {"t": (1, 2), "u": (0, 1), "deep/v": (1, 1)},
        ),
    ],
)
def test_what_is_not_expected_is_excused(
    out: str, tmp_path: Path, text: str, left: dict[str, tuple[int, int]]
) -> None:
    report = audited(out, tmp_path, text, by="day")
    assert counts(report) == left
    assert report.present + report.missing + report.excused == report.expected
    days = report.to_json()["by"]["periods"]
    assert sum(day["missing"] for day in days) == report.missing
    assert all(day["expected"] >= day["present"] >= 0 for day in days)


@pytest.mark.parametrize(
    ("text", "options", "concerned"),
    [
        ("", {}, {"t", "u", "deep/v"}),
        ('allow-missing = ["deep/*", "t"]', {}, {"u"}),
        ('max-missing = "6%"', {}, {"t", "deep/v"}),
        ('max-missing = 15\n[arrays."deep/v"]\nmax-missing = 1', {}, {"deep/v"}),
        ('max-missing = 15\n[arrays."*"]\nmax-missing = 1', {"max_missing": 50}, set()),
        ('[arrays."*"]\nallow-missing = true\n[arrays.u]\nallow-missing = false', {}, {"u"}),
        ("[arrays.u]\nallow-missing = false", {"allow_missing": "*"}, set()),
        ('[arrays.u]\nexpect = "time=0:3"', {"expect": "time=5:"}, {"u"}),
    ],
)
def test_the_last_word_counts(
    out: str, tmp_path: Path, text: str, options: dict[str, object], concerned: set[str]
) -> None:
    report = audited(out, tmp_path, text, **options)
    assert {one.array for one in report.findings if one.severity == "gap"} == concerned
    assert report.exit_code == (1 if concerned else 0)


def test_the_latest_step_is_that_of_what_is_expected(out: str, tmp_path: Path) -> None:
    text = '[arrays.u]\nallow-missing = true\n[arrays.t]\nexpect = "time=:7"\n'
    text += '[arrays."deep/v"]\nexpect = "time=:8"'
    found = audited(out, tmp_path, text).completeness
    assert found is not None
    assert (found.latest, found.through) == (7, None)


def test_dates_of_some_arrays_that_are_not_reached_are_a_finding(out: str, tmp_path: Path) -> None:
    text = 'allow-missing = ["*"]\n[arrays.u]\nexpect = "time=2001-01-02:2001-01-12"'
    (found,) = [one for one in audited(out, tmp_path, text).findings if one.severity == "gap"]
    assert found.kind == "ends-early"
    assert audited(out, tmp_path, text, expect="time=:2001-01-10").complete
    assert found.message == ("time ends at 2001-01-10, and chunks of u are expected to 2001-01-12")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expect = ", "is no TOML"),
        ("expct = []", "expct is nothing that a policy says: expect, empty"),
        ("[arrays.t]\nmax_missing = 1", "arrays.'t': max_missing is nothing"),
        ("[arrays.tt]\nmax-missing = 1", "arrays.'tt': no array has such a name"),
        ('allow-missing = ["tt"]', "allow-missing 'tt': no array has such a name"),
        ('allow-missing = "t"', "give a list of arrays"),
        ("arrays = 1", "give tables"),
        ('[arrays.t]\nallow-missing = ["t"]', "give true or false"),
        ('expect = ["tyme=0:1"]', "expect tyme=0:1: no array has that dimension; there are: time"),
        ('[arrays.time]\nexpect = ["x=0:1"]', "x=0:1: no array of these has that dimension"),
        ("expect = [1]", "1 is no DIM=START:STOP"),
        ('empty = ["t"]', "empty 't' is not DIM=START:STOP"),
        ("empty = [[]]", "allow-missing says that"),
        ('empty = ["x=2001-01-01:"]', "dates are known of the split dimension time only"),
        ("max-missing = 101", "max-missing is 101: give a percentage"),
        ("max-missing = true", "max-missing: give a percentage"),
    ],
)
def test_what_no_policy_says_is_refused(out: str, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(parchunk.InputError) as refused:
        audited(out, tmp_path, text)
    assert said in str(refused.value)
    assert "policy.toml" in str(refused.value)


def test_a_file_that_is_not_there(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", out, "--policy", "/no/such.toml"]) == 2
    assert "--policy /no/such.toml cannot be read" in capsys.readouterr().err


def bounds(size: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, size + 1), st.integers(0, size + 1))


@settings(max_examples=examples(40))
@given(st.data())
def test_counts_along_an_axis_are_those_of_its_chunks(data: st.DataObject) -> None:
    grid = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    axes = st.integers(0, len(grid) - 1)
    bound = axes.flatmap(lambda axis: bounds(grid[axis]).map(lambda ends: (axis, *ends)))
    box = st.lists(bound, max_size=3).map(tuple)
    boxes = st.lists(st.lists(bound, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple)
    expected = Expectation(grid, data.draw(box), data.draw(boxes))
    numbers = np.arange(np.prod(grid), dtype=np.int64)
    mask = expected.of(numbers).reshape(grid)
    axis = data.draw(axes)
    others = tuple(other for other in range(len(grid)) if other != axis)
    assert expected.along(axis).tolist() == mask.sum(axis=others).tolist()
