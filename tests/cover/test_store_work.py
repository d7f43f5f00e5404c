"""Small stores side by side: one walk lists many, and costs what that is said to cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.synthetic.neighbours import periods
from instruments.synthetic.twin import FormulaListing
from obstore.exceptions import PermissionDeniedError

import parchunk
from parchunk.cli.plan import describe
from parchunk.cover import store_work
from parchunk.cover.store_work import store_works

STYLES: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2, "separator": "."},
    "v2 in folders": {"zarr_format": 2, "separator": "/"},
    "v3": {"zarr_format": 3, "separator": "/"},
    "v3 with dots": {"zarr_format": 3, "separator": "."},
    "v3 as v2": {"zarr_format": 3, "separator": ".", "key_encoding": "v2"},
}


def sources(listing: FormulaListing, names: list[str]) -> list[parchunk.Source]:
    return [
        parchunk.Source(listing, name, f"s3://bucket/{name}")  # type: ignore[arg-type]
        for name in names
    ]


def built(out: Path, listing: FormulaListing, names: list[str]) -> tuple[int, Any]:
    """Return what the plan forecasts, and what the build of it came to."""
    plan = parchunk.plan(sources(listing, names), concat="time")
    forecast = int(str(describe(plan)["list_requests"]))
    listing.requests = 0
    result = parchunk.build(plan, out)
    assert result.requests == listing.requests
    assert sum(receipt.requests for receipt in result.receipts) == result.requests
    assert result.present == result.expected == plan.chunks
    return forecast, result


def test_twenty_small_stores_take_a_request(tmp_path: Path) -> None:
    names = [f"era5/{1000 + n}.zarr" for n in range(300)]
    listing = FormulaListing(periods(names, [("air", (4, 10), (1, 1), ("time", "x"))], 4))
    plan = parchunk.plan(sources(listing, names), concat="time")
    assert 12 <= int(str(describe(plan)["list_requests"])) <= 15
    forecast, result = built(tmp_path / "out", listing, names[:60])
    assert result.requests == forecast <= 4
    path = "SELECT path FROM refs WHERE array_name = 'air' AND chunk_number = 4 * 10 * 7 + 16"
    found = parchunk.connect(tmp_path / "out").sql(path).fetchall()
    assert found == [(f"s3://bucket/{names[7]}/air/c/1/6",)]


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_the_forecast_is_exact_wherever_pages_end(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    style = STYLES[data.draw(st.sampled_from(list(STYLES)))]
    # Of one length, so that record files are as long.
    size = data.draw(st.integers(50, 2500) | st.integers(490, 500) | st.integers(990, 1000))
    count = data.draw(st.integers(1, 3))
    arrays = [(f"a{n}", (1, size), (1, 1), ("time", "x")) for n in range(count)]
    names = data.draw(
        st.lists(
            st.from_regex(r"e/(x/)?[a-c]1?([-.][0-9])?", fullmatch=True), min_size=1, unique=True
        )
    )
    listing = FormulaListing(periods(names[:6], arrays, 1, **style))
    with pytest.MonkeyPatch.context() as patched:
        # Whether what follows a work is another's is told by it, too.
        patched.setattr(store_work, "_CHUNKS", data.draw(st.sampled_from([500_000, 2_000])))
        forecast, result = built(tmp_path_factory.mktemp("out") / "r", listing, names[:6])
    assert result.requests == forecast
    assert result.requests <= result.requests_least + len(names) + 2


@given(
    st.lists(st.sampled_from(["a", "a-x", "a/b", "a/b/c", "b", "c.zarr", "c.zarr/d"]), min_size=1),
    st.sets(st.integers(0, 6)),
)
@settings(deadline=None, max_examples=30)
def test_every_partition_is_in_one_work(keys: list[str], wanted: set[int]) -> None:
    listing = FormulaListing(
        periods(list(dict.fromkeys(keys)), [("a0", (1, 3), (1, 1), ("t", "x"))], 1)
    )
    groups = {f"g{n}": one for n, one in enumerate(sources(listing, keys))}
    plan = parchunk.plan(groups)
    assert plan.source is not None
    pending = [p for p in plan.partitions() if (plan.store_of(p) or 0) in wanted]
    works = list(store_works(plan, plan.source, pending))
    found = []
    for work in works:
        names = [array.spec.name for array in work.plan.arrays]
        assert len(names) == len(set(names))
        for partition in work.pending:
            view, array = work.views[partition.array]
            found.append((array, partition.region))
            place = plan.stores.stores[view.store]
            own = array.removeprefix(f"{place.below}/")
            assert work.source.describe(partition.array) == f"{place.url}/{own}"
    assert sorted(found) == sorted(partition.key for partition in pending)


class Shut(FormulaListing):
    """A bucket in which only stores may be listed, and nothing above them."""

    def list(self, prefix: str | None = None, **options: Any) -> Iterator[Any]:
        if not prefix or "/" not in prefix.strip("/"):
            raise PermissionDeniedError("status: 403 Forbidden")
        return super().list(prefix, **options)


def test_where_only_stores_may_be_listed_each_array_is(tmp_path: Path) -> None:
    names = [f"e/{n}.zarr" for n in range(3)]
    arrays = [(name, (4, 5), (1, 1), ("time", "x")) for name in ("air", "rain")]
    listing = Shut(periods(names, arrays, 4))
    result = parchunk.build(parchunk.plan(sources(listing, names), concat="time"), tmp_path / "out")
    assert (result.present, result.missing) == (121, 0)
    assert "cannot be listed" in "".join(result.notes)
    assert "permission denied" in "".join(result.notes)
    assert "each array was listed alone instead" in "".join(result.notes)
