"""The tally against row sets looked through one by one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, permutations
from math import prod

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.listing.listed_rows import Listed
from parchunk.listing.tally import Sightings, Tally
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import ArrayPlan


@st.composite
def split_arrays(draw: st.DrawFn) -> tuple[ArraySpec, list[RowSet]]:
    grid = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    rank = len(grid)
    spec = ArraySpec(
        "v", 2, grid, (1,) * rank, "<f4", 4, (None,) * rank, KeyEncoding("", ".", rank), {}, {}
    )
    axis = draw(st.integers(0, rank - 1))
    plan = ArrayPlan(spec, axis, draw(st.integers(1, grid[axis])))
    inner = prod(grid[axis + 1 :])
    record = draw(st.sampled_from([n for n in range(1, inner + 1) if inner % n == 0]))
    most = draw(st.integers(1, 40))
    units = [
        rows
        for partition in plan.partitions(record)
        if draw(st.booleans())
        for rows in partition.rows.slices(most, record)
    ]
    return spec, units or [RowSet(prod(grid), 0, prod(grid))]


@given(split_arrays(), st.data())
def test_every_chunk_goes_to_the_row_that_its_row_set_says(case, data: st.DataObject) -> None:
    spec, units = case
    numbers = data.draw(
        st.lists(st.integers(0, spec.total - 1), min_size=1, max_size=60, unique=True)
    )
    released = data.draw(st.sets(st.integers(0, len(units) - 1)))
    tally = Tally(spec, "v/", units)
    for position in released:
        tally.release(position)
    index = np.stack(np.unravel_index(numbers, spec.grid), axis=1)
    sizes = np.array([number + 10 for number in numbers], np.uint64)
    listed = Listed(
        pa.array([f"v/{spec.keys.tail(row)}" for row in index.tolist()], pa.string()),
        sizes,
        sizes.astype(np.int64),
    )
    sightings = Sightings()
    tally.take(listed, sightings)
    expected = [np.zeros(rows.total, np.int64) for rows in units]
    newest = [None] * len(units)
    wanted = 0
    for number in numbers:
        for position, rows in enumerate(units):
            row = rows.position(number)
            if row is not None and position not in released:
                expected[position][row] = number + 10
                newest[position] = max(number + 10, newest[position] or 0)
                wanted += 1
    for position, sizes_of in enumerate(expected):
        part = tally.part(position)
        assert part.vector.sizes.tolist() == sizes_of.tolist()
        assert part.vector.present.tolist() == (sizes_of > 0).tolist()
        assert part.modified == newest[position]
    assert (sightings.wanted, sightings.foreign) == (wanted, len(numbers) - wanted)


def listed(rows: list[tuple[str, int]]) -> Listed:
    return Listed(
        pa.array([path for path, _ in rows], pa.string()),
        np.array([size for _, size in rows], np.uint64),
        np.arange(len(rows), dtype=np.int64),
    )


def flat(*ranges: tuple[int, int]) -> Tally:
    keys = KeyEncoding("", "/", 1)
    spec = ArraySpec("v", 2, (10,), (1,), "<f4", 4, (None,), keys, {}, {})
    return Tally(spec, "v/", [RowSet(10, start, stop) for start, stop in ranges])


@pytest.mark.parametrize("rows", list(permutations([("v/0", 7), ("v/0", 0), ("v/3", 5)])))
def test_a_marker_beside_a_chunk_does_not_replace_it(rows: list[tuple[str, int]]) -> None:
    """obstore strips its slash, and a store without order may list both in one page."""
    tally = flat((0, 10))
    sightings = Sightings()
    tally.take(listed(list(rows)), sightings)
    assert tally.part(0).vector.sizes.tolist() == [7, 0, 0, 5] + [0] * 6


def test_what_lies_between_row_sets_is_foreign() -> None:
    tally = flat((0, 3), (6, 9))
    sightings = Sightings()
    tally.take(listed([(f"v/{number}", number + 1) for number in range(10)]), sightings)
    assert [tally.part(at).vector.sizes.tolist() for at in (0, 1)] == [[1, 2, 3], [7, 8, 9]]
    assert (sightings.wanted, sightings.foreign) == (6, 4)


def test_strays_for_what_has_been_written_are_not_kept() -> None:
    tally = flat((0, 5), (5, 10))
    tally.release(0)
    sightings = Sightings()
    tally.take(listed([("v/0.tmp", 1), ("v/6.tmp", 1)]), sightings)
    tally.merge_again(sightings)
    assert [tally.part(at).strays.count for at in (0, 1)] == [0, 1]


@pytest.mark.parametrize("sizes", list(permutations([7, 0, 3])))
def test_of_what_comes_in_several_batches_the_largest_is_the_chunk(sizes: tuple[int, ...]) -> None:
    """A directory that is drained again delivers markers and chunks in any order."""
    tally = flat((0, 10))
    for size in sizes:
        sightings = Sightings()
        tally.take(listed([("v/0", size), ("v/3", 5)]), sightings)
        tally.merge(sightings)
    vector = tally.part(0).vector
    assert vector.sizes.tolist() == [7, 0, 0, 5] + [0] * 6
    assert vector.present.tolist() == [True, False, False, True] + [False] * 6
    assert (tally.wanted, tally.found, tally.foreign) == (6, 2, 0)
    assert tally.absent(0) == 8


@pytest.mark.parametrize(
    ("ranges", "wanted"),
    [
        ([(0, 10)], [["0.tmp", "4.tmp", "5.tmp", "a"]]),
        ([(0, 5)], [["0.tmp"]]),
        ([(5, 10)], [["4.tmp", "5.tmp", "a"]]),
        ([(0, 5), (5, 10)], [["0.tmp"], ["4.tmp", "5.tmp", "a"]]),
        ([(0, 2), (7, 10)], [["0.tmp"], ["a"]]),
    ],
)
def test_a_stray_is_of_the_row_set_of_the_next_chunk(
    ranges: list[tuple[int, int]], wanted: list[list[str]]
) -> None:
    """Where an array is cut into groups, each stray is counted by one of them."""
    tally = flat(*ranges)
    sightings = Sightings()
    tally.take(listed([(f"v/{name}", 1) for name in ("0.tmp", "4.tmp", "5.tmp", "a")]), sightings)
    tally.merge(sightings)
    parts = [tally.part(at) for at in range(len(ranges))]
    assert [part.strays.count for part in parts] == list(map(len, wanted))
    assert [part.strays.kept()["path"].to_pylist() for part in parts] == wanted


def test_an_array_of_no_chunks_has_strays() -> None:
    keys = KeyEncoding("", "/", 1)
    spec = ArraySpec("v", 2, (0,), (1,), "<f4", 4, (None,), keys, {}, {})
    tally = Tally(spec, "v/", [RowSet(0, 0, 0)])
    sightings = Sightings()
    tally.take(listed([("v/0", 1)]), sightings)
    assert sightings.strays[0].count == 1


def full_but(total: int, absent: Iterable[int] = ()) -> Tally:
    """Return the tally of two halves of an array, of which only these chunks are absent."""
    keys = KeyEncoding("", "/", 1)
    spec = ArraySpec("v", 2, (total,), (1,), "<f4", 4, (None,), keys, {}, {})
    tally = Tally(spec, "v/", [RowSet(total, 0, total // 2), RowSet(total, total // 2, total)])
    there = np.setdiff1d(np.arange(total), np.array([*absent], np.int64))
    for position, rows in enumerate((there[there < total // 2], there[there >= total // 2])):
        first = tally.row_sets[position].start
        tally.vector(position).note(rows - first, np.ones(len(rows), np.uint64))
    return tally


def test_nothing_absent_leaves_no_gap() -> None:
    tally = full_but(3000)
    assert tally.gaps([0, 1]).shape == (0, 2)
    assert tally.amid_gaps(0) == tally.amid_gaps(1) == []
    assert tally.absent(0) == tally.absent(1) == 0


@given(st.data())
def test_gaps_hold_every_absent_chunk_and_little_else(data: st.DataObject) -> None:
    total = data.draw(st.sampled_from([1, 2, 256, 257, 5000, 20_000]))
    absent = data.draw(st.sets(st.integers(0, total - 1), max_size=8))
    positions = data.draw(st.sampled_from([[0], [1], [0, 1]]))
    tally = full_but(total, absent)
    mine = [n for n in absent if (n >= total // 2) in positions]
    order = {number: rank for rank, number in enumerate(sorted(range(total), key=str))}
    ranks = {order[number] for number in mine}
    gaps = tally.gaps(positions).tolist()
    assert all(any(start <= rank < stop for start, stop in gaps) for rank in ranks)
    for start, stop in gaps:
        # A fraction of a page on each side, and nobody else's end.
        assert any(start <= rank < start + 256 for rank in ranks)
        assert any(stop - 256 <= rank < stop for rank in ranks)
        assert stop <= total
    # What is less than a page apart is listed together.
    assert all(before[1] + 768 < later[0] for before, later in pairwise(gaps))


def test_chunks_amid_the_longest_gaps() -> None:
    gaps = ((1, 2), (4, 9), (12, 15), (19, 21), (22, 30), (39, 40))
    tally = full_but(40, (number for gap in gaps for number in range(*gap)))
    # The second row set begins with chunk 20, which is a gap's second one.
    assert tally.amid_gaps(0) == [6, 13, 1, 19]
    assert tally.amid_gaps(0, 2) == [6, 13]
    assert tally.amid_gaps(0, 4, 3) == [6, 13]
    assert tally.amid_gaps(0, 4, 4) == [6]
    assert tally.amid_gaps(1) == [26, 20, 39]
    assert (tally.absent(0), tally.absent(1)) == (10, 10)
