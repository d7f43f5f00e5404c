"""Plans for expanded arrays: two grids, regions that align to shards, forecasts."""

import dataclasses
import re
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from parchunk.cover import forecast, memory, room, scheduling, walks
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.shard_grid import (
    ends_within_shards,
    extents,
    inner_slices,
    shard_numbers,
    shards_of,
)
from parchunk.metadata.shard_stretches import IndexSteps
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.metadata.v3 import parse_v3_array
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.planning.plan_document import read_plan
from parchunk.stores.opening import Location

WIDTH = walks.Width(32, 16, 1000)
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def sharded(
    name: str,
    shape: tuple[int, ...],
    shards: tuple[int, ...],
    chunks: tuple[int, ...],
    dimensions: tuple[str, ...] | None = None,
) -> ArraySpec:
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shards)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(chunks),
                    "codecs": [LITTLE],
                    "index_codecs": [LITTLE, {"name": "crc32c"}],
                },
            }
        ],
    }
    if dimensions:
        document["dimension_names"] = list(dimensions)
    return parse_v3_array(name, document)


def planned(*specs: ArraySpec, **options: Any) -> Plan:
    return make_plan(Hierarchy(specs, ()), Location("s3://b/s.zarr"), **options)


GEFS = sharded(
    "t2m",
    (1800, 31, 181, 721, 1440),
    (1, 31, 192, 374, 368),
    (1, 31, 64, 17, 16),
    ("init", "member", "lead", "latitude", "longitude"),
)
IMERG = sharded(
    "rain", (480 * 1440, 1800, 3600), (1440, 900, 900), (1440, 100, 100), ("time", "lat", "lon")
)
AEF = sharded(
    "mosaic",
    (7, 64, 7264 * 256, 15664 * 256),
    (1, 64, 4096, 4096),
    (1, 64, 256, 256),
    ("time", "band", "y", "x"),
)


@pytest.mark.parametrize(
    ("spec", "shards", "references"),
    [(GEFS, 1800 * 8, 1800 * 11610), (IMERG, 480 * 8, 480 * 648), (AEF, 3_111_262, 796_483_072)],
    ids=["GEFS", "IMERG", "AEF"],
)
def test_real_stores_have_sensible_plans(spec: ArraySpec, shards: int, references: int) -> None:
    plan = planned(spec)
    assert plan.chunks == references
    assert plan.record_size >= 1000
    (array,) = plan.arrays
    assert array.axis == 0
    most_held = memory.held_within(512 << 20, plan.record_size, 8)
    made = scheduling.make_jobs(plan, plan.partitions(), most_held, WIDTH)
    assert all(job.held <= most_held for job in made)
    cost = forecast.forecast_jobs(plan, made)
    assert cost.shards == shards
    # Slices of AEF end within shards, whose entries are kept for the next one.
    assert cost.gets == cost.gets_least == shards
    assert cost.least == -(-shards // 1000)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[ArraySpec, int, int]:
    rank = draw(st.integers(1, 4))
    chunks = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    shards = tuple(chunk * draw(st.integers(1, 4)) for chunk in chunks)
    shape = tuple(draw(st.integers(1, 24)) for _ in range(rank))
    axis = draw(st.integers(0, rank - 1))
    length = shards[axis] * draw(st.integers(1, 3))
    return sharded("a", shape, shards, chunks), axis, length


@given(arrays(), st.integers(1, 200))
@settings(deadline=None)
def test_regions_share_no_row_and_no_shard(
    drawn: tuple[ArraySpec, int, int], most_held: int
) -> None:
    spec, axis, length = drawn
    plan = planned(spec, split=axis, region=length)
    rows, objects = [], []
    for partition in plan.partitions():
        numbers = partition.rows.numbers(0, partition.rows.total)
        listed = partition.objects.numbers(0, partition.objects.total)
        assert (np.sort(np.unique(shard_numbers(spec, numbers))) == np.sort(listed)).all()
        assert (shards_of(spec, partition.rows) == np.sort(listed)).all()
        slices = list(inner_slices(spec, partition.rows, most_held, plan.record_size))
        joined = np.concatenate([s.numbers(0, s.total) for s in slices])
        assert (joined == numbers).all()
        for part in slices:
            assert int(part.numbers(0, 1)[0]) % plan.record_size == 0
            wanted = np.unique(shard_numbers(spec, part.numbers(0, part.total)))
            assert (shards_of(spec, part) == wanted).all()
        assert (partition.rows.positions(numbers) == np.arange(len(numbers))).all()
        rows.append(numbers)
        objects.append(listed)
        assert int(numbers[0]) % plan.record_size == 0
    assert (np.sort(np.concatenate(rows)) == np.arange(spec.reference_total)).all()
    assert (np.sort(np.concatenate(objects)) == np.arange(spec.total)).all()


@pytest.mark.parametrize(
    ("shape", "extent", "split", "region", "record_size", "most", "slices"),
    [
        # The last shard of each line is cut by the array's edge, so bands do not follow evenly.
        ((5, 3, 17), (1, 1, 2), 0, 2, 1, 49, 3),
        ((5, 15, 2), (1, 4, 2), 0, 3, 3, 67, 2),
        ((6, 16), (4, 2), 1, 8, 4, 33, 2),
        # Those of an only line do, up to its end; and so they do where no edge cuts one.
        ((9,), (2,), 0, 10, 1, 4, 3),
        ((4, 8), (1, 2), 0, 4, 1, 6, 6),
        ((2, 40), (1, 2), 1, 20, 2, 10, 4),
        # Regions of a later axis end shards, wherever lines do.
        ((6, 5, 3), (1, 2, 3), 1, 2, 3, 15, 3),
        # Of a shard as long as the array nothing begins along that axis.
        ((1, 12, 5), (4, 3, 5), 1, 12, 15, 20, 4),
    ],
)
def test_slices_end_between_shards_where_they_can(
    shape: tuple[int, ...],
    extent: tuple[int, ...],
    split: int,
    region: int,
    record_size: int,
    most: int,
    slices: int,
) -> None:
    spec = sharded("a", shape, extent, (1,) * len(shape))
    plan = planned(spec, split=split, region=region, record_size=record_size)
    rows = plan.by_name["a"].partition(0, record_size).rows
    assert not ends_within_shards(spec, rows, most, record_size)
    cut = list(inner_slices(spec, rows, most, record_size))
    assert len(cut) == slices
    met = np.concatenate([shards_of(spec, part) for part in cut])
    assert len(np.unique(met)) == len(met)


@given(arrays(), st.integers(1, 200), st.integers(1, 30), st.integers(0, 300))
@settings(deadline=None, max_examples=examples(60))
def test_no_entry_of_an_index_is_read_twice_and_all_are_read(
    drawn: tuple[ArraySpec, int, int], most: int, at_once: int, ahead: int
) -> None:
    spec, axis, length = drawn
    plan = planned(spec, split=axis, region=length)
    count, read = prod(extents(spec)), np.zeros(spec.total, np.int64)
    wanted = np.zeros(spec.total, np.int64)
    for partition in plan.partitions():
        steps = IndexSteps(spec, partition.rows, count, at_once, ahead)
        for rows in inner_slices(spec, partition.rows, most, plan.record_size):
            one = steps.next(rows)
            assert (one.begin == wanted[one.shards]).all()
            assert (one.held == read[one.shards]).all()
            assert (one.requests(at_once) * at_once >= one.fetched - one.held).all()
            for numbers, first, end in zip(
                wanted_entries(spec, rows, one.shards), one.begin, one.end, strict=True
            ):
                assert first <= numbers.min() <= numbers.max() < end
            wanted[one.shards], read[one.shards] = one.end, one.fetched
            assert (read >= wanted).all()
            # All shards have been begun or are whole, so that the rest is what is kept.
            assert int((read - wanted).sum()) <= ahead
    assert (wanted == count).all()


def wanted_entries(spec: ArraySpec, rows: RowSet, shards: Int64Array) -> Iterator[Int64Array]:
    """Yield which entries of each shard rows are of, one row at a time."""
    numbers = rows.numbers(0, rows.total)
    index = np.stack(np.unravel_index(numbers, spec.reference_grid))
    within = index % np.array(extents(spec))[:, None]
    entries = np.ravel_multi_index(tuple(within), extents(spec))
    of = shard_numbers(spec, numbers)
    for shard in shards:
        yield entries[of == shard]


@given(arrays())
@settings(deadline=None)
def test_shard_numbers_are_those_of_the_inner_index(drawn: tuple[ArraySpec, int, int]) -> None:
    spec, _, _ = drawn
    numbers = np.arange(spec.reference_total)
    index = np.unravel_index(numbers, spec.reference_grid)
    shard = [at // extent for at, extent in zip(index, extents(spec), strict=True)]
    assert (shard_numbers(spec, numbers) == np.ravel_multi_index(shard, spec.grid)).all()


def test_positions_of_rows_elsewhere_are_negative() -> None:
    plan = planned(sharded("a", (8, 9), (4, 3), (2, 1)), split=1, region=3, record_size=3)
    first, second, _ = plan.partitions()
    numbers = second.rows.numbers(0, second.rows.total)
    assert (first.rows.positions(numbers) == -1).all()


def test_regions_that_cut_shards_are_refused() -> None:
    with pytest.raises(InputError, match="does not fall on chunk boundaries of a"):
        planned(sharded("a", (100,), (20,), (5,)), split=0, region=30)


def test_a_region_with_more_shards_than_memory_holds_is_refused() -> None:
    plan = planned(sharded("a", (10**9,), (2,), (1,)), region=10**9)
    for processes in (1, 3):
        with pytest.raises(InputError, match="to list the 500,000,000 shards of a") as refused:
            room.room_for(plan, plan.partitions(), 512 << 20, 2, processes)
        (named,) = re.findall(r"give (\d+)MiB or more", str(refused.value))
        held = room.room_for(plan, plan.partitions(), int(named) << 20, 2, processes)
        jobs = scheduling.make_jobs(plan, plan.partitions(), held, WIDTH)
        assert all(job.held <= held for job in jobs)
        with pytest.raises(InputError):
            room.room_for(plan, plan.partitions(), (int(named) - processes) << 20, 2, processes)
    assert room.room_for(plan, [], 512 << 20, 2)  # it is not to be listed


def test_the_memory_that_is_named_for_shards_is_enough_where_some_is_for_inlining() -> None:
    plan = planned(sharded("a", (4 * 10**6,), (2,), (1,)), region=4 * 10**6)
    plan = dataclasses.replace(plan, inline_threshold=1 << 20)
    with pytest.raises(InputError, match="shards of a, region 0 together") as refused:
        room.room_for(plan, plan.partitions(), 150 << 20, 8)
    (named,) = re.findall(r"give (\d+)MiB or more", str(refused.value))
    assert room.room_for(plan, plan.partitions(), int(named) << 20, 8) >= 4 * 10**6


def test_plans_of_expanded_arrays_survive_json() -> None:
    plan = planned(IMERG)
    again = read_plan(plan.to_json())
    assert again == plan
    assert again.arrays[0].spec.inner_chunks == (1440, 100, 100)
