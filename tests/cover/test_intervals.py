"""The cover against the oracle: sorted lists of keys, and a listing simulated over them."""

from __future__ import annotations

import pickle
import tracemalloc
from itertools import pairwise, product
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.keys.grids import grids, styles

from parchunk.cover.directories import whole_directories
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


# -- directories ------------------------------------------------------------------------------


def held_by(directory, keys):
    return {key for key in keys if not directory or key.startswith(directory + "/")}


@settings(deadline=None)
@given(grids, styles, st.sampled_from([1, 2, 5, 20, 10_000]), st.data())
def test_directories_hold_what_is_wanted_and_no_key_twice(grid, style, limit, data):
    encoding = KeyEncoding(*style, len(grid))
    boxes = data.draw(some_boxes(grid))
    found = whole_directories(KeySpace(grid, encoding), boxes, limit)
    assert len(found) <= max(limit, 1)
    keys = {encoding.tail(index) for index in product(*map(range, grid))}
    parts = [held_by(directory, keys) for directory in found]
    assert all(parts)
    met = set().union(*parts)
    assert sum(map(len, parts)) == len(met)
    wanted = {encoding.tail(index) for index in indices_in(boxes)}
    assert wanted <= met
    if limit == 10_000 and encoding.separator == "/" and len(grid) > 1:
        # the narrowest: nothing but the last directories of wanted chunks
        assert {key.rpartition("/")[0] for key in met} == {key.rpartition("/")[0] for key in wanted}
        assert len(found) == 1 or met != keys


def test_directories_by_example():
    v2, v3 = KeyEncoding("", "/", 3), KeyEncoding("c", "/", 3)
    grid = (20, 4, 6)
    assert whole_directories(KeySpace(grid, v2), [region(grid, 0, 0, 20)]) == [""]
    assert whole_directories(KeySpace(grid, v3), [region(grid, 0, 0, 20)]) == ["c"]
    assert whole_directories(KeySpace(grid, v3), [region(grid, 0, 9, 11)]) == ["c/9", "c/10"]
    assert whole_directories(KeySpace(grid, v2), [region(grid, 2, 0, 1)]) == [""]
    some = whole_directories(KeySpace(grid, v2), [region(grid, 1, 1, 3)])
    assert some == [f"{i}/{j}" for i in range(20) for j in (1, 2)]
    assert whole_directories(KeySpace(grid, v2), [region(grid, 1, 1, 3)], limit=39) == [""]
    assert whole_directories(
        KeySpace(grid, v2), [Box((5, 0, 2), (6, 4, 3)), Box((6, 1, 0), (7, 2, 6))]
    ) == [
        "5",
        "6/1",
    ]
    assert whole_directories(KeySpace(grid, v2), [Box((5, 1, 0), (8, 3, 6))], limit=3) == [
        "5",
        "6",
        "7",
    ]
    assert whole_directories(KeySpace(grid, KeyEncoding("", ".", 3)), [region(grid, 0, 9, 11)]) == [
        ""
    ]
    assert whole_directories(
        KeySpace(grid, KeyEncoding("c", ".", 3)), [region(grid, 0, 9, 11)]
    ) == [""]
    assert whole_directories(KeySpace((), KeyEncoding("c", "/", 0)), [Box((), ())]) == [""]
    assert whole_directories(KeySpace((9,), KeyEncoding("c", "/", 1)), [Box((2,), (3,))]) == ["c"]
    assert whole_directories(KeySpace(grid, v2), []) == []


# -- real stores: the figures of docs/cover.md, and bounds that do not depend on the machine ---


def regions(grid, length):
    return [
        region(grid, 0, start, min(start + length, grid[0])) for start in range(0, grid[0], length)
    ]


def one_by_one(grid, length, max_gap=1000):
    """Requests when every region of axis 0 is listed for itself."""
    return sum(requests(rank_intervals(grid, [box], max_gap)) for box in regions(grid, length))


def test_ufs_replay_region_by_region_and_together():
    grid = (87020, 127)
    low = region(grid, 0, 0, 8000)
    assert requests(rank_intervals(grid, [low], 1000)) == 7200
    assert least_requests(8000 * 127) == 1016
    costs = [requests(rank_intervals(grid, [box], 1000)) for box in regions(grid, 8000)]
    assert costs == [7200, 1732, *[1129] * 8, 991]
    assert sum(costs) == 18_955
    assert least_requests(prod(grid)) == 11_052
    assert round(sum(costs) / 11_052, 2) == 1.72
    together = rank_intervals(grid, regions(grid, 8000), 1000)
    assert together.tolist() == [[0, prod(grid)]]
    assert requests(together) == 11_052
    # what is left after the dear regions: a walk through the rest passes over them cheaply
    rest = rank_intervals(grid, regions(grid, 8000)[1:], 1000)
    assert (len(rest), requests(rest)) == (1, 11_051)
    assert least_requests((87020 - 8000) * 127) == 10_036


def test_era5_region_by_region_and_together():
    grid = (1323648, 1, 1, 1)
    assert one_by_one(grid, 50_000) == 3575
    assert least_requests(prod(grid)) == 1324
    assert round(3575 / 1324, 2) == 2.70
    assert requests(rank_intervals(grid, regions(grid, 50_000), 1000)) == 1324


def test_the_merge_rule_pays():
    grid = (1323648, 1, 1, 1)
    assert one_by_one(grid, 50_000, max_gap=0) == 246_494
    assert one_by_one(grid, 50_000, max_gap=1000) == 3575
    # walking through 1,270 foreign keys to save one request is a loss
    assert one_by_one((87020, 127), 8000, max_gap=1270) == 22_096


def test_the_last_axis_of_big_grids_costs_no_more_than_its_intervals():
    grid = (87020, 127)
    column = [region(grid, 1, 5, 6)]
    assert len(rank_intervals(grid, column, 126)) == 1
    assert len(rank_intervals(grid, column, 125)) == 87020
    cube = (1000, 50, 50)
    assert len(rank_intervals(cube, [region(cube, 2, 3, 17)], 1000)) == 1
    assert len(rank_intervals(cube, [region(cube, 1, 3, 17)], 0)) == 4000
    assert len(rank_intervals(cube, [region(cube, 0, 3, 17)], 0)) == 14


@pytest.mark.parametrize(
    ("grid", "box", "max_gap", "expected"),
    [
        ((10**9,), (0, 10**9), 0, [[0, 10**9]]),
        ((10**8,), (50_000_000, 60_000_000), 1000, [[44444452, 55555556]]),
        ((796_483, 1000), (500_000, 600_000), 1000, None),
        ((7, 1, 7264, 15664), (2, 5), 0, None),
        ((1000, 1000, 1000), (3, 17), 1000, None),
    ],
)
def test_big_grids_are_not_enumerated(grid, box, max_gap, expected):
    boxes = [region(grid, 0, *box)]
    tracemalloc.start()
    found = rank_intervals(grid, boxes, max_gap)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = (box[1] - box[0]) * prod(grid[1:])
    assert wanted >= 10**7 and peak < 30e6  # noqa: PT018
    if expected:
        assert found.tolist() == expected
    assert int((found[:, 1] - found[:, 0]).sum()) >= wanted
    assert np.all(found[1:, 0] - found[:-1, 1] > max_gap)
