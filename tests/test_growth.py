"""Which partitions of a grown plan are what they were, against comparing them chunk by chunk."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import spec

from parchunk.errors import InputError
from parchunk.growth import grown_plan, unchanged
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.plan import ArrayPlan, Plan, Split
from parchunk.planner import make_plan
from parchunk.stores import Location


def plan_of(*specs: ArraySpec, axis: int | None = 0, region: int = 4, record_size: int = 3) -> Plan:
    arrays = tuple(
        ArrayPlan(one, axis, region // one.reference_chunks[axis])
        if axis is not None and axis < one.rank
        else ArrayPlan(one)
        for one in specs
    )
    return Plan(
        Location("s3://b/s.zarr", ()),
        "",
        Hierarchy(tuple(specs), ()),
        None if axis is None else Split(None, axis),
        region,
        record_size,
        0,
        arrays,
    )


@settings(max_examples=500)
@given(data=st.data())
def test_what_is_unchanged_is_so_chunk_by_chunk(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    chunks = tuple(data.draw(st.lists(st.sampled_from([1, 2]), min_size=rank, max_size=rank)))
    shape = tuple(data.draw(st.lists(st.integers(0, 9), min_size=rank, max_size=rank)))
    axis = data.draw(st.sampled_from([None, *range(rank)]))
    old = plan_of(
        spec("t", shape, chunks), axis=axis, region=4, record_size=data.draw(st.integers(1, 7))
    )
    longer = (shape[0] + data.draw(st.integers(0, 9)), *shape[1:])
    new = grown_plan(old, Hierarchy((spec("t", longer, chunks),), ()))
    grid = new.arrays[0].spec.grid
    same = {partition.region: partition for partition in unchanged(old, new)}
    for partition in new.partitions():
        numbers = partition.rows.numbers(0, partition.rows.cells)
        indices = np.stack(np.unravel_index(numbers, grid), axis=-1) if len(numbers) else []
        # What such a chunk held before is what it can ever hold.
        full = (
            all((int(index[0]) + 1) * chunks[0] <= shape[0] for index in indices) or longer == shape
        )
        there = [
            p
            for p in old.partitions()
            if p.region == partition.region
            and np.array_equal(p.rows.numbers(0, p.rows.cells), numbers)
        ]
        assert (partition.region in same) == bool(there and full)
    # Every record file stays where it was: no chunk got another number.
    assert math.prod(grid[1:]) == math.prod(old.arrays[0].spec.grid[1:])


def test_inner_chunks_of_a_shard_that_was_not_full_are_due() -> None:
    before = replace(spec("t", (20, 6), (8, 6)), inner_chunks=(2, 3))
    old = plan_of(before, region=8, record_size=2)
    new = grown_plan(old, Hierarchy((replace(before, shape=(30, 6)),), ()))
    # Shards are 8 long: two were full, the third held 4 of its 8.
    assert [partition.region for partition in unchanged(old, new)] == [0, 1]
    assert len(new.regions) == 4


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([], "t is gone"),
        ([spec("t", (8, 6), (2, 3))], r"t became shorter along axis 0 \(9 to 8\)"),
        ([spec("t", (9, 7), (2, 3))], r"t grew along axis 1 \(6 to 7\), which gives"),
        ([spec("t", (9, 6), (3, 3))], "t has other metadata"),
        ([spec("t", (9, 6, 1), (2, 3, 1))], "t has other metadata"),
        ([replace(spec("t", (9, 6), (2, 3)), dtype="int8")], "t has other metadata"),
        ([replace(spec("t", (9, 6), (2, 3)), document={"fill_value": 1})], "other metadata"),
    ],
)
def test_what_is_no_growth_is_refused_by_name(now: list[ArraySpec], said: str) -> None:
    old = plan_of(spec("t", (9, 6), (2, 3)))
    with pytest.raises(InputError, match=said):
        grown_plan(old, Hierarchy(tuple(now), ()))


def test_attributes_may_change_and_a_last_chunk_may_fill_up() -> None:
    before = replace(spec("t", (9, 5), (2, 3)), attributes={"history": "1"})
    old = plan_of(before)
    now = replace(before, shape=(9, 6), attributes={"history": "2"})
    new = grown_plan(old, Hierarchy((now,), ()))
    assert new.arrays[0].spec == now
    assert list(unchanged(old, new)) == []  # along axis 1 every last chunk has more in it


def test_arrays_that_came_are_split_as_the_others_are() -> None:
    dims = ("time", "x")
    old = make_plan(
        Hierarchy((spec("t", (8, 6), (1, 3), dims),), ()), Location("s3://b/s", ()), region=4
    )
    assert old.split == Split("time")
    came = [spec("a", (10, 6), (2, 3), dims), spec("x", (6,), (6,), ("x",))]
    now = Hierarchy((came[0], spec("t", (10, 6), (1, 3), dims), came[1]), ())
    new = grown_plan(old, now)
    assert [(a.spec.name, a.axis, a.region_chunks) for a in new.arrays] == [
        ("a", 0, 2),
        ("t", 0, 4),
        ("x", None, 0),
    ]
    assert {(p.array, p.region) for p in unchanged(old, new)} == {("t", 0), ("t", 1)}
