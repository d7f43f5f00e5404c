"""Key ranges against a reading of every key on its own."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore
from tests.examples import examples

from parchunk.cover import walks
from parchunk.cover.key_ranges import KeyRange, common_directory
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.listing.many_arrays import follow_ranges
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.walker import Listing
from parchunk.metadata.names import DOCUMENTS
from parchunk.stores.manner import Manner
from parchunk.stores.source import Source

#: Names that sort around one another in every way: ``-`` and ``.`` before ``/``, ``0`` after it.
NAMES = [
    "air", "air-x", "air.x", "air.~", "air.é", "air 2", "air!", "air_temp", "air0", "airs", "ai",
    "0", "00", "c", "é", "\U0001f30d", "a~", "a b",
]  # fmt: skip
STYLES = [("", "."), ("", "/"), ("c", "/"), ("c", ".")]
STRAYS = ["0.tmp", "c/1.tmp", "c.tmp", "~", " ", "tmp/0", "00", "zz/zz", ".x", "c/zarr.json"]


class Pages:
    """A store of obstore that is listed as a remote one is, in pages of ``page`` keys."""

    def __init__(self, store: MemoryStore, page: int) -> None:
        self.store = store
        self.page = page
        self.pages = 0

    def list(self, prefix: str | None = None, *, offset: str | None, **_: Any) -> Iterator[Any]:
        """Iterate over pages; an empty listing is a request, too."""
        found = self.store.list(prefix, offset=offset, chunk_size=self.page, return_arrow=True)
        batches = iter(found)
        batch = next(batches, None)
        self.pages += 1
        while batch is not None:
            following = next(batches, None)  # a server says whether there is more
            yield batch
            batch = following
            self.pages += batch is not None


@st.composite
def hierarchies(draw: st.DrawFn) -> dict[str, tuple[tuple[int, ...], KeyEncoding]]:
    """Draw arrays by name: groups and arrays, none in another."""
    names = draw(
        st.lists(
            st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map("/".join),
            min_size=1,
            max_size=10,
            unique=True,
        )
    )
    arrays = [n for n in names if not any(m != n and f"{n}/".startswith(f"{m}/") for m in names)]
    made = {}
    for name in arrays:
        grid = tuple(draw(st.lists(st.integers(1, 12), max_size=2)))
        made[name] = grid, KeyEncoding(*draw(st.sampled_from(STYLES)), len(grid))  # type: ignore[arg-type]
    return made


def tails(grid: tuple[int, ...], keys: KeyEncoding) -> list[str]:
    """Return the tails of an array's chunks in text order."""
    ranks = range(prod(grid))
    return [KeySpace(grid, keys).key_at(rank) for rank in ranks]


@settings(max_examples=examples(100))
@given(
    arrays=hierarchies(),
    prefix=st.sampled_from(["", "p", "air"]),
    page=st.integers(1, 9),
    data=st.data(),
)
def test_every_key_goes_to_its_range_once(
    arrays: dict[str, tuple[tuple[int, ...], KeyEncoding]],
    prefix: str,
    page: int,
    data: st.DataObject,
) -> None:
    held: set[str] = set()
    wanted: list[tuple[KeyRange, walks.Walk]] = []
    for owner, (name, (grid, keys)) in enumerate(arrays.items()):
        held |= {f"{name}/{tail}" for tail in tails(grid, keys) if data.draw(st.integers(0, 4))}
        documents = data.draw(st.lists(st.sampled_from(sorted(DOCUMENTS) + STRAYS), max_size=3))
        held |= {f"{name}/{tail}" for tail in documents}
        total = prod(grid)
        ends = data.draw(st.lists(st.integers(0, total), max_size=4, unique=True).map(sorted))
        # No member, whole, or some intervals of the array.
        parts = list(zip(ends[::2], ends[1::2], strict=False))
        for start, stop in data.draw(st.sampled_from([[], [(0, total)], parts])):
            walk = walks.walk(KeySpace(grid, keys), start, stop)
            wanted.append((KeyRange(owner, name, walk), walk))
    held |= set(data.draw(st.lists(st.sampled_from([".zgroup", "air0", "zarr.json", "q/0.0"]))))
    held.add(".zmetadata")  # no plan without a document
    held = {key for key in held if not any(other.startswith(f"{key}/") for other in held)}
    check(held, wanted, prefix, page)


def check(
    held: set[str], wanted: list[tuple[KeyRange, walks.Walk]], prefix: str, page: int
) -> None:
    """Follow ranges over a real store, and compare rows, order, ends and requests."""
    wanted.sort(key=lambda pair: pair[0].first)
    ranges = [found for found, _ in wanted]
    store = MemoryStore()
    for key in held:
        store.put(f"{prefix}/{key}" if prefix else key, b"x")
    pages = Pages(store, page)
    source = Source(pages, prefix, "s3://b", manner=Manner(page=page))  # type: ignore[arg-type]
    patience = Patience(first_wait=0)
    listing = Listing(source, "", Requests(), patience, threading.Event())
    below = f"{prefix}/" if prefix else ""
    met: dict[int, list[str]] = {at: [] for at in range(len(ranges))}
    complete = 0
    for shares, now in follow_ranges(listing, ranges):
        assert complete <= now
        for at, listed in shares:
            assert at >= complete
            assert len(listed.paths) == len(listed.sizes) == len(listed.modified) > 0
            listed.paths.validate(full=True)
            met[at] += [path.removeprefix(below) for path in listed.paths.to_pylist()]
        # The last one waits for the walk's end.
        assert not shares or now < len(ranges)
        complete = now
    assert complete == len(ranges)
    for at, (found, walk) in enumerate(wanted):
        expected = []
        for key in sorted(held):
            array, tail = key[: len(found.array)], key[len(found.array) + 1 :]
            if (
                key.startswith(f"{found.array}/{walk.prefix}".rstrip("/") + "/")
                and array == found.array
                and (walk.offset is None or tail > walk.offset)
                and (walk.last is None or tail <= walk.last)
                and tail not in DOCUMENTS
            ):
                expected.append(key)
        # Documents are left out at the ends, and told from strays later between other keys.
        assert [key for key in met[at] if key[len(found.array) + 1 :] not in DOCUMENTS] == expected
    least = _requests(sorted(held), ranges, page)
    assert pages.pages == listing.requests.lists >= least
    if any(found.final in held for found in ranges[-1:]):
        assert listing.requests.lists == least
    elif any(key.startswith(f"{ranges[-1].array}/") for key in held if ranges):
        # One to ask for the last key again; where nothing came, some to find a key before.
        assert listing.requests.lists <= least + 3 + len(held) // page
    assert (listing.requests.lists == 0) == (not ranges)


def _requests(held: list[str], ranges: list[KeyRange], page: int) -> int:
    """Count the pages that a reader needs who looks where each page ends."""
    requests = at = 0
    stops = [found.stop for found in ranges]
    while at < len(ranges):
        below = common_directory(ranges[at].directory, ranges[-1].directory)
        head = f"{below}/" if below else ""
        rest = [key for key in held if key.startswith(head) and key > ranges[at].after]
        while True:
            requests += 1
            got, rest = rest[:page], rest[page:]
            at = bisect_right(stops, got[-1]) if got else len(ranges)
            if len(got) == page and at < len(ranges) and got[-1] < ranges[at].after:
                break  # on to the next range
            if not rest or got[-1] >= ranges[-1].last:
                return requests
    return requests


def test_neighbours_in_text_order() -> None:
    """``air/`` stands between what begins with ``air-`` and what begins with ``air0``."""
    whole = [
        KeyRange(at, name, walks.Walk(0, 1, "", None, None))
        for at, name in enumerate(["air-x", "air.x", "air", "air0", "air_temp"])
    ]
    assert [found.first for found in whole] == sorted(found.first for found in whole)
    for found, following in pairwise(whole):
        assert found.after < found.first < found.stop <= following.after < following.first
    assert common_directory("g/air", "g/air_temp") == "g"
    assert common_directory("air", "air_temp") == ""
    assert common_directory("g/air", "g/air") == "g/air"


def test_foreign_keys_are_walked_over_up_to_the_end_of_their_page() -> None:
    keys = KeyEncoding("", ".", 1)
    held = {f"{name}/{i}" for name in "ace" for i in range(4)} | {f"b/{i}" for i in range(100)}
    walk = walks.walk(KeySpace((4,), keys), 0, 4)
    wanted = [(KeyRange(at, name, walk), walk) for at, name in enumerate("ace")]
    # a and six of b; then c and e, begun anew.
    check(held, wanted, "", 10)
    assert _requests(sorted(held), [found for found, _ in wanted], 10) == 2


def test_the_last_range_waits_for_the_end_of_the_walk() -> None:
    """An object called as the range ends is met, too, and is nobody's."""
    walk = walks.walk(KeySpace((4,), KeyEncoding("", ".", 1)), 0, 4)
    wanted = [(KeyRange(at, name, walk), walk) for at, name in enumerate(["a", "air"])]
    check({"a/3", "air/0", "air/3", "air0"}, wanted, "", 10)


@pytest.mark.parametrize("names", [["air-x", "air"], ["air-x/air", "air-x/air-x"], ["air"]])
@pytest.mark.parametrize("keys", [KeyEncoding("", ".", 1), KeyEncoding("c", "/", 1)])
def test_arrays_without_any_object_end_where_all_has_been_listed(
    names: list[str], keys: KeyEncoding
) -> None:
    """Their documents are in the consolidated ones, and nothing follows them."""
    walk = walks.walk(KeySpace((4,), keys), 0, 4)
    wanted = [(KeyRange(at, name, walk), walk) for at, name in enumerate(names)]
    check({".zmetadata"}, wanted, "", 10)
    check({".zmetadata", "air!/.zarray"}, wanted, "p", 1)
