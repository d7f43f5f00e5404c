"""Plans: invariants that hold for every one, and what comes out for real stores."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import field_store, zarr_store

import parchunk
from parchunk.cli.plan import describe
from parchunk.cover.memory import held_within
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Width
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.planning.plan_document import read_plan
from parchunk.stores.opening import Location

WIDTH = Width(pieces=32, window=16, page=1000)
WHERE = Location("s3://bucket/store.zarr")
Maker = Callable[..., ArraySpec]
Together = Callable[..., Hierarchy]


def plan_of(store: Any, **options: Any) -> Plan:
    source = parchunk.Source(FormulaListing(store), "", "s3://bucket/store.zarr")  # type: ignore[arg-type]
    return parchunk.plan(source, **options)


def check_invariants(plan: Plan) -> None:
    """What every plan promises, by going through every row."""
    partitions = list(plan.partitions())
    assert len({p.key for p in partitions}) == len(partitions)
    files: dict[str, dict[int, list[int]]] = {}
    for array in plan.arrays:
        owned = np.zeros(array.spec.total, np.int64)
        mine = [p for p in partitions if p.array == array.spec.name]
        assert len(mine) == array.regions
        for partition in mine:
            numbers = partition.rows.numbers(0, partition.rows.total)
            owned[numbers] += 1
            # Rows in the writer's pieces are whole record files, in their own row order.
            for begin in range(0, len(numbers), plan.record_size):
                piece = numbers[begin : begin + plan.record_size]
                assert piece[0] % plan.record_size == 0
                assert (np.diff(piece) == 1).all()
                index = int(piece[0]) // plan.record_size
                assert index not in files.setdefault(array.spec.name, {})
                files[array.spec.name][index] = piece.tolist()
        assert (owned == 1).all(), "every chunk is in one partition"
        rows = files.get(array.spec.name, {})
        assert sorted(rows) == list(range(-(-array.spec.total // plan.record_size)))
        if array.axis is not None:
            assert plan.region_length % array.spec.chunks[array.axis] == 0
            assert array.region_chunks * array.spec.chunks[array.axis] == plan.region_length
    if plan.regions:
        assert plan.regions[0].start == 0
        for one, other in zip(plan.regions, plan.regions[1:], strict=False):
            assert one.stop == other.start
            assert one.stop - one.start == plan.region_length
    assert read_plan(json.loads(json.dumps(plan.to_json()))) == plan


@st.composite
def hierarchies(draw: st.DrawFn, array_spec: Maker) -> Hierarchy:
    lengths = {name: draw(st.integers(0, 40)) for name in "txyz"}
    specs = []
    for number in range(draw(st.integers(1, 4))):
        rank = draw(st.integers(0, 4))
        names = draw(st.permutations("txyz"))[:rank]
        shape = tuple(lengths[name] for name in names)
        chunks = tuple(draw(st.sampled_from([1, 1, 2, 3, 4, 7])) for _ in names)
        named = draw(st.booleans())
        specs.append(array_spec(f"a{number}", shape, chunks, tuple(names) if named else None))
    return Hierarchy(tuple(specs), ())


@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_plan_keeps_its_promises(data: st.DataObject, array_spec: Maker) -> None:
    hierarchy = data.draw(hierarchies(array_spec))
    options = {
        "split": data.draw(st.sampled_from([None, None, "t", "x", 0, 1, "2"])),
        "region": data.draw(st.none() | st.integers(1, 60)),
        "record_size": data.draw(st.none() | st.integers(1, 50)),
    }
    try:
        plan = make_plan(hierarchy, WHERE, **options)
    except InputError:
        assume(any(value is not None for value in options.values()))
        return
    check_invariants(plan)
    if options["record_size"]:
        assert plan.record_size == options["record_size"]
    if options["region"] and plan.split is not None:
        assert plan.region_length == options["region"]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_slices_of_any_partition_are_whole_record_files(
    data: st.DataObject, array_spec: Maker
) -> None:
    hierarchy = data.draw(hierarchies(array_spec))
    size = data.draw(st.none() | st.integers(1, 12))
    try:
        plan = make_plan(
            hierarchy, WHERE, split=data.draw(st.sampled_from(["t", "x", 0, 1])), record_size=size
        )
    except InputError:
        return
    for partition in plan.partitions():
        parts = list(partition.rows.slices(data.draw(st.integers(1, 50)), plan.record_size))
        rows = np.concatenate([part.numbers(0, part.total) for part in parts])
        assert np.array_equal(rows, partition.rows.numbers(0, partition.rows.total))
        for part in parts:
            assert part.total == 0 or part.number(0) % plan.record_size == 0


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_jobs_hold_every_pending_partition_once(data: st.DataObject, array_spec: Maker) -> None:
    hierarchy = data.draw(hierarchies(array_spec))
    try:
        plan = make_plan(hierarchy, WHERE, region=data.draw(st.none() | st.sampled_from([12, 84])))
    except InputError:
        return
    pending = [p for p in plan.partitions() if data.draw(st.booleans())]
    most_held, workers = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 3))
    jobs = make_jobs(plan, pending, most_held, WIDTH, workers)
    together = [partition for job in jobs for partition in job.partitions]
    assert sorted(map(str, together)) == sorted(map(str, pending))
    for job in jobs:
        assert len({p.array for p in job.partitions}) == 1
        assert job.held <= max(most_held, plan.record_size)


# Real stores: shapes as published


def test_ufs_replay() -> None:
    plan = plan_of(field_store("ufs-replay"))
    assert str(plan.split) == "time"
    tmp, surface = plan.by_name["tmp"], plan.by_name["pressfc"]
    assert (tmp.spec.total, surface.spec.total) == (11_051_540, 87_020)
    assert (tmp.axis, surface.axis) == (0, 0)
    # About a million references a region, whole record files of a good size in both arrays.
    assert plan.region_length == 8000
    assert plan.record_size == 8000
    assert len(plan.regions) == tmp.regions == surface.regions == 11
    assert 500_000 <= tmp.partition(0, plan.record_size).rows.total <= 2_000_000
    shown = describe(plan)
    assert shown["chunks"] == 11_138_560
    # 1.00 times the least at the default memory bound, as all regions are walked together.
    assert shown["list_requests_least"] == 11_052 + 88
    assert shown["list_requests"] <= 1.02 * 11_140
    assert shown["list_price_usd"] == pytest.approx(0.0557, abs=0.002)


def test_arco_era5() -> None:
    plan = plan_of(field_store("arco-era5"))
    assert str(plan.split) == "time"
    assert plan.record_size == 100_000
    assert plan.region_length == 1_000_000
    assert [array.regions for array in plan.arrays] == [2, 2]
    assert plan.chunks == 2 * 1_323_648
    assert describe(plan)["list_requests_least"] == 2 * 1324


def test_nwm() -> None:
    plan = plan_of(field_store("nwm"))
    # 547 x 93 chunks: one region is enough for 50,871 references, in one record file.
    assert plan.chunks == 50_871
    assert str(plan.split) == "time"
    assert len(plan.regions) == 1
    assert plan.region_length == 547 * 672
    assert plan.record_size == 100_000
    assert describe(plan)["record_files"] == 1


def test_nwm_by_region() -> None:
    plan = plan_of(field_store("nwm"), region=672 * 100)
    assert len(plan.regions) == 6
    assert plan.record_size == 9300  # 93 x 100, whole: the largest up to 100,000
    with pytest.raises(InputError, match=r"use 99456 or 100128"):
        plan_of(field_store("nwm"), region=100_000)
    # Along features, 547 x gcd(L, 93): whole columns of regions can be had with 3 or 31.
    by_feature = plan_of(field_store("nwm"), split="feature_id", region=31 * 30_000)
    assert by_feature.record_size == 31
    assert len(by_feature.regions) == 3


def test_mur_sst() -> None:
    plan = plan_of(field_store("mur-sst"))
    sst, time = plan.by_name["analysed_sst"], plan.by_name["time"]
    assert sst.spec.grid == (1289, 11, 10)
    assert sst.spec.total == 141_790
    assert time.spec.total == 1289
    # The coordinate has a thousand chunks and would spoil the record size: written whole.
    assert time.axis is None
    assert sst.axis == 0
    assert plan.record_size == 100_000
    in_regions = plan_of(field_store("mur-sst"), region=5 * 400)
    assert in_regions.record_size == 44_000
    assert in_regions.by_name["time"].axis is None
    assert in_regions.by_name["analysed_sst"].regions == 4


@pytest.mark.parametrize("name", ["ufs-replay", "arco-era5", "nwm", "mur-sst", "hrrr"])
def test_every_field_store_is_planned_within_the_default_memory(name: str) -> None:
    plan = plan_of(field_store(name))
    most_held = held_within(512 << 20, plan.record_size, 8)
    for job in make_jobs(plan, plan.partitions(), most_held, WIDTH):
        assert job.held * 8 < 512 << 20
        assert len(job.members[0].passes) == 1
    assert plan.record_size >= 1000


def test_an_array_of_nearly_a_billion_chunks() -> None:
    # AEF's inner grid, as if each inner chunk were an object.
    store = zarr_store(
        [("embeddings", (7, 1, 7264, 15664), (1, 1, 1, 1), ("time", "band", "y", "x"))],
    )
    plan = plan_of(store)
    assert plan.chunks == 796_483_072
    assert plan.record_size >= 1000
    # The leading dimension wins the tie; its regions cannot be shorter than one chunk.
    assert len(plan.regions) == 7
    most_held = held_within(512 << 20, plan.record_size, 8)
    jobs = make_jobs(plan, plan.partitions(), most_held, WIDTH)
    assert all(job.held <= most_held for job in jobs)
    assert all(len(job.members[0].passes) == 1 for job in jobs), (
        "walked once, though it does not fit"
    )
    # Along y, regions can be as long as they should be.
    by_row = plan_of(store, split="y")
    assert 500_000 <= by_row.arrays[0].partition(0, by_row.record_size).rows.total <= 2_000_000


# Choices


def test_the_leading_dimension_wins_a_tie(array_spec: Maker, hierarchy_of: Together) -> None:
    specs = [array_spec("v", (4000, 4000), (1, 1), ("time", "x"))]
    assert str(make_plan(hierarchy_of(*specs), WHERE).split) == "time"


def test_a_dimension_that_is_not_cut_is_not_chosen(
    array_spec: Maker, hierarchy_of: Together
) -> None:
    hierarchy = hierarchy_of(array_spec("v", (40, 5000), (40, 1), ("time", "x")))
    assert str(make_plan(hierarchy, WHERE).split) == "x"
    # Asked for by name it is taken, and has one region.
    asked = make_plan(hierarchy, WHERE, split="time")
    assert len(asked.regions) == 1
    check_invariants(asked)


def test_no_divisor_on_axis_zero_is_no_refusal(array_spec: Maker, hierarchy_of: Together) -> None:
    # Three chunks a region and a prime beside it: files of 1,000 rows cannot end with regions.
    hierarchy = hierarchy_of(array_spec("v", (2000, 7), (1, 7), ("time", "x")))
    plan = make_plan(hierarchy, WHERE, region=3, record_size=100)
    assert plan.record_size == 100
    assert len(plan.regions) == 667
    check_invariants(plan)
    rows = [p.rows for p in plan.partitions()]
    assert [r.total for r in rows[:3]] == [100, 0, 0]  # it belongs to the region of its first row
    assert sum(r.total for r in rows) == 2000


def test_a_later_axis_needs_the_divisor(array_spec: Maker, hierarchy_of: Together) -> None:
    hierarchy = hierarchy_of(array_spec("v", (50, 600, 10), (1, 1, 1), ("time", "y", "x")))
    plan = make_plan(hierarchy, WHERE, split="y", region=100)
    assert plan.record_size == 1000  # 10 x gcd(100, 600)
    check_invariants(plan)
    with pytest.raises(InputError, match="would straddle regions of y") as refused:
        make_plan(hierarchy, WHERE, split="y", region=100, record_size=300)
    assert "1000" in str(refused.value)
    tight = make_plan(hierarchy, WHERE, split="y", region=100, record_size=250)
    check_invariants(tight)


def test_pyramids_share_regions(array_spec: Maker, hierarchy_of: Together) -> None:
    """Levels of a pyramid have other lengths and chunks along the same dimension."""
    hierarchy = hierarchy_of(
        array_spec("0/image", (4096, 4096), (4, 4), ("y", "x")),
        array_spec("1/image", (2048, 2048), (4, 4), ("y", "x")),
        array_spec("2/image", (1024, 1024), (8, 8), ("y", "x")),
        array_spec("3/image", (512, 512), (512, 512), ("y", "x")),
    )
    plan = make_plan(hierarchy, WHERE, region=1024)
    assert [array.axis for array in plan.arrays] == [0, 0, 0, None]
    assert [array.regions for array in plan.arrays] == [4, 2, 1, 1]
    assert plan.regions[-1].stop == 4096
    check_invariants(plan)


def test_arrays_that_cannot_share_regions_are_named(
    array_spec: Maker, hierarchy_of: Together
) -> None:
    hierarchy = hierarchy_of(
        array_spec("a", (999_999, 1), (7, 1), ("time", "x")),
        array_spec("b", (999_999, 2), (11, 1), ("time", "x")),
        array_spec("c", (100, 2), (13, 1), ("time", "x")),
    )
    with pytest.raises(InputError, match=r"a has chunks 7 long.*multiple of 77"):
        make_plan(hierarchy, WHERE, split="time", region=1100)
    plan = make_plan(hierarchy, WHERE, split="time", region=77_000)
    # A small one gives way, and is written whole.
    assert {a.spec.name: a.axis for a in plan.arrays} == {"a": 0, "b": 0, "c": None}


def test_scalars_and_empty_arrays(array_spec: Maker, hierarchy_of: Together) -> None:
    hierarchy = hierarchy_of(
        array_spec("crs", (), (), ()),
        array_spec("none", (0, 5), (1, 5), ("time", "x")),
        array_spec("none_either", (5, 0), (1, 5), ("time", "x")),
    )
    for split in (None, "time", "x", 0):
        plan = make_plan(hierarchy, WHERE, split=split)
        check_invariants(plan)
        assert plan.chunks == 1


def test_growing_the_leading_dimension_keeps_every_number(array_spec: Maker) -> None:
    for shape in ((10_000, 127), (50_000, 127), (87_020, 127)):
        before = make_plan(
            Hierarchy((array_spec("v", shape, (1, 1), ("time", "z")),), ()), WHERE, region=8000
        )
        after = make_plan(
            Hierarchy((array_spec("v", (shape[0] + 1234, 127), (1, 1), ("time", "z")),), ()),
            WHERE,
            region=8000,
        )
        assert before.record_size == after.record_size
        for old, new in zip(before.partitions(), after.partitions(), strict=False):
            full = old.rows.total == 8000 * 127
            assert not full or (old.rows.start, old.rows.stop) == (new.rows.start, new.rows.stop)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "depth"}, "no array has that dimension; there are: time, y"),
        ({"split": 5}, "no array has an axis 5"),
        ({"split": "-1"}, "no array has that dimension"),
        ({"region": 0}, "--region is 0"),
        ({"region": -5}, "--region is -5"),
        ({"region": 3}, "use 2 or 4"),
        ({"region": 1}, "use 2"),
        ({"record_size": 0}, "--record-size is 0"),
        ({"record_size": -1}, "--record-size is -1"),
        ({"record_size": 10**8}, "--record-size is 100000000"),
        ({"inline_threshold": -1}, "--inline-threshold is -1"),
    ],
)
def test_options_that_do_not_fit(
    array_spec: Maker, hierarchy_of: Together, options: dict[str, Any], words: str
) -> None:
    hierarchy = hierarchy_of(array_spec("v", (100, 30), (2, 3), ("time", "y")))
    with pytest.raises(InputError) as refused:
        make_plan(hierarchy, WHERE, **options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_arrays(hierarchy_of: Together) -> None:
    with pytest.raises(InputError, match="holds no arrays"):
        make_plan(hierarchy_of(), WHERE)


def test_planning_is_arithmetic() -> None:
    """A plan costs what its answer costs, not what the store holds."""
    for shape in ((10**9, 1), (10**6, 10**3), (999_999_937, 3)):
        store = zarr_store([("v", shape, (1, 1), ("time", "x"))])
        plan = plan_of(store)
        assert plan.chunks == math.prod(shape)
        assert len(plan.regions) * 2_000_000 * shape[1] >= shape[0]
