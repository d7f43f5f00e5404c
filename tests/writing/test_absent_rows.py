"""Rows that no store has: all missing, and of an expanded array each shard counted once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from tests.made import spec

from parchunk.keys.row_sets import RowSet
from parchunk.listing.strays import Strays
from parchunk.listing.tally import Part
from parchunk.writing.absent_rows import AbsentPiece, AbsentRows

#: More rows than are looked at together; shards of 7 lie across where they are cut.
ROWS = 300_000
PLAIN = spec("t", (ROWS,), (1,))


def part_of(rows: RowSet) -> Part:
    """Return a part of which nothing but its rows is asked."""
    return Part(rows, cast(Any, None), None, Strays(), 0)


@pytest.mark.parametrize(("start", "stop"), [(0, ROWS), (6, ROWS), (7, 299_998), (5, 5), (8, 13)])
def test_absent_shards_are_counted_once(start: int, stop: int) -> None:
    shards = replace(PLAIN, chunks=(7,), inner_chunks=(1,))
    counts = AbsentRows(shards).counts(part_of(RowSet(ROWS, start, stop)))
    assert counts.shards_expected == len({row // 7 for row in range(start, stop)})
    assert (counts.shards_present, counts.missing) == (0, 0)
    assert AbsentRows(PLAIN).counts(part_of(RowSet(ROWS, start, stop))).shards_expected == 0


def test_absent_rows_have_neither_path_nor_bytes() -> None:
    (piece,) = AbsentRows(PLAIN).pieces(part_of(RowSet(ROWS, 2, 5)))
    assert piece == AbsentPiece(RowSet(ROWS, 2, 5))
    rows = piece.file(0, np.arange(2, 5))
    assert rows.objects.tolist() == [2, 3, 4]
    assert not rows.present.any()
    assert not rows.sizes.any()
    assert not rows.offsets.any()
    assert piece.paths(rows.objects, rows.present).null_count == 3
    assert piece.fetch(rows, rows.present) == [None] * 3
