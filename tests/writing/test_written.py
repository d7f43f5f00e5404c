"""What was written of a partition adds up, in whatever pieces it came."""

from itertools import permutations

import pytest

from parchunk.out.counts import Counts
from parchunk.out.receipts import RecordFile
from parchunk.writing.written import Written

PIECES = [
    Written(Counts(present=2, bytes=9), 1, 70, [RecordFile(0, 4, 2, 100, "0")]),
    Written(Counts(missing=1), 0, None, []),
    Written(Counts(present=3), 4, 30, [RecordFile(1, 4, 3, 100, "1")]),
]


@pytest.mark.parametrize("order", [*permutations(PIECES)])
def test_pieces_add_up(order: tuple[Written, ...]) -> None:
    whole = Written()
    for piece in order:
        whole.add(piece)
    assert whole.counts == Counts(present=5, missing=1, bytes=9)
    assert (whole.index_requests, whole.modified) == (5, 70)
    assert sorted(file.index for file in whole.files) == [0, 1]


def test_of_no_chunk_nothing_says_when_it_was_written() -> None:
    whole = Written()
    whole.add(PIECES[1])
    assert whole.modified is None


def test_strays_add_up_by_reason() -> None:
    whole, more = Written(), Written()
    whole.strays.reasons.update(marker=2)
    more.strays.reasons.update(marker=1, foreign=4)
    whole.add(more)
    assert [*whole.reasons.items()] == [("foreign", 4), ("marker", 3)]
