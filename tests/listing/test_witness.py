"""Ends of listings that are lies: an error with status 200, pages that stop without a word.

Nothing short is published, wherever they come and however often, and no right to read chunks is
needed; what passes costs nothing but requests.
"""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashFraction, LeadingRange, Nothing, Without
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.building.pools import Here
from parchunk.cover import walks
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.keys.space import KeySpace
from parchunk.listing.listed_rows import Listed, Unordered, in_order
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.walker import Listing
from parchunk.listing.witness import Course, Witnesses
from parchunk.metadata.spec import ArraySpec
from parchunk.stores.source import Source

QUICK = Patience(attempts=4, first_wait=0.001, longest_wait=0.002)
STOP = threading.Event()
LIES = ["error-body", "empty", "no-token", "short"]


@contextmanager
def source_of(
    store: FormulaStore, *faults: Fault, page: int = 1000
) -> Iterator[tuple[Server, Source]]:
    """Serve a store of which objects other than documents may be listed and not read."""
    names = [array.name for array in store.arrays]
    refused = [
        Fault("403", times=None, on=method, within=f"{name}/{first}")
        for name in names
        for method in ("GET", "HEAD")
        for first in "0123456789c"
    ]
    with serve(store, faults=(*faults, *refused), page=page, process=False) as server:
        kwargs = server.store_kwargs() | {"retry_config": {"max_retries": 0}}
        yield server, Source(S3Store(server.bucket, **kwargs), "", "s3://formula")


def check_exact(out: Path, store: FormulaStore) -> None:
    for array in store.arrays:
        files = sorted((out / array.name).glob("*.parq"), key=lambda f: int(f.name.split(".")[1]))
        tables = [pq.read_table(file) for file in files]
        sizes = [np.where(t["path"].is_null(), -1, t["size"].to_numpy()) for t in tables]
        wanted = array.expected_sizes()
        assert np.array_equal(np.concatenate(sizes), np.where(wanted == 0, -1, wanted))


def build(out: Path, store: FormulaStore, *faults: Fault, page: int) -> bool:
    """Build under faults; return whether it was published, which it may be only if exact."""
    return outcome(out, store, *faults, page=page)[0]


def outcome(out: Path, store: FormulaStore, *faults: Fault, page: int) -> tuple[bool, int]:
    """Build under faults; return whether it was published, and how many of the faults came."""
    with source_of(store, *faults, page=page) as (server, source):
        published = planned_and_built(out, store, server, source)
        came = server.counts()["faults"]
    return published, sum(came.get(fault.kind, 0) for fault in faults)


def planned_and_built(out: Path, store: FormulaStore, server: Server, source: Source) -> bool:
    try:
        plan = parchunk.plan(source, split="time")
    except parchunk.SourceError:
        return False  # planning's own listings were not believed
    try:
        parchunk.build(plan, str(out), patience=QUICK, concurrency=1)
        said = ""
    except parchunk.ListingError as error:
        said = str(error)
    assert server.counts()["HEAD"] == 0
    if said:
        assert "\n" not in said
        assert any(array.name in said for array in store.arrays)
        assert not (out / ".zmetadata").exists()
        return False
    check_exact(out, store)
    return True


def one(zarr_format: int = 2, present: Any = None, chunks: int = 1200) -> FormulaStore:
    arrays = [("t", (chunks,), (1,), ("time",))]
    return zarr_store(arrays, zarr_format, "/" if zarr_format == 3 else ".", present=present)


def several(present: Any = None) -> FormulaStore:
    arrays = [(f"g/{name}", (250,), (1,), ("time",)) for name in "abcd"]
    return zarr_store(arrays, present=present)


TAIL = Without(tuple(range(5, 10)) + tuple(range(50, 100)) + tuple(range(500, 1000)))
STORES = {
    "whole": one(),
    "holes": one(present=HashFraction(0.8)),
    "no end": one(present=TAIL),
    "no end, v3": one(3, present=TAIL),
    "nothing": one(present=Nothing()),
    "nothing, v3": one(3, present=Nothing()),
    "bundle": several({"g/b": HashFraction(0.7), "g/d": LeadingRange(0, 40)}),
    "bundle of nothing": several(Nothing()),
}


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("kind", LIES)
def test_a_lie_anywhere_is_found(tmp_path: Path, name: str, kind: Any) -> None:
    """In the first page, amid, the last; in the first listing, and in the second of the gaps."""
    within = "g/" if name.startswith("bundle") else "t/"
    # Each store begins at another page, and has one lie where its neighbour has two in a row.
    begin = list(STORES).index(name)
    step = 3 if kind == "error-body" else 7
    first = begin % 3
    for number in itertools.count():
        fault = Fault(kind, first=first, times=1 + (begin + number) % 2, within=within)
        published, came = outcome(tmp_path / str(first), STORES[name], fault, page=100)
        assert published
        if not came:
            break  # there are not as many pages
        first += step
    assert number


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("kind", LIES)
def test_lies_that_come_again_and_again(tmp_path: Path, name: str, kind: Any) -> None:
    within = "g/" if name.startswith("bundle") else "t/"
    for every in (2, 3, 5):
        fault = Fault(kind, first=1, times=None, every=every, within=within)
        assert build(tmp_path / str(every), STORES[name], fault, page=100)


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("kind", LIES)
def test_lies_that_never_end_are_not_published(tmp_path: Path, name: str, kind: Any) -> None:
    within = "g/" if name.startswith("bundle") else "t/"
    begin = list(STORES).index(name) % 4
    for first in itertools.count(begin, 8):
        fault = Fault(kind, first=first, times=None, within=within)
        published, came = outcome(tmp_path / str(first), STORES[name], fault, page=100)
        if kind in ("no-token", "short"):  # each page is true, and only its end is not
            assert published
        if not came:
            break
    assert first > begin


@pytest.mark.parametrize("kind", LIES)
def test_the_first_listing_finds_lies_by_itself(tmp_path: Path, kind: Any) -> None:
    """Two in a row: also where gaps are not listed again."""
    with source_of(one(), Fault(kind, first=5, times=2, within="t/"), page=100) as (_, source):
        plan = parchunk.plan(source, split="time")
        out = str(tmp_path / "r")
        parchunk.build(plan, out, patience=QUICK, concurrency=1, trust_listing=True)
    check_exact(tmp_path / "r", one())


def test_a_page_before_the_witness_is_none() -> None:
    """The last key was deleted, and one before it is new: the end is shown by neither."""
    walk = walks.walk(KeySpace((12,), KeyEncoding("", ".", 1)), 0, 12)
    course = Course(walk, "t/", "", Witnesses(), lambda *_: [], 1000)

    def page(*keys: str) -> None:
        sizes = np.ones(len(keys), np.uint64)
        course.take(Listed(pa.array(keys), sizes, np.zeros(len(keys), np.int64)))

    page("t/.zarray", "t/1", "t/2")
    assert course.stopped() == "ask"
    assert course.offset == "t/1"
    page("t/10")
    assert course.stopped() == "fault"
    page("t/10", "t/2")
    assert course.stopped() == "ended"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_fraction_of_a_store_is_not_taken_for_all_of_it(tmp_path: Path, zarr_format: int) -> None:
    """48,000 chunks were once published as 8,000: two listings ended alike, HEAD answered 403."""
    store = one(zarr_format, chunks=48_000)
    fault = Fault("error-body", first=8, times=None, within="t/")
    assert not build(tmp_path / "r", store, fault, page=1000)
    assert build(tmp_path / "r", store, page=1000)


@pytest.mark.parametrize(
    ("store", "within", "most"),
    [
        (one(chunks=12_000), "t/", 13),
        (one(3, chunks=12_000), "t/", 12),
        (several(), "g/", 2),
    ],
)
def test_what_is_complete_costs_no_witness(
    tmp_path: Path, store: FormulaStore, within: str, most: int
) -> None:
    with source_of(store) as (server, source):
        plan = parchunk.plan(source, split="time")
        parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
        lists = [entry for entry in server.lists() if entry["prefix"].startswith(within)]
        lists = [entry for entry in lists if entry["delimiter"] is None]  # planning's have one
    assert len(lists) <= most


def test_walks_that_meet_nothing_share_what_one_of_them_found() -> None:
    """Half of 200,000 chunks are there, none in the last forty walks."""
    keys = KeyEncoding("", "/", 2)
    grid = (8, 25_000)  # indices of one digit, so that those that are missing come last
    store = zarr_store(
        [("t", grid, (1, 1), ("time", "x"))], separator="/", present=LeadingRange(0, 4)
    )
    requests = Requests()
    with source_of(store) as (server, source):
        listing = Listing(source, "t", requests, QUICK, threading.Event())
        for start in range(100_000, 200_000, 10_000):
            walk = walks.walk(KeySpace(grid, keys), start, start + 10_000)
            assert list(listing.follow(walk)) == []
        assert server.counts()["LIST"] == requests.lists
    # One each, and some to halve the array until its last key is found.
    assert requests.lists <= 10 + 20


def test_a_last_key_that_was_deleted_meanwhile_is_an_error_that_names_it() -> None:
    keys = KeyEncoding("", ".", 1)
    store = one(chunks=100, present=LeadingRange(0, 40))
    gone = Fault("empty", first=1, times=None, within="t/")
    with source_of(store, gone) as (_, source):
        listing = Listing(source, "t", Requests(), QUICK, threading.Event())
        with pytest.raises(parchunk.ListingError, match=r"formula/t after key t/9 failed at 4 att"):
            list(listing.follow(walks.walk(KeySpace((100,), keys), 0, 100)))


def test_a_store_that_delivers_nothing_is_left_after_some_tries() -> None:
    """Whatever time-out the client has, or none: pages without keys come for ever, too."""
    patience = Patience(attempts=2, first_wait=0.001, quiet=1.5)
    store = one()
    with serve(store, faults=[Fault("hang", first=1, times=None)], process=False) as server:
        kwargs = server.store_kwargs() | {"retry_config": {"max_retries": 0}}
        kwargs["client_options"] = {"allow_http": True, "timeout": "1h"}
        source = Source(S3Store(server.bucket, **kwargs), "", "s3://formula")
        walk = walks.walk(KeySpace((1200,), KeyEncoding("", ".", 1)), 0, 1200)
        for _ in range(20):
            server.reset()  # where the first page has come too late, it is the first again
            requests = Requests()
            listed = Listing(source, "t", requests, patience, threading.Event()).follow(walk)
            with contextlib.suppress(parchunk.ListingError):
                assert len(next(listed).paths) == 1000
                if not requests.retries:
                    break
        with pytest.raises(parchunk.ListingError, match=r"2 attempts: .*nothing came for 1.5 s"):
            next(listed)
    assert requests.retries == 2


@pytest.mark.parametrize("strays", [True, False])
def test_pages_that_come_again_for_ever_end_in_an_error(tmp_path: Path, strays: bool) -> None:
    extra = {f"t/{n}.tmp": b"x" for n in range(300)} if strays else None
    store = zarr_store([("t", (40,), (1,), ("time",))], extra=extra)
    fault = Fault("repeat-token", times=None, within="t/")
    with source_of(store, fault, page=6) as (server, source):
        plan = parchunk.plan(source, split="time")
        with pytest.raises(parchunk.ListingError, match="repeats itself without an end"):
            parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
        assert server.counts()["LIST"] < 2_000
    assert not (tmp_path / "r" / ".zmetadata").exists()


def test_a_marker_beside_a_chunk_is_a_stray_without_order(tmp_path: Path) -> None:
    store = zarr_store([("t", (40,), (1,), ("time",))], extra={"t/5/": b"", "t/12/": b""})
    reverse = Fault("reverse", times=None, within="t/")
    with source_of(store, reverse) as (_, source):
        plan = parchunk.plan(source, split="time")
        result = parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
    assert (result.present, result.missing) == (40, 0)
    check_exact(tmp_path / "r", store)


@pytest.mark.parametrize("batch", [1, 3000])
def test_pages_that_change_places_are_no_order(batch: int) -> None:
    """Also where each comes as a batch of its own, and is in order."""
    store = one(chunks=6000)
    swapped = Fault("swap-pages", first=1, within="t/")
    with source_of(store, swapped) as (_, source):
        listing = Listing(source, "t", Requests(), QUICK, threading.Event(), batch)
        walk = walks.walk(KeySpace((6000,), KeyEncoding("", ".", 1)), 0, 6000)
        with pytest.raises(Unordered):
            list(listing.follow(walk))


def test_a_chunk_of_no_bytes_out_of_order_is_no_marker_for_its_neighbour() -> None:
    rows = Listed(pa.array(["t/5", "t/3"]), np.array([0, 7], np.uint64), np.zeros(2, np.int64))
    with pytest.raises(Unordered, match="key t/3 came after t/5"):
        in_order(rows, None)


def test_a_chunk_that_is_lost_on_its_way_is_an_error() -> None:
    spec = ArraySpec("t", 2, (4,), (1,), "<f4", 4, (None,), KeyEncoding("", ".", 1), {}, {})
    store = S3Store("b", region="us-east-1", skip_signature=True)
    listing = Listing(Source(store, "", "s3://b"), "t", Requests(), Patience(), STOP)
    array = ArrayListing(spec, listing, Here(), Here(), False)
    tally = array.tally_of([RowSet(4, 0, 4)])
    tally.wanted = 3
    array.check_recorded(tally, 3)
    with pytest.raises(parchunk.ListingError, match="3 chunks were listed and 2 recorded"):
        array.check_recorded(tally, 2)


def test_an_array_that_ends_in_missing_chunks_costs_one_request_more(tmp_path: Path) -> None:
    store = one(present=Without(tuple(range(900, 1000))))
    with source_of(store) as (server, source):
        plan = parchunk.plan(source, split="time")
        server.reset()
        result = parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
        lists = [entry["start_after"] for entry in server.lists() if entry["prefix"] == "t/"]
    assert result.requests == len(lists) == 2 + 1 + 1 + 1
    # Two pages; the last key again; the gap again, in which it comes; and amid the gap.
    assert lists[:3] == [None, None, "t/98"]
    assert lists[4] == "t/95"  # before 950
    check_exact(tmp_path / "r", store)


def test_order_is_checked_across_batches_in_one_that_breaks() -> None:
    """What a stream delivered before it died is kept: if it goes on from the batch before."""
    again = Fault("repeat-page", first=1, within="t/")
    broken = Fault("503", first=3, times=None, within="t/")
    with source_of(one(chunks=5000), again, broken) as (server, source):
        source = replace(source, listing="obstore")  # which does not see that a token repeats
        listing = Listing(source, "t", Requests(), QUICK, threading.Event(), batch=2000)
        walk = walks.walk(KeySpace((5000,), KeyEncoding("", ".", 1)), 0, 5000)
        listed = listing.follow(walk)
        assert len(next(listed).paths) == 2000
        with pytest.raises(Unordered, match="came after"):
            next(listed)
        assert server.counts()["faults"].keys() == {"repeat-page", "503"}
