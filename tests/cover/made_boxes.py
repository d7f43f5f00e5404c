"""Boxes that tests of the cover draw, and what is in them."""

from __future__ import annotations

from itertools import product
from math import prod

from hypothesis import strategies as st

from parchunk.keys.boxes import Box, boxes_of_numbers


def region(grid, axis, start, stop):
    """The box of the chunks ``[start, stop)`` of one axis."""
    low, high = [0] * len(grid), list(grid)
    low[axis], high[axis] = start, stop
    return Box(tuple(low), tuple(high))


@st.composite
def some_boxes(draw, grid):
    """Regions of one axis, slices of chunk numbers, or boxes with nothing in common."""
    kind = draw(st.sampled_from(["regions", "numbers", "any", "all"]))
    ranges = lambda size: st.tuples(*[st.integers(0, size)] * 2).map(sorted)  # noqa: E731
    if kind == "all" or not grid:
        return [Box((0,) * len(grid), tuple(grid))]
    if kind == "regions":
        axis = draw(st.integers(0, len(grid) - 1))
        length = draw(st.integers(1, grid[axis]))
        starts = range(0, grid[axis], length)
        wanted = draw(st.sets(st.sampled_from(starts), max_size=6))
        return [region(grid, axis, start, min(start + length, grid[axis])) for start in wanted]
    if kind == "numbers":
        parts = draw(st.lists(ranges(prod(grid)), max_size=3))
        return [box for start, stop in parts for box in boxes_of_numbers(grid, start, stop)]
    boxes = draw(st.lists(st.tuples(*[ranges(size) for size in grid]), max_size=4))
    return [Box(tuple(a for a, _ in box), tuple(b for _, b in box)) for box in boxes]


def indices_in(boxes):
    """Every chunk index of the boxes."""
    return {
        index
        for box in boxes
        for index in product(*map(range, box.start, box.stop))
    }  # fmt: skip
