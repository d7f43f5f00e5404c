"""Jobs of small arrays: which are listed together, and what that is said to cost and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from tests.examples import examples

import parchunk
from parchunk.cli.plan import describe
from parchunk.cover.limits import USUAL
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Width
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.stores.opening import Location

WIDTH = Width(pieces=32, window=16, page=1000, together=True)
PLENTY = 10_000_000
Maker = Callable[..., ArraySpec]
Together = Callable[..., Hierarchy]


def jobs_of(
    hierarchy: Hierarchy, names: set[str] | None = None, **options: Any
) -> list[tuple[str, ...]]:
    """Return the arrays of each job, of those arrays that are pending."""
    plan = make_plan(hierarchy, Location("s3://bucket/store"), region=options.pop("region", None))
    pending = [p for p in plan.partitions() if names is None or p.array in names]
    given = {"most_held": PLENTY, "width": WIDTH, "workers": 1} | options
    made = make_jobs(plan, pending, **given)
    assert sorted(map(str, pending)) == sorted(str(p) for job in made for p in job.partitions)
    return [tuple(member.spec.name for member in job.members) for job in made]


def test_small_neighbours_are_listed_together(array_spec: Maker, hierarchy_of: Together) -> None:
    small = [array_spec(name, (96,), (1,)) for name in ("air", "air-x", "air.x", "air_temp")]
    # In the order of their keys, where ``-`` and ``.`` come before ``/``.
    assert jobs_of(hierarchy_of(*small)) == [("air-x", "air.x", "air", "air_temp")]
    assert jobs_of(hierarchy_of(*small), {"air"}) == [("air",)]
    apart = replace(WIDTH, together=False)
    assert jobs_of(hierarchy_of(*small), width=apart) == [(spec.name,) for spec in sorted(
        small, key=lambda spec: spec.name
    )]  # fmt: skip


def test_large_arrays_between_cut_a_job(array_spec: Maker, hierarchy_of: Together) -> None:
    names = ("a", "b", "c", "m", "y", "z")
    specs = [array_spec(name, (9000 if name == "m" else 96,), (1,)) for name in names]
    assert jobs_of(hierarchy_of(*specs)) == [("a", "b", "c"), ("m",), ("y", "z")]
    # 9,000 chunks of m that are done are between c and y all the same; 96 of b are not much.
    assert jobs_of(hierarchy_of(*specs), {"a", "c", "y"}) == [("a", "c"), ("y",)]
    # Much is more than one page, its documents included.
    for between, jobs in ((998, [("a", "z")]), (999, [("a",), ("z",)])):
        specs = [array_spec(n, (between if n == "m" else 96,), (1,)) for n in "amz"]
        assert jobs_of(hierarchy_of(*specs), {"a", "z"}) == jobs


def test_what_lies_between_counts_and_what_is_held_is_bounded(
    array_spec: Maker, hierarchy_of: Together
) -> None:
    # Four of them, with their documents, are the 20 pages that a walk is at most.
    specs = [array_spec(name, (10 if len(name) > 1 else 4998,), (1,)) for name in ("a0", *"bcde")]
    assert jobs_of(hierarchy_of(*specs), set("bcde")) == [("b", "c", "d", "e")]
    for name in ("c0", "d0"):
        more = hierarchy_of(*specs, array_spec(name, (10,), (1,)))
        assert jobs_of(more, set("bcde")) == [("b", "c", "d"), ("e",)]
    small = hierarchy_of(*(array_spec(name, (96,), (1,)) for name in "abcdef"))
    for most, together in ((2 * 1096, 2), (3 * 1096 - 1, 2), (3 * 1096, 3)):
        assert set(map(len, jobs_of(small, most_held=most))) == {together}


def test_a_small_array_in_regions_is_one_member(array_spec: Maker, hierarchy_of: Together) -> None:
    specs = [array_spec(name, (600,), (1,), ("time",)) for name in "ab"]
    hierarchy = hierarchy_of(*specs)
    plan = make_plan(hierarchy, Location("s3://bucket/store"), region=100)
    (job,) = make_jobs(plan, plan.partitions(), PLENTY, WIDTH)
    assert [len(member.partitions) for member in job.members] == [6, 6]
    # Whoever shares the work shares out jobs, not arrays.
    assert make_jobs(plan, plan.partitions(), PLENTY, WIDTH, workers=3) == [job]


def test_jobs_are_as_long_as_listings_side_by_side_want(
    array_spec: Maker, hierarchy_of: Together
) -> None:
    hierarchy = hierarchy_of(*(array_spec(f"a{n:05}", (2000,), (1,)) for n in range(1000)))
    lengths = {}
    for pieces in (4, 32, 64, 1000):
        made = jobs_of(hierarchy, width=Width(pieces, pieces, 1000, together=True))
        # 2,000 pages: 50 at most at a time, and 20 at least.
        lengths[pieces] = max(map(len, made))
        assert len(made) == -(-1000 // lengths[pieces])
    assert lengths == {4: 24, 32: 24, 64: 15, 1000: 9}
    tiny = hierarchy_of(*(array_spec(f"a{n:05}", (1,), (1,)) for n in range(2500)))
    assert list(map(len, jobs_of(tiny))) == [USUAL.members, USUAL.members, 500]


@settings(deadline=None, max_examples=examples(40))
@given(data=st.data())
def test_every_partition_is_in_one_job(
    data: st.DataObject, array_spec: Maker, hierarchy_of: Together
) -> None:
    names = data.draw(st.lists(st.from_regex(r"[a-c][-./_]?[0-9]?", fullmatch=True), unique=True))
    names = [n.rstrip("/") for n in names]
    names = [n for n in set(names) if not any(m != n and n.startswith(f"{m}/") for m in names)]
    sizes = st.sampled_from([0, 1, 96, 3000, 5000, 5001, 20_000])
    specs = [array_spec(n, (data.draw(sizes), 1), (1, 1), ("time", "x")) for n in names]
    most_held = data.draw(st.sampled_from([25_000, 60_000, PLENTY]))
    plan = make_plan(hierarchy_of(*specs), Location("s3://b/s"), region=500) if specs else None
    if plan is None:
        return
    pending = [p for p in plan.partitions() if data.draw(st.integers(0, 3))]
    made = make_jobs(plan, pending, most_held, WIDTH, data.draw(st.integers(1, 3)))
    assert sorted(map(str, pending)) == sorted(str(p) for job in made for p in job.partitions)
    for job in made:
        assert job.held <= most_held
        keys = [f"{member.spec.name}/" for member in job.members]
        assert keys == sorted(keys)
        assert job.together == (len(keys) > 1)
        for member in job.members:
            assert all(partition.array == member.spec.name for partition in member.partitions)


MANY = [(f"g{n // 40}/a{n}", (8, 12), (1, 1), ("time", "x")) for n in range(60)]
STORES: dict[str, dict[str, Any]] = {
    "v2": {},
    "v2 in folders": {"separator": "/"},
    "v3": {"zarr_format": 3, "separator": "/"},
    "v3 with dots": {"zarr_format": 3},
    "v3 as v2": {"zarr_format": 3, "key_encoding": "v2"},
}


@pytest.mark.parametrize(
    ("between", "style"),
    [
        *((0, "v2"), (300, "v2"), (7000, "v2"), (7000, "v2 in folders")),
        *((300, "v3"), (0, "v3 with dots"), (7000, "v3 as v2")),
    ],
)
def test_the_forecast_is_what_happens_on_a_dense_store(
    tmp_path: Path, between: int, style: str
) -> None:
    arrays = [
        *MANY,
        ("g0/a19-large", (between, 1), (1, 1), ("n", "m")),
        ("g0/scalar", (), (), ()),
        ("g1/a50.x", (4000,), (1,), ("n",)),
        ("z/last", (1000,), (1,), ("t",)),
    ]
    if not between:
        del arrays[len(MANY)]
    twin = FormulaListing(zarr_store(arrays, **STORES[style]))
    # Where the large arrays are split there are hundreds of partitions: once is enough.
    split, region = (None, 16) if style == "v2" else ("time", 4)
    source = parchunk.Source(twin, "", "s3://b")  # type: ignore[arg-type]
    plan = parchunk.plan(source, split=split, region=region)
    shown = describe(plan)
    twin.reset()
    result = parchunk.build(plan, str(tmp_path / "r"))
    assert twin.requests == result.requests == shown["list_requests"]
    assert sum(receipt.requests for receipt in result.receipts) == result.requests
    assert result.requests_least == shown["list_requests_least"]
    assert sum(receipt.requests_least for receipt in result.receipts) == result.requests_least
    assert parchunk.audit(str(tmp_path / "r")).list_requests_least == result.requests_least
    assert result.present == result.expected == plan.chunks
    assert result.requests <= shown["list_requests_least"] + 5
    again = parchunk.build(plan, str(tmp_path / "r"))
    assert (again.requests, again.built) == (0, 0)


@settings(deadline=None, max_examples=examples(10))
@given(data=st.data())
def test_the_forecast_is_exact_wherever_pages_end(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 2500) | st.sampled_from([498, 998]), min_size=2))
    groups = data.draw(st.lists(st.sampled_from(["", "g/", "g/h/", "z/"]), min_size=1))
    arrays = [
        (f"{groups[n % len(groups)]}a{n}", (size,), (1,), ("x",)) for n, size in enumerate(sizes)
    ]
    style = data.draw(st.sampled_from(list(STORES)))
    requests_as_forecast(arrays, style, tmp_path_factory.mktemp("out"))


def requests_as_forecast(arrays: list[tuple[Any, ...]], style: str, folder: Path) -> int:
    """Build references of ``arrays``; return the requests, which are those of the forecast."""
    twin = FormulaListing(zarr_store(arrays, **STORES[style]))
    plan = parchunk.plan(parchunk.Source(twin, "", "s3://b"))  # type: ignore[arg-type]
    forecast = describe(plan)["list_requests"]
    twin.reset()
    result = parchunk.build(plan, str(folder / "r"))
    assert twin.requests == result.requests == forecast
    assert result.missing == 0
    return result.requests


def test_the_page_after_one_that_a_range_ends_with_is_a_whole_one(tmp_path: Path) -> None:
    """998 chunks and two documents are a page; what shows that it ended holds all of the next."""
    arrays = [("a", (998,), (1,), ("x",)), ("b", (990,), (1,), ("x",))]
    assert requests_as_forecast(arrays, "v2", tmp_path) == 2
