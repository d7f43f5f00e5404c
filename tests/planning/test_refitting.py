"""Which regions arrays get that grew out of theirs: the rules, each by an array that needs it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.made import spec

from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.plan import ArrayPlan, Plan, Split
from parchunk.planning.refitting import refit
from parchunk.stores.opening import Location

#: A table of 3 x 41 x 2 chunks: no region of ``y`` is whole files of 3 rows, once it has 3 layers.
GROWN = spec("t", (9, 41, 2), (3, 1, 1), ("time", "y", "x"))
SCALAR = spec("crs", (), ())


def refitted(*specs: ArraySpec, axis: int, region: int, record_size: int = 3) -> Plan:
    """Return what becomes of a plan with regions of ``axis`` that its arrays grew out of."""
    leading = specs[0].dimension_names[axis]
    split = Split(None, axis) if leading is None else Split(leading)
    wanted = {one.name: split.axis_in(one) for one in specs}
    arrays = tuple(
        ArrayPlan(one)
        if (at := wanted[one.name]) is None
        else ArrayPlan(one, at, max(region // one.reference_chunks[at], 1))
        for one in specs
    )
    hierarchy = Hierarchy(tuple(specs), ())
    place = Location("s3://b/s.zarr", ())
    plan = Plan(place, "", hierarchy, split, region, record_size, 0, arrays)
    new = refit(plan, wanted)
    assert new.record_size == record_size
    for array in new.arrays:
        assert array.is_aligned(record_size)
        if array.axis is not None:
            each = array.spec.reference_chunks[array.axis]
            assert array.region_chunks * each == new.region_length
    return new


def axes(plan: Plan) -> dict[str, int | None]:
    return {array.spec.name: array.axis for array in plan.arrays}


def test_regions_that_fit_stay() -> None:
    plan = refitted(replace(GROWN, shape=(9, 42, 2)), SCALAR, axis=1, region=3)
    assert (str(plan.split), plan.region_length, axes(plan)) == ("y", 3, {"t": 1, "crs": None})


def test_of_a_longer_leading_dimension_regions_have_a_million_references() -> None:
    plan = refitted(GROWN, SCALAR, axis=1, region=4)
    assert (plan.split, axes(plan)) == (Split("time"), {"t": 0, "crs": None})
    assert plan.region_length == 3 * (1_000_000 // (41 * 2))


def test_the_leading_dimension_may_have_no_name() -> None:
    plan = refitted(replace(GROWN, dimension_names=(None,) * 3), axis=1, region=4)
    assert plan.split == Split(None, 0)


def test_the_largest_array_has_the_leading_dimension() -> None:
    small = spec("a", (2, 41, 2), (1, 1, 1), ("step", "y", "x"))
    plan = refitted(small, GROWN, axis=1, region=4)
    assert (plan.split, axes(plan)) == (Split("time"), {"a": None, "t": 0})


@pytest.mark.parametrize("beside", [(1, 1_000), (2, 61), (41, 6)])
def test_what_lies_well_along_the_later_dimension_and_is_no_larger_gives_way(
    beside: tuple[int, int],
) -> None:
    """Of one row, which any region fits, or of no more chunks."""
    rows, columns = beside
    other = spec("a", (rows, columns // 6 * 6), (1, 1), ("row", "y"))
    plan = refitted(GROWN, other, axis=1, region=6)
    assert (plan.split, axes(plan)) == (Split("time"), {"t": 0, "a": None})


@pytest.mark.parametrize("beside", [(2, 126), (42, 6)])
def test_where_more_lies_well_the_array_that_does_not_is_in_one_piece(
    beside: tuple[int, int],
) -> None:
    plan = refitted(GROWN, spec("a", beside, (1, 1), ("row", "y")), axis=1, region=6)
    assert (str(plan.split), plan.region_length) == ("y", 6)
    assert axes(plan) == {"t": None, "a": 1}


@pytest.mark.parametrize(
    ("chunk", "axis", "length"),
    [
        (10, 0, 3 * 10 * (1_000_000 // (10 * 41 * 2))),
        (20_000, 0, 3 * 20_000),  # more than a million references, and no more than two
        (25_000, None, 3 * (1_000_000 // (41 * 2))),
    ],
)
def test_regions_fit_the_chunks_of_others_unless_they_become_too_long(
    chunk: int, axis: int | None, length: int
) -> None:
    other = spec("a", (2 * chunk, 41), (chunk, 1), ("time", "y"))
    plan = refitted(GROWN, other, axis=1, region=4)
    assert axes(plan) == {"t": 0, "a": axis}
    assert plan.region_length == length


@pytest.mark.parametrize(("steps", "axes_of"), [(7, (0, None)), (21, (None, 0))])
def test_of_chunks_that_do_not_go_together_those_of_the_larger_array_are_fitted(
    steps: int, axes_of: tuple[int | None, int | None]
) -> None:
    long = spec("a", (40_000, 41), (20_000, 1), ("time", "y"))
    short = spec("b", (steps, 41), (7, 1), ("time", "y"))
    plan = refitted(GROWN, long, short, axis=1, region=4)
    assert axes(plan) == {"t": 0, "a": axes_of[0], "b": axes_of[1]}


def shards(columns: int, inner: int = 3) -> ArraySpec:
    """Return an array of shards of 4 x 1 inner chunks, ``columns`` beside each other."""
    table = spec("s", (800, columns * inner), (8, inner), ("time", "x"))
    return replace(table, inner_chunks=(2, inner))


def test_shards_get_longer_regions_of_whole_record_files() -> None:
    beside = spec("a", (800, 7), (8, 7), ("time", "x"))
    plan = refitted(shards(2), beside, SCALAR, axis=0, region=8, record_size=7)
    assert (str(plan.split), plan.region_length) == ("time", 8 * 7)
    assert axes(plan) == {"s": 0, "a": 0, "crs": None}


def test_shards_are_in_one_piece_where_regions_would_have_too_many_references() -> None:
    # Regions of 8 elements have a million references, as files of 128 rows want twice as many.
    plan = refitted(shards(250_000), SCALAR, axis=0, region=8, record_size=128)
    assert (plan.region_length, axes(plan)) == (16, {"s": 0, "crs": None})
    plan = refitted(shards(250_016), SCALAR, axis=0, region=8, record_size=256)
    assert (plan.region_length, axes(plan)) == (8, {"s": None, "crs": None})
