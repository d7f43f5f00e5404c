"""Runs of gaps, the latest complete step and policies, against plain counting."""

import numpy as np
import pytest
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import examples

import parchunk
from parchunk.auditing.gaps import Steps, completeness
from parchunk.auditing.heat import Heat
from parchunk.auditing.policy import Policy
from parchunk.auditing.sizes import Sizes
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.spec import ArraySpec


def spec(shape, chunks):
    names = tuple("tyxz"[: len(shape)])
    keys = KeyEncoding("c", "/", len(shape))
    return ArraySpec("a", 3, shape, chunks, "<f4", 4, names, keys, {}, {})


@st.composite
def lossy(draw):
    """Draw an array, an axis of it, and chunk numbers that are missing."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunks = tuple(draw(st.integers(1, size)) for size in shape)
    made = spec(shape, chunks)
    axis = draw(st.integers(0, len(shape) - 1))
    lost = draw(st.sets(st.integers(0, made.total - 1)))
    return made, axis, np.array(sorted(lost), np.int64)


@given(lossy())
def test_runs_are_the_missing_chunks(case):
    made, axis, lost = case
    steps = Steps(made, axis)
    for part in np.array_split(lost, 3):
        steps.lose(part)
    index = np.array(np.unravel_index(lost, made.grid)).T
    counts = np.bincount(index[:, axis], minlength=made.grid[axis])
    runs = list(steps.runs())
    assert sum(run.missing for run in runs) == len(lost)
    told = {at for run in runs for at in range(run.first, run.last + 1)}
    assert told == set(np.flatnonzero(counts).tolist())
    for run in runs:
        assert run.missing == counts[run.first : run.last + 1].sum()
        assert (
            run.whole == (counts[run.first : run.last + 1] == made.total // made.grid[axis]).all()
        )
        within = [
            n for n, i in zip(lost.tolist(), index, strict=True) if run.first <= i[axis] <= run.last
        ]
        assert run.number == min(within)
        assert run.start == run.first * made.chunks[axis]
        assert run.stop == min((run.last + 1) * made.chunks[axis], made.shape[axis])


@given(st.lists(lossy(), min_size=1, max_size=3))
def test_latest_complete_step_is_where_every_array_is_whole(cases):
    extent = max(made.shape[axis] for made, axis, _ in cases)
    whole = np.ones(extent, bool)
    ranges = []
    for made, axis, lost in cases:
        steps = Steps(made, axis)
        steps.lose(lost)
        index = np.array(np.unravel_index(lost, made.grid)).T
        for at in index[:, axis].tolist():
            whole[at * made.chunks[axis] : min((at + 1) * made.chunks[axis], made.shape[axis])] = (
                False
            )
        whole[made.shape[axis] :] = False
        ranges.append((made.shape[axis], steps.incomplete()))
    found = completeness("t", ranges, extent)
    good = np.flatnonzero(whole)
    assert found.latest == (int(good[-1]) if len(good) else None)
    first_bad = int(np.flatnonzero(~whole)[0]) if not whole.all() else extent
    assert found.through == (first_bad - 1 if first_bad else None)


@pytest.mark.usefixtures("quiet_zarr")
def test_beyond_the_end_of_a_shorter_array_no_step_is_complete(tmp_path):
    for name, length in (("g/a", 6), ("h/b", 4)):
        zarr.create_array(
            tmp_path / "s", name=name, shape=length, chunks=1, dtype="u1", dimension_names=["t"]
        )[...] = 1
    parchunk.build(parchunk.plan(tmp_path / "s", split="t", region=2), tmp_path / "out")
    assert parchunk.audit(tmp_path / "out").completeness.latest == 3
    lenient = parchunk.audit(tmp_path / "out", allow_missing=["h/b"])
    assert lenient.completeness.latest == 5


@settings(max_examples=examples(15))
@example((spec((2, 3, 2), (1, 1, 1)), 1, np.array([7])), 5)  # chunks before and behind the axis
@given(lossy(), st.integers(1, 40))
def test_heat_counts_every_chunk_once(case, size):
    made, axis, lost = case
    heat = Heat(made.grid, axis)
    sizes = np.full(made.total, 10, np.int64)
    sizes[lost] = 0
    for first in range(0, made.total, size):
        heat.take(first, sizes[first : first + size])
    assert (heat.seen == heat.expected).all()
    assert heat.present.sum() == made.total - len(lost)
    assert heat.bytes.sum() == sizes.sum()


@pytest.mark.parametrize("lost", [[], [3, 40]])
@pytest.mark.parametrize("apart", [None, [40]])
def test_heat_that_is_settled_says_what_it_said_and_takes_more(lost, apart):
    """What it shares then is not written into."""
    one, other = Heat((10, 7), 0), Heat((10, 7), 0)
    sizes = np.full(70, 5)
    sizes[lost] = 0
    for heat in (one, other):
        heat.take(0, sizes, None if apart is None or not lost else np.array(apart))
    one.settle()
    for _ in range(2):
        assert (one.seen == other.seen).all()
        assert (one.present == other.present).all()
        assert (one.missing == other.missing).all()
        assert (one.apart == other.apart).all()
        more = Heat((10, 7), 0)
        more.take(0, np.zeros(70, np.int64), np.array([1, 2]))
        one.merge(more)
        other.merge(more)


def test_heat_of_a_large_grid_loses_no_gap():
    heat = Heat((1000, 70), 0)
    sizes = np.full(70_000, 7, np.int64)
    sizes[43_210] = 0
    heat.take(0, sizes)
    assert (heat.expected == heat.seen).all()
    assert (heat.present < heat.seen).sum() == 1


def test_rows_not_read_are_in_doubt():
    made = spec((6, 4), (1, 1))
    steps = Steps(made, 0)
    steps.doubt(9, 13)
    assert steps.unknown.tolist() == [False, False, True, True, False, False]
    along = Steps(made, 1)
    along.doubt(3, 5)
    assert along.unknown.tolist() == [True, False, False, True]
    along.doubt(0, 9)
    assert along.unknown.all()


def test_median_and_outliers():
    random = np.random.default_rng(0)
    sizes = random.normal(10_000, 500, 20_000).astype(np.int64)
    sizes[[3, 700]] = [12, 900_000]
    found = Sizes()
    for start in range(0, len(sizes), 999):
        part = sizes[start : start + 999]
        found.take(part, np.arange(start, start + len(part)))
    assert abs(found.median / np.median(sizes) - 1) < 0.011
    outliers = found.outliers()
    assert outliers.count == 2
    assert outliers.examples == ((3, 12), (700, 900_000))
    assert sum(count for _, _, count in found.histogram()) == len(sizes)


def test_usual_variation_is_no_outlier():
    found = Sizes()
    sizes = np.random.default_rng(0).lognormal(9, 0.5, 5_000).astype(np.int64) + 1
    found.take(sizes, np.arange(len(sizes)))
    assert found.outliers() is None


def test_policy_bounds_keep_partial_chunks():
    made = spec((10, 4), (3, 2))
    expected = Policy.of(["t=4:7"]).expectation(made)
    assert expected.bounds == ((0, 1, 3),)
    numbers = np.arange(made.total)
    assert numbers[expected.of(numbers)].tolist() == [2, 3, 4, 5]
    assert Policy.of(["t=:"]).expectation(made).bounds == ((0, 0, 4),)


@pytest.mark.parametrize("text", ["t", "t=1", "t=5:4", "=1:2", "t=-1:2", "t=a:b"])
def test_policy_that_makes_no_sense(text):
    with pytest.raises(parchunk.InputError, match="--expect"):
        Policy.of([text])


def test_policies_decide_the_verdict(built):
    assert built.audit().exit_code == 1
    assert built.audit(max_missing=20).exit_code == 0
    assert built.audit(max_missing=1).exit_code == 1
    assert built.audit(allow_missing=["t*"]).exit_code == 0
    assert built.audit(allow_missing=["time"]).exit_code == 1
    report = built.audit(expect=["time=0:5"])
    assert report.exit_code == 1, "a zero-byte chunk is one that somebody wanted to write"
    assert report.verdict == "incomplete: 1 chunk of zero bytes stands where none is expected"
    told = [found.message for found in report.findings if found.kind == "zero-sized"]
    assert len(told) == 1
    assert told[0].endswith("1 chunk is an object of zero bytes, where the policy expects none")
    assert report.missing == 0
    assert report.excused == 10
    assert report.completeness.latest == 4
    for options in ({"expect": ["tyme=0:5"]}, {"allow_missing": ["u*"]}, {"max_missing": 101}):
        with pytest.raises(parchunk.InputError):
            built.audit(**options)


def test_a_chunk_of_zero_bytes_beside_one_that_no_policy_expects_is_missing_where_it_is_expected(
    own,
):
    (own.source / "t/c/23/0/0").unlink()
    parchunk.update(own.out, regions=1)
    report = own.audit(expect=["time=0:21"])
    (told,) = [found.message for found in report.findings if found.kind == "zero-sized"]
    assert told.endswith("of zero bytes, and counted as missing where the policy expects chunks")


def test_gaps_are_told_with_dates(built):
    found = [f.message for f in built.audit().findings if f.kind == "missing-chunks"]
    assert found == [
        "t: chunk 5 along time, i.e. 2003-05-06: 1 of 4 chunks missing",
        "t: chunks 12-13 along time, i.e. 2003-05-13 to 2003-05-14: all 8 chunks missing",
        "t: chunk 20 along time, i.e. 2003-05-21: 1 of 4 chunks missing",
    ]
    report = built.audit()
    assert report.latest_text == "23 (2003-05-24) of 0 to 23; without a gap up to 4 (2003-05-05)"


def test_partitions_add_up(built):
    report = built.audit()
    for array in report.arrays:
        assert array.expected == array.present + array.missing + array.excused + array.unread
        parts = [p for p in report.partitions if p.array == array.array]
        assert sum(p.expected for p in parts) == array.expected
        assert sum(p.present for p in parts) == array.present
        assert sum(p.missing for p in parts) == array.missing


def test_no_coordinate_gives_no_labels(tmp_path):
    import zarr

    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    root.create_array("t", shape=(8,), chunks=(1,), dtype="f4")[...] = 1
    plan = parchunk.plan(str(tmp_path / "s"), region=4)
    parchunk.build(plan, str(tmp_path / "out"))
    report = parchunk.audit(str(tmp_path / "out"))
    assert report.complete
    assert report.verdict.startswith("complete")


def test_allowed_gaps_of_one_array_say_nothing_of_another(tmp_path):
    for name in "ab":
        made = zarr.create_array(
            tmp_path / "s.zarr" / name, shape=(10, 3), chunks=(1, 3), dtype="i4", zarr_format=2,
            attributes={"_ARRAY_DIMENSIONS": ["time", "x"]},
        )  # fmt: skip
        made[:] = 1
    zarr.open_group(tmp_path / "s.zarr", mode="a", zarr_format=2)
    (tmp_path / "s.zarr/a/9.0").write_bytes(b"")
    (tmp_path / "s.zarr/b/3.0").write_bytes(b"")
    parchunk.build(tmp_path / "s.zarr", tmp_path / "out")
    found = parchunk.audit(tmp_path / "out", allow_missing=["b"], expect=["time=0:8"])
    assert found.verdict == "incomplete: 1 chunk of zero bytes stands where none is expected"
