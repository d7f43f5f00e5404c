"""Which partitions of a grown plan are what they were, against comparing them chunk by chunk."""

import json
import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.made import spec

from parchunk.errors import InputError
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec, Hierarchy, canonical
from parchunk.planning.changes import Changes, changes_of, refuse_unasked
from parchunk.planning.choice import make_plan
from parchunk.planning.growth import carried, grown_plan
from parchunk.planning.plan import ArrayPlan, Partition, Plan, Split
from parchunk.planning.plan_document import read_plan
from parchunk.planning.refitting import region_unit
from parchunk.stores.opening import Location


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


@st.composite
def grown_arrays(draw: st.DrawFn, name: str = "t") -> tuple[ArraySpec, ArraySpec]:
    """Return an array, sharded or not, and the same when it has grown along its leading axis."""
    rank = draw(st.integers(1, 3))
    inner = tuple(draw(st.lists(st.sampled_from([1, 1, 2]), min_size=rank, max_size=rank)))
    shape = tuple(draw(st.lists(st.integers(0, 9), min_size=rank, max_size=rank)))
    longer = (shape[0] + draw(st.sampled_from([0, 1, 2, 3, 9])), *shape[1:])
    names = tuple("tyx"[:rank]) if draw(st.booleans()) else None
    if draw(st.booleans()):
        return spec(name, shape, inner, names), spec(name, longer, inner, names)
    shards = tuple(size * draw(st.sampled_from([1, 2, 3])) for size in inner)
    before = replace(spec(name, shape, shards, names), inner_chunks=inner)
    return before, replace(before, shape=longer)


def rows_of(partition: Partition) -> list[int]:
    return partition.rows.numbers(0, partition.rows.total).tolist()


def are_record_files(rows: RowSet, size: int, total: int) -> bool:
    """Whether rows, cut into pieces, are whole record files of an array: looked at one by one."""
    numbers = rows.numbers(0, rows.total).tolist()
    pieces = [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]
    return all(
        piece == list(range(piece[0], min(piece[0] + size, total))) and piece[0] % size == 0
        for piece in pieces
    )


def check_ownership(plan: Plan) -> None:
    """Every row is in one partition, and no record file in two."""
    for array in plan.arrays:
        rows: list[int] = []
        files: list[int] = []
        for partition in array.partitions(plan.record_size):
            mine = rows_of(partition)
            assert are_record_files(partition.rows, plan.record_size, array.spec.reference_total)
            rows += mine
            files += sorted({row // plan.record_size for row in mine})
        assert sorted(rows) == list(range(array.spec.reference_total))
        assert len(files) == len(set(files))
        if array.axis is not None:
            assert array.region_chunks * array.spec.reference_chunks[array.axis] == (
                plan.region_length
            )
            assert plan.region_length % array.spec.chunks[array.axis] == 0
    assert read_plan(json.loads(json.dumps(plan.to_json()))) == plan


@settings(max_examples=500)
@given(data=st.data())
def test_what_is_carried_over_was_known_chunk_by_chunk(data: st.DataObject) -> None:
    """Any plan, also one that its arrays do not fit: such an array is not believed."""
    before, after = data.draw(grown_arrays())
    axis = data.draw(st.sampled_from([None, *range(before.rank)]))
    region = data.draw(st.integers(1, 4)) * before.chunks[axis or 0]
    old = plan_of(before, axis=axis, region=region, record_size=data.draw(st.integers(1, 7)))
    new = grown_plan(old, Hierarchy((after,), ()))
    check_ownership(new)
    assert new.record_size == old.record_size
    # Every record file stays where it was: no chunk got another number.
    grid = after.reference_grid
    assert math.prod(grid[1:]) == math.prod(before.reference_grid[1:])
    if not old.arrays[0].is_aligned(old.record_size):
        assert list(carried(old, new)) == []
        return
    known = {p.region: rows_of(p) for p in old.partitions()}
    same = {item.partition.region: item for item in carried(old, new)}
    for partition in new.partitions():
        rows = rows_of(partition)
        indices = [np.unravel_index(row, grid)[0] for row in rows]
        # What such a chunk held before is what it can ever hold; those of one shard go together.
        shard = [int(i) * after.reference_chunks[0] // after.chunks[0] for i in indices]
        full = before == after or all((i + 1) * after.chunks[0] <= before.shape[0] for i in shard)
        parts = [region for region, was in known.items() if was and set(was) <= set(rows)]
        whole = sum(len(known[region]) for region in parts) == len(rows)
        item = same.get(partition.region)
        if item is not None:
            assert full
            assert item.partition == partition
            assert sorted(row for was in item.before for row in rows_of(was)) == rows
        elif rows:
            assert not (full and whole)


@settings(max_examples=examples(200))
@given(data=st.data())
def test_several_arrays_grow_out_of_their_regions_together(data: st.DataObject) -> None:
    """Plans as they are made, for stores of named dimensions, with arrays that come."""
    pairs = [data.draw(grown_arrays(name)) for name in "abc"[: data.draw(st.integers(1, 3))]]
    lengths = {name: data.draw(st.integers(1, 7)) for name in "tyx"}
    came = data.draw(st.integers(0, len(pairs) - 1))
    names = data.draw(st.permutations("tyx"))
    steps = data.draw(st.sampled_from([0, 1, 5, 20]))

    def at(one: ArraySpec, longer: int) -> ArraySpec:
        dimensions = tuple(names[: one.rank])
        shape = tuple(lengths[name] for name in dimensions)
        return replace(one, shape=(shape[0] + longer, *shape[1:]), dimension_names=dimensions)

    before = Hierarchy(tuple(at(one, 0) for one, _ in pairs[came:]), ())
    after = Hierarchy(tuple(at(one, steps) for one, _ in pairs), ())
    try:
        old = make_plan(
            before,
            Location("s3://b/s.zarr", ()),
            split=data.draw(st.none() | st.sampled_from(names)),
            region=data.draw(st.none() | st.integers(1, 12)),
            record_size=data.draw(st.none() | st.integers(1, 6)),
        )
    except InputError:
        return
    check_ownership(old)
    new = grown_plan(old, after)
    check_ownership(new)
    for item in carried(old, new):
        rows = sorted(row for was in item.before for row in rows_of(was))
        assert rows == rows_of(item.partition)
    # What has not grown, and nothing beside it, is planned as it was.
    if not steps and not came:
        assert new == old


def test_inner_chunks_of_a_shard_that_was_not_full_are_due() -> None:
    before = replace(spec("t", (20, 6), (8, 6)), inner_chunks=(2, 3))
    old = plan_of(before, region=8, record_size=2)
    new = grown_plan(old, Hierarchy((replace(before, shape=(30, 6)),), ()))
    # Shards are 8 long: two were full, the third held 4 of its 8.
    assert [item.partition.region for item in carried(old, new)] == [0, 1]
    assert len(new.regions) == 4


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([], "t is gone"),
        ([spec("t", (8, 6), (2, 3))], "t became shorter along axis 0 (9 to 8)"),
        ([spec("t", (9, 7), (2, 3))], "t grew along axis 1 (6 to 7), which gives"),
        ([spec("t", (8, 7), (2, 3))], "t became shorter along axis 0 (9 to 8)"),
        ([spec("t", (9, 6), (3, 3))], "t has other metadata"),
        ([spec("t", (9, 6, 1), (2, 3, 1))], "t has other metadata"),
        ([spec("t", (9, 6), (2, 3), ("y", "x"))], "t has other metadata (dimension_names"),
        ([replace(spec("t", (9, 6), (2, 3)), dtype="int8")], "t has other metadata"),
        ([replace(spec("t", (9, 6), (2, 3)), document={"fill_value": 1})], "other metadata"),
    ],
)
def test_what_is_no_growth_is_told_by_name(now: list[ArraySpec], said: str) -> None:
    old = plan_of(spec("t", (9, 6), (2, 3)))
    changes = changes_of(old, Hierarchy(tuple(now), ()))
    assert not changes.in_place
    named = {**changes.other, **changes.shrunk, **changes.renumbered}
    named |= dict.fromkeys(changes.gone, "is gone")
    (problem,) = (f"{name} {what}" for name, what in named.items())
    assert said in problem
    assert any(problem in note for note in changes.notes()) == (
        "grew" not in said and "shorter" not in said
    )
    lost = "gone" in said or "shorter" in said
    for shrink, gone in ((False, False), ("shorter" not in said, "gone" not in said)):
        with pytest.raises(InputError, match="--allow") if lost else nullcontext():
            refuse_unasked(old, changes, shrink, gone)
    refuse_unasked(old, changes, True, True)


def test_attributes_may_change_and_a_last_chunk_may_fill_up() -> None:
    before = replace(spec("t", (9, 5), (2, 3)), attributes={"history": "1"})
    old = plan_of(before)
    now = replace(before, shape=(9, 6), attributes={"history": "2"})
    new = grown_plan(old, Hierarchy((now,), ()))
    assert new.arrays[0].spec == now
    assert list(carried(old, new)) == []  # along axis 1 every last chunk has more in it


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
    known = {item.partition.key for item in carried(old, new)}
    assert known == {("t", 0), ("t", 1)}


@settings(max_examples=500)
@given(data=st.data())
def test_an_array_is_aligned_when_its_partitions_are(data: st.DataObject) -> None:
    _, one = data.draw(grown_arrays())
    axis = data.draw(st.sampled_from(range(one.rank)))
    region = data.draw(st.integers(1, 4)) * one.chunks[axis]
    size = data.draw(st.integers(1, 9))
    array = ArrayPlan(one, axis, region // one.reference_chunks[axis])
    assert array.is_aligned(size) == all(
        are_record_files(partition.rows, size, one.reference_total)
        for partition in array.partitions(size)
    )


@pytest.mark.parametrize("inner", [(), (7,), (10_007,), (64, 500), (450, 901), (1801, 3600)])
@pytest.mark.parametrize("steps", [8, 40, 120])
@pytest.mark.parametrize("record_size", [None, 1_000])
def test_plans_of_shards_are_made_to_last(
    inner: tuple[int, ...], steps: int, record_size: int | None
) -> None:
    """The only region of a new plan is so long that another one may follow."""
    shape = (steps, *inner)
    if record_size and math.prod(inner) > 1_000:
        return  # regions of which no record file of 1,000 rows is part
    before = replace(
        spec("t", shape, (8, *inner), tuple("tyx"[: len(shape)])),
        inner_chunks=(1,) * len(shape),
    )
    old = make_plan(
        Hierarchy((before,), ()),
        Location("s3://b/s.zarr", ()),
        split="t",
        record_size=record_size,
    )
    assert 1_000 <= old.record_size <= 100_000
    if math.prod(inner) < 100_000:
        assert old.record_size >= (record_size or 50_000)
    for longer in (steps + 8, 10 * steps, 1_000 * steps):
        new = grown_plan(old, Hierarchy((replace(before, shape=(longer, *inner)),), ()))
        assert new.arrays[0].is_aligned(new.record_size)
        assert (new.split, new.region_length) == (old.split, old.region_length)


def test_rows_of_equal_count_are_not_the_same_rows() -> None:
    """Regions of one length along one axis, and then along another: equal counts, other rows."""
    before = spec("t", (4, 4), (1, 1), ("y", "x"))
    hierarchy = Hierarchy((before,), ())
    along_y = plan_of(before, axis=0, region=2, record_size=2)
    along_x = plan_of(before, axis=1, region=2, record_size=2)
    assert list(carried(along_y, along_x)) == []
    assert list(carried(along_x, along_y)) == []
    assert len(list(carried(along_y, grown_plan(along_y, hierarchy)))) == 2
    # As many rows as a region along x has, all of which begin there.
    before = spec("t", (2, 4), (1, 1), ("y", "x"))
    short = plan_of(before, axis=0, region=1, record_size=2)
    long = plan_of(replace(before, shape=(4, 4)), axis=1, region=2, record_size=2)
    first, second = short.partitions()
    assert first.rows.total + second.rows.total == long.arrays[0].partition(0, 2).rows.total
    assert list(carried(short, long)) == []
    # As many rows as the second region of the grown array, from one further on.
    before = spec("t", (15,), (1,))
    short = plan_of(before, axis=0, region=4, record_size=1)
    long = plan_of(replace(before, shape=(28,)), axis=0, region=7, record_size=1)
    *_, third, fourth = short.partitions()
    assert third.rows.total + fourth.rows.total == long.arrays[0].partition(1, 1).rows.total
    assert list(carried(short, long)) == []


def test_regions_of_another_axis_are_joined_though_they_are_as_many_chunks_long() -> None:
    """A row of a table was four regions, and is one of the regions of the grown table."""
    before = spec("t", (1, 4), (1, 1), ("y", "x"))
    old = plan_of(before, axis=1, region=1, record_size=1)
    new = plan_of(replace(before, shape=(3, 4)), axis=0, region=1, record_size=1)
    assert old.arrays[0].region_chunks == new.arrays[0].region_chunks
    (found,) = carried(old, new)
    assert found.partition == next(new.partitions())
    assert found.before == tuple(old.partitions())


def test_more_partitions_than_receipts_are_kept_for_are_joined() -> None:
    before = spec("t", (5_000_000,), (1,))
    old = plan_of(before, axis=0, region=1, record_size=1)
    new = grown_plan(old, Hierarchy((replace(before, shape=(5_000_001,)),), ()))
    assert new.region_length == 2
    assert new.arrays[0].regions == 2_500_001
    assert grown_plan(old, Hierarchy((before,), ())) == old


def test_more_chunks_than_numbers_are_refused_before_anything_is_written() -> None:
    before = spec("t", (5,), (1,))
    old = plan_of(before)
    with pytest.raises(InputError, match="more than a listing could show"):
        grown_plan(old, Hierarchy((replace(before, shape=((1 << 53) + 1,)),), ()))


def test_a_store_that_began_with_one_chunk_gets_regions_when_it_is_large() -> None:
    dims = ("t", "y", "x")
    before = spec("t", (1, 721, 1440), (1, 721, 1440), dims)
    old = make_plan(Hierarchy((before,), ()), Location("s3://b/s.zarr", ()))
    assert old.split is None
    for steps, regions in ((2, 0), (1_000_000, 0), (1_000_001, 2), (5_000_000, 5)):
        now = Hierarchy((replace(before, shape=(steps, 721, 1440)),), ())
        new = grown_plan(old, now)
        assert len(new.regions) == regions
        assert new.record_size == old.record_size
        assert grown_plan(new, now) == new
    # Shards of which no region is whole record files stay in one piece.
    before = replace(spec("t", (1, 6_007), (1, 6_007), dims[:2]), inner_chunks=(1, 6_007))
    old = make_plan(Hierarchy((before,), ()), Location("s3://b/s.zarr", ()), record_size=4_096)
    now = Hierarchy((replace(before, shape=(2_000_000, 6_007)),), ())
    new = grown_plan(old, now)
    assert new.arrays[0].is_aligned(4_096)


@settings(max_examples=200)
@given(
    grid=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    record_size=st.integers(1, 12),
    data=st.data(),
)
def test_lengths_that_fit_are_the_multiples_of_a_unit(
    grid: list[int], record_size: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, len(grid) - 1))
    array = spec("a", tuple(grid), (1,) * len(grid))
    unit = region_unit(array, axis, record_size)
    for length in range(1, grid[axis]):
        fits = ArrayPlan(array, axis, length).is_aligned(record_size)
        assert fits == (unit is not None and length % unit == 0)


def test_what_became_of_many_arrays_alike_is_one_note() -> None:
    names = [f"a{number:02}" for number in range(10)]
    grew = dict.fromkeys(names, "has other metadata (chunks [4], now [6])")
    notes = Changes(gone=("x", "y"), other={**grew, "z": "has other metadata (fill_value)"}).notes()
    assert notes[:3] == [
        "a00, a01, a02, a03, a04, a05, a06, a07 and 2 more: each has other metadata (chunks [4], "
        "now [6]): they were built anew",
        "z has other metadata (fill_value): it was built anew",
        "x, y are gone: their references were deleted",
    ]
    assert len(notes) == 4


def test_arrays_that_hold_the_same_objects_are_not_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand arrays most do, and to spell each takes ten times as long."""
    spelled: list[str] = []

    def counting(value: object) -> str:
        spelled.append(canonical(value))
        return spelled[-1]

    monkeypatch.setattr("parchunk.planning.changes.canonical", counting)
    one = spec("t", (9, 6), (2, 3))
    old = plan_of(one)
    assert changes_of(old, Hierarchy((replace(one),), ())) == Changes()
    assert not spelled
    assert "t" in changes_of(old, Hierarchy((replace(one, dtype="int8"),), ())).other
    assert spelled
