"""The gap check: when gaps are listed again, when they are believed, when a store is given up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from parchunk.errors import ListingError
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.listing.gap_check import GapCheck
from parchunk.listing.listed_rows import Listed
from parchunk.listing.tally import Sightings, Tally
from parchunk.metadata.spec import ArraySpec

SPEC = ArraySpec("t", 2, (20,), (1,), "<i4", 4, (None,), KeyEncoding("", ".", 1), {}, {})


def tally_of(*present: int) -> Tally:
    """Return a tally of two row sets of ten chunks, of which some have been met."""
    tally = Tally(SPEC, "t/", [RowSet(20, 0, 10), RowSet(20, 10, 20)])
    meet(tally, *present)
    return tally


def meet(tally: Tally, *numbers: int) -> None:
    """Have a listing meet some chunks."""
    paths = pa.array([f"t/{number}" for number in numbers], pa.string())
    listed = Listed(paths, np.full(len(numbers), 5, np.uint64), np.zeros(len(numbers), np.int64))
    tally.take(listed, Sightings())


def never() -> bool:
    return False


def test_what_has_no_gaps_is_settled_at_once() -> None:
    check = GapCheck(tally_of(*range(20)), [0, 1], never)
    assert check.settled()
    assert check.found_again == {0: 0, 1: 0}


def test_a_gap_that_a_second_listing_shows_again_is_believed() -> None:
    check = GapCheck(tally_of(*range(15)), [0, 1], never)
    assert not check.settled()
    assert check.settled()
    assert check.found_again == {0: 0, 1: 0}


def test_gaps_are_listed_until_that_shows_nothing_new() -> None:
    tally = tally_of(*range(8), *range(10, 17))
    check = GapCheck(tally, [0, 1], never)
    assert not check.settled()
    meet(tally, 8, 17)
    assert not check.settled()
    meet(tally, 9)
    assert not check.settled()
    assert check.settled()
    assert check.found_again == {0: 2, 1: 1}


def test_the_last_gap_closed_is_the_end() -> None:
    tally = tally_of(*range(19))
    check = GapCheck(tally, [0, 1], never)
    assert not check.settled()
    meet(tally, 19)
    assert check.settled()
    assert check.found_again == {0: 0, 1: 1}


def test_a_contradiction_has_gaps_listed_again() -> None:
    answers = [True, False]
    check = GapCheck(tally_of(*range(10)), [1], lambda: answers.pop(0))
    assert not check.settled()
    assert not check.settled()
    assert check.settled()
    assert answers == []


def test_a_store_that_shows_more_each_time_is_given_up() -> None:
    tally = tally_of(*range(10))
    check = GapCheck(tally, [0, 1], never)
    for number in range(10, 15):
        assert not check.settled()
        meet(tally, number)
    with pytest.raises(ListingError, match=r"t: 5 listings of the same gaps .* run again when it"):
        check.settled()
