"""Ranks that meet ranges of one axis's indices, against sorting all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.cover.digit_tree import axis_intervals, intervals_of_each
from parchunk.keys.text_order import axis_rank

sizes = st.one_of(st.integers(1, 30), st.integers(1, 1300))
gaps = st.one_of(st.integers(0, 12), st.sampled_from([50, 110, 111, 112, 2000]))


def ranks_in(size: int, start: int, stop: int) -> set[int]:
    return {axis_rank(size, index) for index in range(start, min(stop, size))}


@settings(deadline=None)
@given(sizes, gaps, st.data())
def test_each_range_is_met_with_few_foreign_ranks(
    size: int, max_gap: int, data: st.DataObject
) -> None:
    bounds = st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted)
    ranges = data.draw(st.lists(bounds, max_size=6))
    starts = np.array([low for low, _ in ranges], np.int64)
    stops = np.array([high for _, high in ranges], np.int64)
    owners, intervals = intervals_of_each(size, starts, stops, max_gap)
    assert (np.diff(owners) >= 0).all()
    for owner, (start, stop) in enumerate(ranges):
        mine = intervals[owners == owner]
        wanted = ranks_in(size, start, stop)
        met = {rank for low, high in mine.tolist() for rank in range(low, high)}
        assert wanted <= met <= set(range(size))
        # Disjoint, in order, and no two of them near enough to be one.
        assert (mine[1:, 0] - mine[:-1, 1] > max_gap).all()
        # Every stretch of foreign ranks is one that max_gap allows.
        foreign = np.array([rank not in wanted for rank in range(size)])
        for low, high in mine.tolist():
            edges = np.flatnonzero(np.diff(foreign[low:high], prepend=False, append=False))
            assert (np.diff(edges)[::2] <= 3 * max_gap).all()
        if max_gap == 0 and start < stop:
            assert met == wanted
            assert mine.tolist() == axis_intervals(size, ((start, stop),), 0).tolist()


@pytest.mark.parametrize("size", [10**6, 87_020, 10**8])
def test_many_ranges_of_a_long_axis_at_once(size: int) -> None:
    starts = np.arange(0, size, size // 1000, dtype=np.int64)
    stops = np.minimum(starts + size // 1000, size)
    gap = size // 100_000
    owners, intervals = intervals_of_each(size, starts, stops, gap)
    assert len(np.unique(owners)) == len(starts)
    for owner in (0, 1, 9, 10, 123, 500, len(starts) - 1):
        mine = intervals[owners == owner]
        exact = axis_intervals(size, ((int(starts[owner]), int(stops[owner])),), gap)
        # The same but for what is coarse: at most gap ranks at either end of an interval.
        assert len(mine) <= len(exact)
        assert (mine[0, 0], mine[-1, 1]) <= (exact[0, 0], exact[-1, 1] + gap)
        at = np.searchsorted(mine[:, 0], exact[:, 0], side="right") - 1
        assert (exact[:, 1] <= mine[at, 1]).all()
        lengths, least = np.diff(mine).sum(), np.diff(exact).sum()
        assert least <= lengths <= least + 2 * gap * len(exact)
