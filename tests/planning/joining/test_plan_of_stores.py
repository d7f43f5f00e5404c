"""Plans of many stores: whose chunks are whose, counted one by one; and plan.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.many_stores import Made, write

import parchunk
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Placement
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.spec import ArraySpec
from parchunk.out.record_files import record_index
from parchunk.planning.joining.segments import segments
from parchunk.planning.joining.store_view import StoreView
from parchunk.planning.plan import Partition, Plan
from parchunk.planning.plan_document import read_plan

HOURS = {"units": "hours since 2000-01-01"}


def months(
    folder: Path,
    lengths: list[int],
    *,
    axis: int = 0,
    chunk: int = 2,
    zarr_format: int = 2,
    shards: bool = False,
) -> list[Path]:
    paths, begin = [], 0
    for at, length in enumerate(lengths):
        shape, names, chunks = [4, 6], ["y", "x"], [2, 2]
        shape.insert(axis, length)
        names.insert(axis, "time")
        chunks.insert(axis, chunk)
        inner = [size // 2 if i == axis and shards else size for i, size in enumerate(chunks)]
        arrays = {
            "air": Made(
                np.full(shape, at + 1, "<i2"),
                tuple(names),
                tuple(inner),
                {},
                tuple(chunks) if shards else None,
            ),
            "rain": Made(np.full((length, 4), at + 1, "<i2"), ("time", "y"), (chunk, 4)),
            "time": Made(np.arange(begin, begin + length), ("time",), None, HOURS),
            "y": Made(np.arange(4), ("y",)),
        }
        paths.append(write(folder / f"{at}.zarr", arrays, zarr_format))
        begin += length
    return paths


def wanted_keys(spec: ArraySpec, plan: Plan) -> dict[int, tuple[int, str]]:
    """Return the store and the key of each object of an array, found by its index alone."""
    assert plan.stores is not None
    place = plan.stores.place(spec.name)
    found = {}
    for number, index in enumerate(np.ndindex(*spec.grid)):
        own = list(index)
        store = place.stores[0] if place.axis is None and place.stores else 0
        if place.axis is not None:
            element = index[place.axis] * spec.chunks[place.axis]
            store = plan.stores.store_at(element)
            if place.stacked:
                own = own[1:]
            else:
                begin = plan.stores.stores[store].start
                own[place.axis] -= begin // spec.chunks[place.axis]
        keys = type(spec.keys)(spec.keys.marker, spec.keys.separator, len(own))
        found[number] = store, f"{spec.name}/{keys.tail(own)}"
    return found


def check_segment(
    plan: Plan, store: int, partition: Partition, objects: dict[str, dict[int, tuple[int, str]]]
) -> None:
    """The store's view has the rows of a segment under its own numbers; add its objects."""
    view = StoreView.of(plan, store)
    own = view.partition(partition)
    own_spec = view.specs[partition.array]
    assert own.key == (own_spec.name, partition.region)
    assert own.rows.total == partition.rows.total
    assert own.objects.total == partition.objects.total
    numbers = partition.rows.numbers(0, partition.rows.total)
    place = view.placement(partition.array)
    assert place.numbers(own.rows.numbers(0, own.rows.total)).tolist() == numbers.tolist()
    assert place.own(numbers).tolist() == own.rows.numbers(0, own.rows.total).tolist()
    keys = [object_key(own_spec, n) for n in own.objects.numbers(0, own.objects.total).tolist()]
    whole = partition.objects.numbers(0, partition.objects.total).tolist()
    found = objects.setdefault(partition.array, {})
    assert not found.keys() & set(whole)
    found.update((number, (store, key)) for number, key in zip(whole, keys, strict=True))


def check_plan(plan: Plan) -> None:
    """Every object and row is in one partition, and each store's view finds it under its key."""
    assert plan.stores is not None
    objects: dict[str, dict[int, tuple[int, str]]] = {}
    rows: dict[str, list[int]] = {}
    for partition in plan.partitions():
        spec = plan.by_name[partition.array].spec
        numbers = partition.rows.numbers(0, partition.rows.total)
        for begin in range(0, len(numbers), plan.record_size):
            some = numbers[begin:][: plan.record_size]
            record_index(spec.name, some, plan.record_size, spec.reference_total)
        rows.setdefault(partition.array, []).extend(numbers.tolist())
        parts = list(segments(plan, partition))
        assert sum(part.partition.rows.total for part in parts) == partition.rows.total
        for part in parts:
            if part.store is None:
                assert partition.array in plan.stores.kept
                continue
            check_segment(plan, part.store, part.partition, objects)
    for array in plan.arrays:
        spec = array.spec
        assert sorted(rows[spec.name]) == list(range(spec.reference_total))
        if spec.name not in plan.stores.kept:
            assert objects[spec.name] == wanted_keys(spec, plan)
    again = read_plan(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.fingerprint == plan.fingerprint


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([1], 1, 0, None, (3, True))
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any),
    st.integers(0, 1),
    st.integers(0, 2),
    st.sampled_from([None, 2, 4]),
    st.sampled_from([(2, False), (3, False), (3, True)]),
)
def test_every_chunk_is_in_one_partition_of_its_store(
    lengths: list[int], odd: int, axis: int, region: int | None, kind: tuple[int, bool]
) -> None:
    lengths = [2 * length for length in lengths]
    lengths[-1] += odd
    with tempfile.TemporaryDirectory() as name:
        paths = months(Path(name), lengths, axis=axis, zarr_format=kind[0], shards=kind[1])
        check_plan(parchunk.plan([str(path) for path in paths], concat="time", region=region))


@pytest.mark.parametrize(("zarr_format", "shards"), [(2, False), (3, False), (3, True)])
def test_stacked_chunks_are_those_of_their_stores(
    tmp_path: Path, zarr_format: int, shards: bool
) -> None:
    paths = months(tmp_path, [4, 4, 4], zarr_format=zarr_format, shards=shards)
    for path in paths:
        shutil.rmtree(path / "time")
    plan = parchunk.plan([str(path) for path in paths], stack="member", labels="a,b,c")
    assert plan.by_name["air"].spec.shape == (3, 4, 4, 6)
    assert [store.start for store in plan.stores.stores] == [0, 1, 2]
    check_plan(plan)


def test_a_record_size_that_no_store_can_come_behind_is_said_before(tmp_path: Path) -> None:
    """What is said to be done instead is."""
    made = {"a": Made(np.ones((6, 4)), ("time", "x"), (1, 1), shards=(2, 2))}
    paths = [write(tmp_path / name, made, 3) for name in ("0.zarr", "1.zarr")]
    notes = {}
    for size in (16, 12, None):
        wish = {} if size is None else {"record_size": size}
        plan = parchunk.plan(paths[:1], concat="time", **wish)
        notes[size] = parchunk.build(plan, tmp_path / f"{size}").notes
    assert [len(found) for found in notes.values()] == [1, 0, 0]
    assert "a --record-size that divides 24 takes them in" in notes[16][0]
    with pytest.raises(InputError, match="begins within a record file of 16 rows"):
        parchunk.update(tmp_path / "16", paths[1:])
    assert parchunk.update(tmp_path / "12", paths[1:]).expected == 48


def test_merged_stores_are_split_as_one_is(tmp_path: Path) -> None:
    steps = np.arange(8)
    paths = [
        write(
            tmp_path / name,
            {
                name: Made(np.ones((8, 4)), ("time", "y"), (1, 2)),
                "time": Made(steps, ("time",), None, HOURS),
            },
        )
        for name in ("pr", "tas")
    ]
    plan = parchunk.plan(paths, merge=True, region=2)
    assert [plan.store_of(p) for p in plan.partitions() if p.array == "tas"] == [1] * 4
    check_plan(plan)
    below = parchunk.plan({"a": paths[0], "b/c": paths[1]}, region=2)
    assert sorted(below.by_name) == ["a/pr", "a/time", "b/c/tas", "b/c/time"]
    assert below == parchunk.plan([f"a={paths[0]}", f"b/c={paths[1]}"], region=2)


def test_regions_end_at_borders(tmp_path: Path) -> None:
    paths = months(tmp_path, [8, 4, 8])
    plan = parchunk.plan(paths, concat="time")
    assert [(r.start, r.stop) for r in plan.regions] == [(0, 8), (8, 12), (12, 20)]
    assert plan.record_size == 12  # rows of air in the shortest store; borders share but 2
    shorter = parchunk.plan(paths, concat="time", region=4)
    starts = [region.start for region in shorter.regions]
    assert starts == [0, 4, 8, 12, 16]


def test_patterns_name_stores_and_put_them_in_order(tmp_path: Path) -> None:
    paths = months(tmp_path, [2, 4, 2])
    paths[0].rename(tmp_path / "z.zarr")
    plan = parchunk.plan(f"{tmp_path}/*.zarr", concat="time")
    assert [store.url.rpartition("/")[2] for store in plan.stores.stores] == [
        "z.zarr", "1.zarr", "2.zarr",
    ]  # fmt: skip
    assert plan.location.url == str(tmp_path)
    assert plan.stores.given == (f"{tmp_path}/*.zarr",)
    check_plan(plan)


def test_relative_paths_are_looked_up_where_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates run in another folder; wildcards in the name of one above are none."""
    here = tmp_path / "run[1]"
    *_, last = months(here, [2, 2, 2, 2])
    last.rename(tmp_path / "later")
    monkeypatch.chdir(here)
    plan = parchunk.plan(["0.zarr", "./1.zarr", "2.zarr"], concat="time")
    assert plan.stores.given == tuple(f"{here}/{at}.zarr" for at in range(3))
    assert parchunk.plan("*.zarr", concat="time").stores.given == ("*.zarr",)
    monkeypatch.chdir(tmp_path)
    here = here.rename(tmp_path / "run")
    given = parchunk.plan("run/*.zarr", concat="time")
    assert given.stores.given == (f"{here}/*.zarr",)
    parchunk.build(given, "out")
    (tmp_path / "later").rename(here / "3.zarr")
    monkeypatch.chdir("/")
    assert len(parchunk.update(tmp_path / "out").plan.stores.stores) == 4


def test_who_has_no_home_is_the_name_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell has it; and a folder below one's home may have wildcards in its name."""
    months(tmp_path / "~nobody-of-that-name", [2, 2])
    months(tmp_path / "run[1]", [2, 2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("~nobody-of-that-name", "~/run[1]"):
        plan = parchunk.plan([f"{folder}/{at}.zarr" for at in range(2)], concat="time")
        whole = tmp_path / folder.removeprefix("~/")
        assert plan.stores.given == (f"{whole}/0.zarr", f"{whole}/1.zarr")
    with pytest.raises(parchunk.InputError, match=r"that-name/2\.zarr: nothing is there"):
        parchunk.plan("~nobody-of-that-name/2.zarr")


def test_one_store_is_planned_as_ever(tmp_path: Path) -> None:
    path = months(tmp_path, [6])[0]
    document = parchunk.plan(path).to_json()
    assert not {"cuts", "stores"} & document.keys()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "3 stores: say how they go together"),
        ({"concat": "time", "split": "y"}, "--split y: stores lie along time"),
        ({"concat": "time", "region": 3}, "--region 3 does not fall on chunk boundaries"),
        ({"concat": "time", "stack": "run"}, "give one of them"),
        ({"concat": "step"}, "no array has that dimension"),
    ],
)
def test_what_cannot_be_planned(tmp_path: Path, how: dict[str, Any], words: str) -> None:
    paths = months(tmp_path, [4, 4, 6])
    with pytest.raises(InputError, match=words):
        parchunk.plan(paths, **how)


def test_stores_are_given_once_and_in_one_place(tmp_path: Path) -> None:
    path = months(tmp_path, [4])[0]
    with pytest.raises(InputError, match="is given twice"):
        parchunk.plan([path, f"{path}/"], concat="time")
    with pytest.raises(InputError, match="are not reached in one way"):
        parchunk.plan(["s3://a/x.zarr", "gs://b/y.zarr"], concat="time")
    with pytest.raises(InputError, match="are not reached in one way"):
        parchunk.plan(["s3://a/x.zarr", str(path)], concat="time")
    with pytest.raises(InputError, match="no store is given"):
        parchunk.plan([], concat="time")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("cuts", [0, 3, 10]),
        ("cuts", [0, 6, 6, 10]),
        ("cuts", [0, "6", 10]),
        ("cuts", [0, 6]),
    ],
)
def test_a_plan_changed_by_hand_is_refused(tmp_path: Path, entry: str, value: Any) -> None:
    document = parchunk.plan(months(tmp_path, [6, 4]), concat="time").to_json()
    assert document["cuts"] == [0, 6, 10]
    # Cuts within a chunk may be those of an array that came: then the fingerprint tells.
    with pytest.raises(InputError, match=r"is no parchunk plan|not match its own fingerprint"):
        read_plan({**document, entry: value})


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 5), st.integers(1, 3)
)
def test_placements_count_as_indices_do(
    outer: int, length: int, inner: int, begin: int, more: int
) -> None:
    whole = np.arange(outer * (begin + length + more) * inner)
    part = whole.reshape(outer, -1, inner)[:, begin : begin + length]
    place = Placement(length * inner, (begin + length + more) * inner, begin * inner)
    own: Int64Array = np.arange(part.size)
    assert place.numbers(own).tolist() == part.ravel().tolist()
    assert place.own(part.ravel()).tolist() == own.tolist()
    rows = RowSet(place.whole_period, begin * inner, (begin + length) * inner, 0, outer)
    own_rows = place.own_rows(rows)
    assert own_rows.numbers(0, own_rows.total).tolist() == own.tolist()
