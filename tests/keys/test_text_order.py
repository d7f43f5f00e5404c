"""Ranks against the oracle: all tails of a small grid, sorted by their bytes."""

from __future__ import annotations

from bisect import bisect_left
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.keys.grids import STYLES, grids, styles

from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.keys.text_order import (
    axis_index,
    axis_indices,
    axis_rank,
    axis_ranks,
    index_at,
    numbers_at,
    rank_of,
    ranks_of,
    subtree,
)

big_sizes = st.one_of(
    st.integers(1, 10**12), st.integers(0, 12).flatmap(lambda e: st.integers(10**e, 10**e + 2))
)


def sorted_tails(grid, encoding):
    """The oracle: every chunk tail, in the order of its UTF-8 bytes."""
    indices = product(*map(range, grid))
    return sorted((encoding.tail(index) for index in indices), key=str.encode)


def test_an_axis_of_twelve():
    order = [axis_index(12, rank) for rank in range(12)]
    assert order == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    assert axis_rank(12, 2) == 4


@pytest.mark.parametrize("size", [*range(1, 125), 999, 1000, 1001, 1010, 2345])
def test_an_axis_is_its_indices_sorted_as_strings(size):
    order = sorted(range(size), key=str)
    assert [axis_index(size, rank) for rank in range(size)] == order
    assert [axis_rank(size, index) for index in order] == list(range(size))
    np.testing.assert_array_equal(axis_ranks(size, np.array(order)), np.arange(size))
    for node in range(1, size):
        below = len(str(size - 1)) - len(str(node))
        spelled = [index for index in order if str(index).startswith(str(node))]
        assert subtree(size, node, below) == len(spelled)


@settings(deadline=None)
@given(big_sizes, st.data())
def test_big_axes_go_there_and_back(size, data):
    rank = data.draw(st.integers(0, size - 1))
    index = axis_index(size, rank)
    assert axis_rank(size, index) == rank
    assert axis_ranks(size, np.array([index])).tolist() == [rank]
    assert axis_indices(size, np.array([rank])).tolist() == [index]
    if rank:
        assert str(axis_index(size, rank - 1)) < str(index)


@settings(deadline=None)
@given(grids, styles)
def test_ranks_are_places_in_text_order(grid, style):
    encoding = KeyEncoding(*style, len(grid))
    tails = sorted_tails(grid, encoding)
    assert [encoding.tail(index_at(grid, rank)) for rank in range(prod(grid))] == tails
    place = {tail: rank for rank, tail in enumerate(tails)}
    indices = list(product(*map(range, grid)))  # C order: the chunk numbers count through it
    expected = [place[encoding.tail(index)] for index in indices]
    assert [rank_of(grid, index) for index in indices] == expected
    assert ranks_of(grid, np.arange(prod(grid))).tolist() == expected
    assert numbers_at(grid, np.array(expected, np.int64)).tolist() == list(range(prod(grid)))
    some = np.arange(prod(grid) - 1, -1, -7)  # fewer numbers than an axis has indices
    assert ranks_of(grid, some).tolist() == [expected[number] for number in some]


@st.composite
def near_keys(draw, grid, encoding):
    """A chunk tail with something done to it, in or out of the grid."""
    index = [draw(st.integers(0, max(size, 1) + 12)) for size in grid]
    tail = encoding.tail(index)
    at = draw(st.integers(0, len(tail)))
    insert = draw(st.text("0159/.:c~é\x00\U0010ffff", max_size=3))
    keep = draw(st.integers(at, len(tail)))
    return tail[:at] + insert + tail[keep:]


@settings(deadline=None)
@given(st.one_of(grids, st.just((3, 0, 2)), st.just((0,))), styles, st.data())
def test_any_string_has_the_position_that_bisection_finds(grid, style, data):
    encoding = KeyEncoding(*style, len(grid))
    tails = [tail.encode() for tail in sorted_tails(grid, encoding)]
    strings = st.one_of(
        near_keys(grid, encoding), st.text(st.characters(exclude_categories=["Cs"]))
    )
    for tail in data.draw(st.lists(strings, min_size=1, max_size=30)):
        assert KeySpace(grid, encoding).position(tail) == bisect_left(tails, tail.encode())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("grid", [(), (1,), (12,), (101,), (20, 3), (1, 12, 1), (3, 11, 2)])
def test_positions_of_strays_that_real_stores_have(grid, style):
    encoding = KeyEncoding(*style, len(grid))
    tails = [tail.encode() for tail in sorted_tails(grid, encoding)]
    strays = [
        "", "0", "c", "c/", "c.", "c0", "0.tmp", "README.md", "c/0/0.partial", "00.1", "c/00/1",
        ".zarray", ".zattrs", ".zattrs~", "zarr.json", "0/0/0/0/0", "0.0.0.0.0", "1.", "1/", "1..",
        "10.tmp", "c/10.tmp", "9" * 5000, "0" * 5000, "c/" + "1" * 5000, "1\x00", "\x00", "1é", "é",
        "𝟏", "c/𝟏", "２", "1:0", "c/1:0", "-1", "1e3", " 1",
        "0~", "c/0~", "c.0~", "00~", "x", "c/x",
    ]  # fmt: skip
    for stray in strays:
        assert KeySpace(grid, encoding).position(stray) == bisect_left(tails, stray.encode()), stray


@settings(deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=3), styles, st.data())
@example([10**9], ("", "."), None)
def test_on_big_grids_a_chunk_has_its_rank_for_position(grid, style, data):
    encoding = KeyEncoding(*style, len(grid))
    total = prod(grid)
    rank = data.draw(st.integers(0, total - 1)) if data else total // 3
    tail = encoding.tail(index_at(grid, rank))
    assert rank_of(grid, index_at(grid, rank)) == rank
    assert KeySpace(grid, encoding).position(tail) == rank
    assert KeySpace(grid, encoding).position(tail + "\x00") == rank + 1


def test_what_is_outside_is_refused():
    for call in (axis_rank, axis_index):
        for value in (-1, 12):
            with pytest.raises(IndexError, match="outside an axis of 12"):
                call(12, value)
    with pytest.raises(IndexError):
        index_at((2, 3), 6)
    with pytest.raises(IndexError):
        index_at((3, 0), 0)
    with pytest.raises(ValueError, match="zip"):
        rank_of((2, 3), (1,))
    with pytest.raises(IndexError):
        ranks_of((2, 3), np.array([0, 6]))
    with pytest.raises(IndexError):
        ranks_of((2, 3), np.array([-1]))
    assert ranks_of((3, 0), np.array([], np.int64)).tolist() == []
    for ranks in ([0, 6], [-1, 0]):
        with pytest.raises(IndexError):
            numbers_at((2, 3), np.array(ranks))
    assert numbers_at((3, 0), np.array([], np.int64)).tolist() == []


def test_big_grids_of_real_stores():
    for grid in [(87020, 127), (1323648, 1, 1, 1), (7, 1, 7264, 15664), (10**9,)]:
        total = prod(grid)
        numbers = np.linspace(0, total - 1, 5000).astype(np.int64)
        ranks = ranks_of(grid, numbers)
        for number, rank in zip(numbers[::50].tolist(), ranks[::50].tolist(), strict=True):
            assert np.ravel_multi_index(index_at(grid, rank), grid) == number
