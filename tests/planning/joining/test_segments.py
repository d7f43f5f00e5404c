"""Rows of many stores: each in one record file, one partition, and one segment of its store."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.made import spec

from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.growth import carried
from parchunk.planning.joining.growing import grown_stores
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.regions import RECORD_ROWS, STORES_APART, plan_stores
from parchunk.planning.joining.segments import segments
from parchunk.planning.joining.store_set import ArrayPlace, PlannedStore, StoreSet
from parchunk.planning.joining.store_view import StoreView
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Partition, Plan
from parchunk.planning.plan_document import read_plan
from parchunk.stores.opening import Location

CHUNK = 2


def stores_of(lengths: list[int], places: dict[str, ArrayPlace]) -> StoreSet:
    borders = list(accumulate(lengths, initial=0))
    stores = tuple(
        PlannedStore(f"s3://b/{at}.zarr", "", start, stop)
        for at, (start, stop) in enumerate(pairwise(borders))
    )
    return StoreSet(Joining(concat="t"), ("s3://b/*.zarr",), stores, places, {})


def arrays_of(length: int, sizes: list[int]) -> list[ArraySpec]:
    """Return arrays with so many chunks in one step along ``t``."""
    return [
        spec(name, (length, size), (CHUNK, 1), ("t", "x"))
        for name, size in zip("abc", sizes, strict=False)
    ]


def plan_of(
    lengths: list[int],
    sizes: list[int],
    region: int | None = None,
    record_size: int | None = None,
    lacking: tuple[int, ...] = (),
) -> Plan:
    there = tuple(at for at in range(len(lengths)) if at not in lacking)
    places = {"a": ArrayPlace(0, False, there)} if lacking else {}
    return plan_stores(
        Hierarchy(tuple(arrays_of(sum(lengths), sizes)), ()),
        stores_of(lengths, places),
        Location("s3://b", ()),
        region=region,
        record_size=record_size,
    )


def check(plan: Plan) -> None:
    stores = plan.stores
    assert stores is not None
    size = plan.record_size
    rows: dict[str, list[int]] = {array.spec.name: [] for array in plan.arrays}
    for partition in plan.partitions():
        array = plan.by_name[partition.array]
        inner = prod(array.spec.grid[1:])
        numbers = partition.rows.numbers(0, partition.rows.total).tolist()
        # Whole record files, each of which begins in the region.
        for first in numbers[::size]:
            assert first % size == 0
            assert array.region_at(first // inner) == partition.region
        assert len(numbers) % size == 0 or numbers[-1] == array.spec.total - 1
        parts = list(segments(plan, partition))
        found = []
        for part in parts:
            some = part.partition.rows.numbers(0, part.partition.rows.total).tolist()
            assert some
            assert part.partition.key == partition.key
            for number in some:
                element = number // inner * CHUNK
                assert part.store == stores.store_of(array.spec.name, element)
            # It begins with a record file, or is all within one: so slices are record files.
            assert some[0] % size == 0 or some[0] // size == some[-1] // size
            if part.store is not None:
                view = StoreView.of(plan, part.store)
                own = view.partition(part.partition)
                assert own.rows.number(0) >= 0
                assert own.rows.number(own.rows.total - 1) < view.specs[partition.array].total
            found += some
        assert found == numbers
        rows[array.spec.name] += numbers
    for array in plan.arrays:
        assert rows[array.spec.name] == list(range(array.spec.total))
    assert read_plan(json.loads(json.dumps(plan.to_json()))) == plan


LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=7).filter(any)


@settings(max_examples=60, deadline=None)
@example([1, 1, 1, 1], 0, [1, 3], None, 100, ())
@given(
    LENGTHS,
    st.integers(0, 1),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([None, 2, 4]),
    st.sampled_from([None, 1, 2, 3, 5, 7, 100]),
    st.sampled_from([(), (0,), (1, 2)]),
)
def test_every_row_is_in_one_record_file_of_one_region(
    chunks: list[int],
    odd: int,
    sizes: list[int],
    region: int | None,
    record_size: int | None,
    lacking: tuple[int, ...],
) -> None:
    lengths = [CHUNK * length for length in chunks]
    lengths[-1] += odd
    check(plan_of(lengths, sizes, region, record_size, lacking))


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS,
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from([0, 1, CHUNK]),
    st.lists(st.integers(1, 3), min_size=1, max_size=2),
    st.sampled_from([2, 4, 100]),
    st.sampled_from([None, 1, 3, 5, 100]),
)
def test_what_a_grown_plan_keeps_is_what_it_was(
    chunks: list[int],
    more: list[int],
    grown: int,
    sizes: list[int],
    region: int,
    record_size: int | None,
) -> None:
    lengths = [CHUNK * length for length in chunks]
    old = plan_of(lengths, sizes, region, record_size)
    lengths[-1] += grown if grown == CHUNK or not any(more) else 0
    lengths += [CHUNK * length for length in more]
    hierarchy = Hierarchy(tuple(arrays_of(sum(lengths), sizes)), ())
    new = grown_stores(old, hierarchy, stores_of(lengths, {}), Labels())
    check(new)
    assert new.cuts[: len(old.cuts) - 1] == old.cuts[:-1]
    before = {partition.key: partition for partition in old.partitions()}
    for item in carried(old, new):
        was, now = before[item.partition.key], item.partition
        assert numbers(was) == numbers(now)
    # What is not carried over reaches to where the old array ended.
    kept = {item.partition.key for item in carried(old, new)}
    for key, partition in before.items():
        end = old.by_name[key[0]].spec.total
        full = sum(lengths[: len(chunks)]) == old.cuts[-1]
        if full and partition.rows.total and numbers(partition)[-1] < end - 1:
            assert key in kept


def numbers(partition: Partition) -> list[int]:
    found: list[int] = partition.rows.numbers(0, partition.rows.total).tolist()
    return found


def test_months_have_readable_record_files() -> None:
    """120 months of hours: none shares a divisor above 24 with all others."""
    days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] * 10
    plan = plan_of([24 * CHUNK * day for day in days], [1])
    assert plan.record_size == 28 * 24
    files = [len(numbers(p)[:: plan.record_size]) for p in plan.partitions()]
    assert len(files) == 120
    assert set(files) == {1, 2}  # each month has one of its own, or two
    # As many rows as are readable, where months are long, and as a multiple of a step's.
    larger = plan_of([24 * CHUNK * day for day in days], [900])
    assert larger.record_size == RECORD_ROWS // 900 * 900


def test_stores_that_are_equally_long_have_record_files_of_their_own() -> None:
    plan = plan_of([8] * 5, [6, 3])
    assert plan.record_size == 12
    assert all(len({part.store for part in segments(plan, p)}) == 1 for p in plan.partitions())


def test_many_small_stores_share_regions_unless_those_are_asked_for() -> None:
    lengths = [CHUNK * 40] * 1_000
    plan = plan_of(lengths, [1, 1])
    assert len(plan.regions) == 1
    assert plan.record_size == 40_000
    check(plan_of([CHUNK * 3] * (STORES_APART + 1), [1, 2]))
    assert len(plan_of(lengths, [1], region=CHUNK * 40).regions) == 1_000
    assert len(plan_of(lengths[:STORES_APART], [1]).regions) == STORES_APART
    longer = plan_of([*lengths, CHUNK * 200_000, *lengths], [1])
    assert [(r.start // CHUNK, r.stop // CHUNK) for r in longer.regions] == [
        (0, 40_000), (40_000, 240_000), (240_000, 280_000),
    ]  # fmt: skip


def test_shards_and_later_axes_keep_record_files_within_stores() -> None:
    lengths = [8, 4, 8]
    whole = replace(spec("a", (20, 3), (4, 1), ("t", "x")), inner_chunks=(2, 1))
    plain = spec("b", (20, 5), (2, 1), ("t", "x"))
    later = spec("c", (4, 20), (1, 2), ("x", "t"))
    for arrays, place, size in (
        ((whole, plain), {}, 6),
        ((later, plain), {"c": ArrayPlace(1)}, 2),
    ):
        plan = plan_stores(Hierarchy(arrays, ()), stores_of(lengths, place), Location("s3://b", ()))
        assert plan.record_size % size == 0 or size % plan.record_size == 0
        for partition in plan.partitions():
            if partition.array != "b":
                assert len(list(segments(plan, partition))) == 1
        with pytest.raises(Exception, match="record files would straddle stores"):
            plan_stores(
                Hierarchy(arrays, ()),
                stores_of(lengths, place),
                Location("s3://b", ()),
                record_size=7,
            )
