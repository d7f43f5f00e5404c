"""The figures of docs/cover.md for real stores, and bounds that do not depend on the machine."""

from __future__ import annotations

import tracemalloc
from math import prod

import numpy as np
import pytest
from tests.cover.made_boxes import region

from parchunk.cover.intervals import (
    least_requests,
    rank_intervals,
    requests,
)


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
