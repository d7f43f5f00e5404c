"""How a store lists is found when a source is opened, or said, and what lists goes by it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

import parchunk
from parchunk.stores.manner import Manner, manner_of
from parchunk.stores.source import Source


@pytest.mark.parametrize(
    ("store", "manner"),
    [
        (LocalStore(), Manner(remote=False, ordered=False)),
        (MemoryStore(), Manner(remote=False, in_memory=True)),
        (S3Store("bucket", region="us-east-1"), Manner(page=1000, remote=True, ordered=True)),
        (S3Store("b--use1-az4--x-s3", region="us-east-1"), Manner(ordered=False)),
        (S3Store("b--x-s3b", region="us-east-1"), Manner()),
        (AzureStore("container", account_name="a"), Manner(page=5000)),
        (GCSStore("bucket"), Manner()),
        (FormulaListing(zarr_store([("t", (4,), (1,), ("time",))])), Manner()),
    ],
)
def test_manner_of_each_kind_of_store(store: object, manner: Manner) -> None:
    assert manner_of(store) == manner
    assert Source(store, "s", "s3://b/s").manner == manner  # type: ignore[arg-type]


def test_a_source_carries_it_wherever_it_goes(tmp_path: Path) -> None:
    said = Manner(page=7, ordered=False)
    source = Source(LocalStore(), "a/b", "/a/b", manner=said)
    for other in (source.child("c"), source.above("b"), source.parent()[0]):
        assert other.manner == said
    assert pickle.loads(pickle.dumps(source)).manner == said
    assert Source.open(str(tmp_path)).manner == Manner(remote=False, ordered=False)
    assert Source.open("az://c/s", {"account_name": "a"}).manner.page == 5000


@pytest.mark.parametrize("page", [100, 1000, 5000])
def test_requests_go_by_the_page_that_is_said(tmp_path: Path, page: int) -> None:
    listing = FormulaListing(zarr_store([("t", (20_000,), (1,), ("time",))]), page=page)
    source = Source(listing, "", "s3://b", manner=Manner(page=page))  # type: ignore[arg-type]
    plan = parchunk.plan(source)
    asked = listing.requests
    result = parchunk.build(plan, str(tmp_path / "refs"))
    assert result.requests == listing.requests - asked
    assert result.requests_least == 20_000 // page


def test_what_lists_without_order_is_not_left_early(
    tmp_path: Path, published: Callable[[Path], dict[str, bytes]]
) -> None:
    built = []
    for ordered in (True, False):
        listing = FormulaListing(zarr_store([("t", (3000,), (1,), ("time",))]))
        said = Manner(ordered=ordered)
        source = Source(listing, "", "s3://b", manner=said)  # type: ignore[arg-type]
        out = tmp_path / str(ordered)
        result = parchunk.build(parchunk.plan(source, region=1000), str(out))
        assert {receipt.ordered for receipt in result.receipts} == {ordered}
        built.append(published(out))
    assert built[0] == built[1]


def test_other_processes_do_not_reach_what_is_said_to_be_in_memory(tmp_path: Path) -> None:
    listing = FormulaListing(zarr_store([("t", (10,), (1,), ("time",))]))
    source = Source(listing, "", "s3://b", manner=Manner(in_memory=True))  # type: ignore[arg-type]
    with pytest.raises(parchunk.InputError, match="--workers 1"):
        parchunk.build(parchunk.plan(source), str(tmp_path / "refs"), workers=2)
