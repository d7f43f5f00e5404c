"""The cover against the oracle: sorted lists of keys, and a listing simulated over them."""

from __future__ import annotations

import pickle
from itertools import pairwise, product
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cover.made_boxes import indices_in, region, some_boxes
from tests.keys.grids import grids, styles

from parchunk.cover.intervals import (
    cut,
    intervals_of_each_run,
    least_requests,
    rank_intervals,
    requests,
)
from parchunk.cover.walks import Walk, named_walks, walk
from parchunk.keys.boxes import Box, boxes_of_numbers
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.keys.text_order import index_at, rank_of

gaps = st.one_of(st.integers(0, 12), st.sampled_from([50, 125, 126, 127, 1000, 10**6]))


def brute_intervals(grid, boxes, max_gap):
    """Sort all wanted ranks, split where more than ``max_gap`` foreign ones lie between."""
    ranks = sorted(rank_of(grid, index) for index in indices_in(boxes))
    if not ranks:
        return []
    breaks = [i for i, (a, b) in enumerate(pairwise(ranks), 1) if b - a - 1 > max_gap]
    edges = [0, *breaks, len(ranks)]
    return [[ranks[a], ranks[b - 1] + 1] for a, b in pairwise(edges)]


def listed(keys, step):
    """What a store that lists in order delivers for a walk; ``keys`` are the array's tails."""
    met = []
    for key in sorted(keys, key=str.encode):
        if step.prefix and not key.startswith(step.prefix + "/"):
            continue
        if step.offset is not None and key.encode() <= step.offset.encode():
            continue
        if step.last is not None and key.encode() > step.last.encode():
            break
        met.append(key)
    return met


# -- boxes ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(grids, st.data())
def test_a_range_of_chunk_numbers_is_few_disjoint_boxes(grid, data):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, prod(grid))] * 2)))
    boxes = boxes_of_numbers(grid, start, stop)
    assert len(boxes) <= max(1, 2 * len(grid) - 1)
    in_order = [
        index for box in boxes for index in product(*map(range, box.start, box.stop))
    ]  # fmt: skip
    every = list(product(*map(range, grid)))
    assert len(in_order) == stop - start  # none twice
    assert sorted(in_order) == every[start:stop]
    if len(grid) == 1:
        assert in_order == every[start:stop]


def test_boxes_of_a_slice_are_in_c_order():
    assert boxes_of_numbers((4, 10), 5, 32) == (
        Box((0, 5), (1, 10)),
        Box((1, 0), (3, 10)),
        Box((3, 0), (4, 2)),
    )
    assert boxes_of_numbers((), 0, 1) == (Box((), ()),)
    assert boxes_of_numbers((3, 0), 0, 0) == ()
    with pytest.raises(ValueError, match="outside the grid"):
        boxes_of_numbers((4, 10), 5, 41)


# -- rank intervals ---------------------------------------------------------------------------


@settings(deadline=None)
@given(grids, gaps, st.data())
def test_intervals_are_what_sorting_all_wanted_ranks_gives(grid, max_gap, data):
    boxes = data.draw(some_boxes(grid))
    found = rank_intervals(grid, boxes, max_gap)
    assert found.dtype == np.int64
    assert found.shape == (len(found), 2)
    assert found.tolist() == brute_intervals(grid, boxes, max_gap)


@settings(deadline=None)
@given(grids, gaps, st.data())
def test_runs_of_numbers_are_met_all_at_once(grid, max_gap, data):
    total = prod(grid)
    runs = data.draw(st.lists(st.tuples(*[st.integers(0, total)] * 2).map(sorted), max_size=5))
    owners, intervals = intervals_of_each_run(
        grid, [low for low, _ in runs], [high for _, high in runs], max_gap
    )
    assert (np.diff(owners) >= 0).all()
    order = np.argsort([rank_of(grid, index) for index in np.ndindex(*grid)])
    ranks = np.argsort(order)
    for owner, (low, high) in enumerate(runs):
        mine = intervals[owners == owner]
        met = np.zeros(total, bool)
        for start, stop in mine.tolist():
            assert 0 <= start < stop <= total
            met[start:stop] = True
        assert met[ranks[low:high]].all()
        assert met.sum() <= (high - low) * (2 * max_gap + 1)
        if max_gap == 0:
            assert met.sum() == high - low


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 12, 99, 100, 101, 1000, 1234])
@pytest.mark.parametrize("max_gap", [0, 1, 9, 10, 11, 100, 111, 1000])
def test_every_region_of_an_axis(size, max_gap):
    for start, stop in [(0, 1), (0, 10), (1, 2), (2, 10), (9, 12), (99, 101), (120, 1200)]:
        boxes = [region((size,), 0, min(start, size), min(stop, size))]
        found = rank_intervals((size,), boxes, max_gap).tolist()
        assert found == brute_intervals((size,), boxes, max_gap)


def test_a_numeric_range_is_several_intervals():
    # 0 1 10..19 2 20..29 3 ..: of 100, the chunks 2..9 stand alone, eleven ranks apart
    found = rank_intervals((100,), [region((100,), 0, 2, 10)], 0)
    assert found.tolist() == [[12 + 11 * n, 13 + 11 * n] for n in range(8)]
    assert rank_intervals((100,), [region((100,), 0, 2, 10)], 9).tolist() == found.tolist()
    assert rank_intervals((100,), [region((100,), 0, 2, 10)], 10).tolist() == [[12, 90]]


def test_nothing_wanted_is_no_interval():
    for grid, boxes in [
        ((12,), []),
        ((12,), [Box((3,), (3,))]),
        ((3, 0), [Box((0, 0), (3, 0))]),
        ((0,), []),
    ]:
        found = rank_intervals(grid, boxes, 1000)
        assert (found.shape, found.dtype) == ((0, 2), np.int64)
        assert cut(found, 4, 1).shape == (0, 2)
        assert requests(found) == 0
        assert named_walks(KeySpace(grid, KeyEncoding("", ".", len(grid))), found) == []


def test_boxes_outside_the_grid_and_negative_gaps_are_refused():
    for box in [Box((0,), (13,)), Box((-1,), (3,)), Box((4,), (3,))]:
        with pytest.raises(ValueError, match="outside the grid"):
            rank_intervals((12,), [box], 0)
    with pytest.raises(ValueError, match="zip"):
        rank_intervals((12, 3), [Box((0,), (3,))], 0)
    with pytest.raises(ValueError, match="max_gap"):
        rank_intervals((12,), [], -1)


# -- cutting and counting ---------------------------------------------------------------------


@st.composite
def some_intervals(draw):
    lengths = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9000)), max_size=12))
    edges = np.cumsum([part for pair in lengths for part in pair], dtype=np.int64)
    return edges.reshape(-1, 2)


@settings(deadline=None)
@given(some_intervals(), st.integers(1, 40), st.integers(1, 3000), st.sampled_from([1, 7, 1000]))
def test_cutting_loses_nothing_and_costs_nothing(intervals, pieces, least, page):
    before = intervals.copy()
    pieces_found = cut(intervals, pieces, least, page)
    np.testing.assert_array_equal(intervals, before)
    joined, shares = [], []
    for start, stop in pieces_found.tolist():
        assert start < stop
        if shares and start == joined[-1][1] and start not in intervals[:, 0]:
            joined[-1][1] = stop
            shares[-1].append(stop - start)
        else:
            joined.append([start, stop])
            shares.append([stop - start])
    assert joined == intervals.tolist()
    for lengths in shares:
        if len(lengths) > 1:
            assert min(lengths) >= least
            assert max(lengths) - min(lengths) < 2 * page
    assert requests(pieces_found, page) == requests(intervals, page)
    total = int((intervals[:, 1] - intervals[:, 0]).sum())
    if total:
        assert len(pieces_found) <= len(intervals) + 2 * pieces


def test_one_long_interval_becomes_the_pieces_asked_for():
    whole = np.array([[0, 11_051_540]])
    assert len(cut(whole, 16, 20_000)) == 16
    assert len(cut(whole, 10_000, 100_000)) == 110
    with pytest.raises(ValueError, match="1 or more"):
        cut(whole, 0, 1)


@settings(deadline=None)
@given(some_intervals(), st.integers(1, 1500))
def test_the_forecast_is_what_a_pager_asks(intervals, page):
    asked = 0
    for start, stop in intervals.tolist():
        at = start
        while at < stop:  # on a dense store a page is `page` ranks
            asked += 1
            at += page
    assert requests(intervals, page) == asked
    total = int((intervals[:, 1] - intervals[:, 0]).sum())
    assert least_requests(total, page) == ceil(total / page) <= asked


# -- walks ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(grids, styles, gaps, st.integers(1, 9), st.data())
def test_walks_meet_every_wanted_chunk_once_and_rise(grid, style, max_gap, pieces, data):
    encoding = KeyEncoding(*style, len(grid))
    boxes = data.draw(some_boxes(grid))
    intervals = cut(rank_intervals(grid, boxes, max_gap), pieces, 3, page=5)
    keys = [encoding.tail(index) for index in product(*map(range, grid))]
    met = [
        key
        for step in named_walks(KeySpace(grid, encoding), intervals)
        for key in listed(keys, step)
    ]
    assert met == sorted(set(met), key=str.encode)
    assert {encoding.tail(index) for index in indices_in(boxes)} <= set(met)
    assert len(met) == int((intervals[:, 1] - intervals[:, 0]).sum())


@st.composite
def dirty_keys(draw, grid, encoding):
    """Some chunk keys and strays among, between, beside and beyond them."""
    root = encoding.marker + "/" if encoding.marker and encoding.separator == "/" and grid else ""
    total = prod(grid)
    ranks = draw(st.lists(st.integers(0, total - 1), max_size=30))
    tails = [encoding.tail(index_at(grid, rank)) for rank in ranks]
    out_of_grid = [
        encoding.tail(index)
        for index in draw(st.lists(st.tuples(*[st.integers(0, 2000)] * len(grid)), max_size=5))
    ]
    add = st.text("09/.c~é\x00", max_size=3)
    near = [tail + draw(add) for tail in tails] + [tail[: len(tail) // 2] for tail in tails]
    text = [root + stray for stray in draw(st.lists(st.text("019/.cz~é", max_size=6), max_size=8))]
    return {key for key in (*tails, *out_of_grid, *near, *text) if key.startswith(root)}


@settings(deadline=None)
@given(grids, styles, st.data())
def test_walks_over_all_ranks_meet_each_stray_once_where_its_position_is(grid, style, data):
    encoding = KeyEncoding(*style, len(grid))
    keys = data.draw(dirty_keys(grid, encoding))
    total = prod(grid)
    edges = {0, total, *data.draw(st.lists(st.integers(0, total), max_size=8))}
    steps = [walk(KeySpace(grid, encoding), *pair) for pair in pairwise(sorted(edges))]
    met = []
    for step in steps:
        for key in listed(keys, step):
            assert step.start <= min(KeySpace(grid, encoding).position(key), total - 1) < step.stop
            met.append(key)
    assert met == sorted(keys, key=str.encode)


@settings(deadline=None)
@given(grids, styles, gaps, st.data())
def test_a_cover_meets_exactly_the_keys_whose_positions_it_holds(grid, style, max_gap, data):
    encoding = KeyEncoding(*style, len(grid))
    keys = data.draw(dirty_keys(grid, encoding))
    intervals = rank_intervals(grid, data.draw(some_boxes(grid)), max_gap)
    met = [
        key
        for step in named_walks(KeySpace(grid, encoding), intervals)
        for key in listed(keys, step)
    ]
    last = prod(grid) - 1
    held = np.zeros(last + 1, bool)
    for start, stop in intervals.tolist():
        held[start:stop] = True
    expected = [key for key in keys if held[min(KeySpace(grid, encoding).position(key), last)]]
    assert met == sorted(expected, key=str.encode)


def test_a_walk_is_named_by_keys():
    v3 = KeyEncoding("c", "/", 2)
    assert walk(KeySpace((12, 3), v3), 0, 6) == Walk(0, 6, "c", None, "c/1/2")
    assert walk(KeySpace((12, 3), v3), 6, 36) == Walk(6, 36, "c", "c/1/2", None)
    assert walk(KeySpace((12, 3), KeyEncoding("", ".", 2)), 6, 7) == Walk(6, 7, "", "1.2", "10.0")
    assert walk(KeySpace((12, 3), KeyEncoding("c", ".", 2)), 0, 36) == Walk(0, 36, "", None, None)
    # the one chunk of a scalar is the key `c`, which a listing below `c/` would not meet
    assert walk(KeySpace((), KeyEncoding("c", "/", 0)), 0, 1) == Walk(0, 1, "", None, None)
    step = walk(KeySpace((12, 3), v3), 6, 36)
    assert pickle.loads(pickle.dumps(step)) == step
    for start, stop in [(0, 0), (5, 4), (-1, 3), (0, 37)]:
        with pytest.raises(ValueError, match="no walk"):
            walk(KeySpace((12, 3), v3), start, stop)
