"""The walks of an array: what they tell, and when."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.twin import FormulaListing
from obstore.store import MemoryStore

from parchunk.building.pools import Here
from parchunk.cover.walks import Walk
from parchunk.errors import ListingError
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.listing.listed_rows import Listed
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.tally import Sightings, Tally
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import ArrayPlan
from parchunk.stores.source import Source


class Watched(Listing):
    """A listing that notes how many messages there are each time it is asked for more."""

    messages: SimpleQueue[Any]
    seen: list[int]

    def follow(self, walk: Walk) -> Iterator[Listed]:
        for listed in super().follow(walk):
            self.seen.append(self.messages.qsize())
            yield listed


def test_the_last_region_waits_for_strays_after_its_last_chunk() -> None:
    keys = KeyEncoding("", "/", 1)
    arrays = [FormulaArray("t", (20,), keys), FormulaArray("t/tmp", (30_000,), keys)]
    store = FormulaListing(FormulaStore(arrays))
    source = Source(store, "", "s3://formula")  # type: ignore[arg-type]
    listing = Watched(source, "t", Requests(), Patience(), threading.Event())
    listing.messages, listing.seen = SimpleQueue(), []
    spec = ArraySpec("t", 2, (20,), (1,), "<i4", 4, (None,), keys, {}, {})
    rows = [partition.rows for partition in ArrayPlan(spec, 0, 10).partitions(10)]
    tally = Tally(spec, "t/", rows)
    array = ArrayListing(spec, listing, None, Here(), False)  # type: ignore[arg-type]
    array._follow(tally, 0, Walk(0, 20, "", None, None), [11, 20], listing.messages)
    # Rank 11 has passed with the first of four batches; rank 20, the end, not before the last.
    assert listing.seen == [0, 1, 1, 1]
    # In text order 9 is the last chunk of twenty: they are its region's.
    assert tally.strays[0].count == 30_000


def test_the_store_is_asked_for_more_while_a_batch_is_read() -> None:
    asked: SimpleQueue[None] = SimpleQueue()

    class Asked(Listing):
        def follow(self, walk: Walk) -> Iterator[Listed]:
            for listed in super().follow(walk):
                yield listed
                asked.put(None)

    class Waits(Tally):
        def take(self, listed: Listed, sightings: Sightings) -> None:
            asked.get(timeout=250)
            super().take(listed, sightings)

    keys = KeyEncoding("", "/", 1)
    store = FormulaListing(FormulaStore([FormulaArray("t", (25_000,), keys)]))
    source = Source(store, "", "s3://formula")  # type: ignore[arg-type]
    listing = Asked(source, "t", Requests(), Patience(), threading.Event())
    spec = ArraySpec("t", 2, (25_000,), (1,), "<i4", 4, (None,), keys, {}, {})
    tally = Waits(spec, "t/", [p.rows for p in ArrayPlan(spec, None, 10).partitions(10)])
    passed: SimpleQueue[Any] = SimpleQueue()
    with ThreadPoolExecutor(1) as takers:
        array = ArrayListing(spec, listing, Here(), takers, False)
        array._follow(tally, 0, Walk(0, 25_000, "", None, None), [], passed)
    assert passed.get().rank is None  # it has ended
    assert tally.wanted == tally.found == 25_000


@pytest.mark.parametrize(("recorded", "lost"), [(1, True), (2, False), (3, False)])
def test_a_chunk_that_was_met_and_not_recorded_is_an_error(recorded: int, lost: bool) -> None:
    """More may be recorded: a second listing of gaps goes past what walks have not met."""
    keys = KeyEncoding("", "/", 1)
    spec = ArraySpec("t", 2, (20,), (1,), "<i4", 4, (None,), keys, {}, {})
    listing = Listing(Source(MemoryStore()), "t", Requests(), Patience(), threading.Event())
    array = ArrayListing(spec, listing, Here(), Here(), False)
    tally = array.tally_of([RowSet(20, 0, 20)])
    tally.merge(Sightings(wanted=2, found=2))
    if lost:
        with pytest.raises(ListingError, match="t: 2 chunks were listed and 1 recorded"):
            array.check_recorded(tally, recorded)
    else:
        array.check_recorded(tally, recorded)
