"""Listings that go wrong: references are complete and exact, or there is one line that says why."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashFraction, LeadingRange
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from tests import made
from tests.made import FAULTS, QUICK, check_exact

import parchunk
from parchunk.cli.plan import describe
from parchunk.listing.patience import Patience


@pytest.fixture(params=["obstore", "wire"])
def source_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return what opens a source that goes wrong, listed by each: above them it is the same."""
    return partial(made.source_of, listing=request.param)


def wide(**options: Any) -> FormulaStore:
    """Return a store of 11,600 chunks, whose keys are a dozen pages."""
    return zarr_store([("v403", (58, 200), (1, 1), ("time", "x"))], **options)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("holes", [False, True])
def test_a_fault_in_passing_costs_nothing(
    tmp_path: Path, source_of: Any, name: str, holes: bool
) -> None:
    store = wide(present=HashFraction(0.8) if holes else None)
    fault = dataclasses.replace(FAULTS[name], within="v403/")
    with source_of(store, fault) as (server, source):
        plan = parchunk.plan(source, region=20)
        patient = Patience(12, 0.01, 0.02)
        result = parchunk.build(plan, str(tmp_path / "r"), patience=patient, concurrency=2)
        assert sum(server.counts()["faults"].values()) >= 1
    check_exact(tmp_path / "r", plan, store)
    assert result.present + result.missing == 11_600
    broken = {"503", "429", "500", "408", "reset", "cut", "reset-body", "stall", "hang"}
    if name in broken | {"expired-token", "many 503", "many cuts"}:
        assert result.retries >= 1
        assert sum(r.retries for r in result.receipts) == result.retries
    if name in {"repeat-page", "swap-pages", "reverse"}:
        assert any("does not list in order" in note for note in result.notes)
    if name in {"error-body", "no-token", "short"}:
        # The listing asks for its last key again, and goes on from there.
        assert not any("second listing" in note for note in result.notes)
    if name == "drop":
        assert any("second listing" in note for note in result.notes)
        assert sum(r.found_again for r in result.receipts) >= 1


@pytest.mark.parametrize("kind", ["short", "no-token", "error-body"])
def test_listings_that_end_early_are_not_believed_without_order_either(
    tmp_path: Path, source_of: Any, kind: Any
) -> None:
    """Two that end alike look like a gap; an object amid it tells."""
    out = tmp_path / "r"
    faults = (
        Fault("reverse", first=1, within="v403/"),
        Fault(kind, first=3, times=None, within="v403/"),
    )
    with source_of(wide(), *faults) as (server, source):
        plan = parchunk.plan(source, region=20)
        # Off the wire, a page says itself that it is none.
        told = "v403 failed at 4 attempts: the answer is no page: it (is an error|says that)"
        with pytest.raises(
            parchunk.ListingError, match=f"v403: 5 listings of the same gaps|{told}"
        ):
            parchunk.build(plan, str(out), patience=QUICK, concurrency=1)
        assert server.counts()["faults"].keys() == {"reverse", kind}
    assert not (out / ".zmetadata").exists()


@pytest.mark.parametrize("kind", ["503", "cut", "reset", "short", "reverse", "no-token"])
def test_a_fault_that_stays_is_one_line(tmp_path: Path, source_of: Any, kind: Any) -> None:
    store = wide()
    with source_of(store, Fault(kind, first=3, times=None, within="v403/")) as (_, source):
        plan = parchunk.plan(source, region=20)
        try:
            parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=1)
        except parchunk.ListingError as error:
            message = str(error)
        else:  # what can be made good again may be
            check_exact(tmp_path / "r", plan, store)
            return
    assert "\n" not in message
    assert "v403" in message
    assert not (tmp_path / "r" / ".zmetadata").exists()
    if kind in ("503", "cut", "reset"):
        assert "s3://formula/v403 after key v403/" in message
        assert "failed at 4 attempts" in message
        assert "permission" not in message


@pytest.mark.parametrize("kind", ["drop", "short", "reverse"])
def test_strays_that_only_the_second_listing_shows_are_counted(
    tmp_path: Path, source_of: Any, kind: Any
) -> None:
    extra = {f"v403/{step}.{x}.tmp": b"x" for step in range(58) for x in range(0, 200, 8)}
    store = wide(present=HashFraction(0.8), extra=extra)
    with source_of(store, Fault(kind, first=2, times=2, within="v403/")) as (server, source):
        plan = parchunk.plan(source, region=20)
        result = parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=2)
        assert server.counts()["faults"][kind] == 2
    assert result.strays == len(extra)
    check_exact(tmp_path / "r", plan, store)


def test_gaps_need_no_right_to_read_objects(tmp_path: Path, source_of: Any) -> None:
    store = wide(present=HashFraction(0.8))
    refused = [Fault("403", times=None, on=method, within="v403/1") for method in ("HEAD", "GET")]
    with source_of(store, *refused) as (server, source):
        plan = parchunk.plan(source, region=20)
        parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
        assert server.counts()["HEAD"] == 0
    check_exact(tmp_path / "r", plan, store)


def test_without_order_gaps_need_it_and_what_does_without_is_said(
    tmp_path: Path, source_of: Any
) -> None:
    """A gap is asked for by HEAD there: builds can believe listings, audits need not make any."""
    store, out = wide(present=HashFraction(0.8)), str(tmp_path / "r")
    faults = [
        Fault("reverse", times=None, within="v403/"),
        Fault("403", times=None, on="HEAD", within="v403/"),
    ]
    with source_of(store, *faults) as (_, source):
        plan = parchunk.plan(source, region=20)
        with pytest.raises(parchunk.ListingError, match="build with --trust-listing, and audit w"):
            parchunk.build(plan, out, patience=QUICK)
        parchunk.build(plan, out, patience=QUICK, trust_listing=True)
        assert parchunk.audit(out).published
        with pytest.raises(parchunk.ListingError, match="audit without --against-source"):
            parchunk.audit(out, against_source=True, source=source)
    check_exact(tmp_path / "r", plan, store)


def test_numbers_in_keys_are_no_status(tmp_path: Path, source_of: Any) -> None:
    """``start-after=v403/40.3`` stands in the error's text; it is not what is wrong."""
    with source_of(wide(), Fault("500", first=4, times=1, within="v403/")) as (_, source):
        plan = parchunk.plan(source, region=20)
        result = parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=1)
    assert result.retries == 1


def test_no_permission_is_final(tmp_path: Path, source_of: Any) -> None:
    with source_of(wide(), Fault("403", times=None, within="v403/")) as (server, source):
        plan = parchunk.plan(source, region=20)
        with pytest.raises(parchunk.ListingError, match="first attempt: permission denied"):
            parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=1)
        assert server.counts()["faults"]["403"] == 1


def test_a_listing_goes_on_after_the_last_delivered_key(tmp_path: Path, source_of: Any) -> None:
    store = wide()
    with source_of(store, Fault("cut", first=7, within="v403/")) as (server, source):
        plan = parchunk.plan(source, region=58)
        server.reset()
        parchunk.build(plan, str(tmp_path / "r"), patience=QUICK, concurrency=1)
        lists = [entry for entry in server.lists() if entry["prefix"] == "v403/"]
        counts = server.counts()
    # Twelve pages, one of which broke; none that came whole was asked for twice.
    assert len(lists) == 13
    assert lists[7]["fault"] == "cut"
    assert lists[8]["start_after"] is not None
    good = [(e["start_after"], e["token"]) for e in lists if not e["fault"]]
    assert len(set(good)) == 12
    assert counts["keys"] == 11_602 + 1000
    check_exact(tmp_path / "r", plan, store)


@pytest.mark.parametrize("kind", ["ignore-start-after", "repeat-token"])
def test_a_store_that_ignores_what_is_asked(tmp_path: Path, source_of: Any, kind: Any) -> None:
    store = wide()
    with source_of(store, Fault(kind, times=None, within="v403/")) as (_, source):
        plan = parchunk.plan(source, split="x", region=100)
        if kind == "ignore-start-after":
            parchunk.build(plan, str(tmp_path / "a"), patience=QUICK)
            check_exact(tmp_path / "a", plan, store)
        partial = parchunk.plan(source, region=20, record_size=4000)
        try:
            parchunk.build(partial, str(tmp_path / "b"), patience=QUICK)
        except parchunk.ListingError as error:
            assert "repeats itself" in str(error) or "relied on" in str(error)  # noqa: PT017
        else:
            check_exact(tmp_path / "b", partial, store)


def test_gaps_beside_walks_in_flight_are_no_disorder(tmp_path: Path) -> None:
    """A second listing of one region's gaps meets chunks of others, whose walks come later."""
    store = zarr_store(
        [("v", (90_000, 2), (1, 1), ("time", "x"))], present=HashFraction(0.9, seed=4)
    )
    twin = FormulaListing(store)
    plan = parchunk.plan(parchunk.Source(twin, "", "s3://b"), region=5000)  # type: ignore[arg-type]
    for concurrency in (1, 4):
        out = tmp_path / str(concurrency)
        result = parchunk.build(plan, str(out), concurrency=concurrency)
        assert result.notes == ()
        assert all(receipt.ordered for receipt in result.receipts)
        check_exact(out, plan, store)


@pytest.mark.parametrize(("split", "region"), [("time", 58), ("time", 20), ("x", 100)])
def test_the_forecast_is_what_happens_on_a_dense_store(
    tmp_path: Path, source_of: Any, split: str, region: int
) -> None:
    store = wide()
    with source_of(store) as (server, source):
        plan = parchunk.plan(source, split=split, region=region)
        shown = describe(plan)
        server.reset()
        result = parchunk.build(plan, str(tmp_path / "r"))
        made = [entry for entry in server.lists() if entry["delimiter"] is None]
    assert len(made) == result.requests == shown["list_requests"]
    assert sum(receipt.requests for receipt in result.receipts) == result.requests
    assert shown["list_requests_least"] == 12 == result.requests_least


def test_resumed_regions_are_listed_by_offset_and_early_stop(
    tmp_path: Path, source_of: Any
) -> None:
    store = zarr_store(
        [("v", (30_000,), (1,), ("time",))], present=LeadingRange(0, 30_000), separator="/"
    )
    with source_of(store) as (server, source):
        plan = parchunk.plan(source, region=10_000)
        out = tmp_path / "r"
        parchunk.build(plan, str(out))
        (out / ".parchunk" / "receipts" / "v" / "2.json").unlink()
        server.reset()
        result = parchunk.build(plan, str(out))
        lists = [e for e in server.lists() if e["delimiter"] is None]
    assert result.built == 1
    # 20,000 .. 29,999 stand together as text, but for 2, 20, 200 .. between: some ten pages.
    assert len(lists) == result.requests <= 13
    assert any(entry["start_after"] for entry in lists)
    check_exact(out, plan, store)
