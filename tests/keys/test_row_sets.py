"""Row sets against the sets of numbers that they stand for."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import examples

from parchunk.keys.row_sets import Places, RowSet


@st.composite
def row_sets(draw: st.DrawFn) -> tuple[tuple[int, ...], RowSet]:
    """A grid, and a region of one of its axes (or a run of chunk numbers)."""
    grid = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
    axis = draw(st.integers(0, len(grid) - 1))
    inner, outer = math.prod(grid[axis + 1 :]), math.prod(grid[:axis])
    low = draw(st.integers(0, grid[axis] - 1))
    high = draw(st.integers(low + 1, grid[axis]))
    if outer == 1 and draw(st.booleans()):
        total = math.prod(grid)
        start = draw(st.integers(0, total))
        # Of a single run the period does not matter.
        period = draw(st.sampled_from([total, 1, 7]))
        return grid, RowSet(period, start, draw(st.integers(start, total)))
    first = draw(st.integers(0, outer - 1))
    count = draw(st.integers(1, outer - first))
    return grid, RowSet(grid[axis] * inner, low * inner, high * inner, first, count)


def members(rows: RowSet) -> list[int]:
    """The definition, as its docstring says it."""
    return [
        run * rows.period + number
        for run in range(rows.first, rows.first + rows.count)
        for number in range(rows.start, rows.stop)
    ]


@settings(deadline=None, max_examples=200)
@given(row_sets(), st.data())
def test_numbers_and_positions(drawn: tuple[tuple[int, ...], RowSet], data: st.DataObject) -> None:
    grid, rows = drawn
    expected = members(rows)
    assert rows.total == len(expected)
    begin = data.draw(st.integers(0, len(expected)))
    end = data.draw(st.integers(begin, len(expected)))
    assert rows.numbers(begin, end).tolist() == expected[begin:end]
    where = {number: position for position, number in enumerate(expected)}
    for number in range(math.prod(grid)):
        assert rows.position(number) == where.get(number)
    found = rows.positions(np.arange(math.prod(grid))).tolist()
    assert found == [where.get(number, -1) for number in range(math.prod(grid))]
    if expected:
        position = data.draw(st.integers(0, len(expected) - 1))
        assert rows.number(position) == expected[position]


@settings(deadline=None, max_examples=200)
@given(row_sets())
def test_boxes_hold_exactly_the_rows(drawn: tuple[tuple[int, ...], RowSet]) -> None:
    grid, rows = drawn
    numbers = np.arange(math.prod(grid)).reshape(grid)
    found: list[int] = []
    for box in rows.boxes(grid):
        part = numbers[tuple(slice(a, b) for a, b in zip(box.start, box.stop, strict=True))]
        found += part.ravel().tolist()
    assert sorted(found) == members(rows)
    assert len(set(found)) == len(found)


@settings(deadline=None, max_examples=300)
@given(row_sets(), st.integers(1, 60), st.data())
def test_slices_cut_between_record_files(
    drawn: tuple[tuple[int, ...], RowSet], most: int, data: st.DataObject
) -> None:
    _, rows = drawn
    # What the planner promises: runs of a later axis are whole record files.
    if rows.count > 1:
        sizes = [n for n in range(1, rows.run + 1) if rows.run % n == 0]
        record_size = data.draw(st.sampled_from(sizes))
        if rows.period % record_size or rows.start % record_size:
            return
    else:
        record_size = data.draw(st.integers(1, 40))
        rows = RowSet(rows.period, rows.start // record_size * record_size, rows.stop)
    parts = list(rows.slices(most, record_size))
    assert [number for part in parts for number in members(part)] == members(rows)
    for part in parts:
        assert part.total <= max(most, record_size)
        if part.total:
            assert part.number(0) % record_size == 0
    for part in parts[:-1]:
        assert (part.number(part.total - 1) + 1) % record_size == 0


def test_a_period_that_no_axis_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no axis of"):
        RowSet(7, 0, 2, 0, 3).boxes((4, 5, 6))


@st.composite
def disjoint_row_sets(draw: st.DrawFn) -> tuple[int, list[RowSet]]:
    """How many chunks there are, and some slices of some regions of one axis, in any order."""
    outer, size, inner = (draw(st.integers(1, 5)) for _ in range(3))
    borders = sorted({0, size, *draw(st.sets(st.integers(0, size)))})
    regions = [
        RowSet(size * inner, low * inner, high * inner, 0, outer) for low, high in pairwise(borders)
    ]
    most = draw(st.integers(1, outer * size * inner))
    slices = [rows for region in regions for rows in region.slices(most, inner)]
    return outer * size * inner, draw(st.permutations(slices))[: draw(st.integers(1, len(slices)))]


@settings(deadline=None, max_examples=examples(120))
@given(disjoint_row_sets())
@example((8, [RowSet(8, 2, 3), RowSet(8, 3, 5), RowSet(8, 5, 7)]))  # adjoining, amid others
def test_places_tell_whose_a_chunk_is_and_where_it_stands(drawn: tuple[int, list[RowSet]]) -> None:
    total, sets = drawn
    owners, offsets, mask = Places(sets).of(np.arange(total))
    assert (owners is None) == (len(sets) == 1)
    owned = np.ones(total, bool) if mask is None else mask
    assert (mask is None) == bool(owned.all())
    for number in range(total):
        places = [(at, rows.position(number)) for at, rows in enumerate(sets)]
        mine = [place for place in places if place[1] is not None]
        owner = 0 if owners is None else int(owners[number])
        assert ([(owner, int(offsets[number]))] if owned[number] else []) == mine


def test_places_are_of_row_sets_of_one_period() -> None:
    with pytest.raises(ValueError, match="one period"):
        Places([RowSet(6, 0, 2), RowSet(4, 2, 4), RowSet(6, 4, 6)])
