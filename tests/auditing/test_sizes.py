"""Medians of chunk sizes, against the standard library's."""

from __future__ import annotations

import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parchunk.auditing.sizes import Sizes

small = st.lists(st.integers(1, 90), min_size=1, max_size=40)


def sizes_of(values: list[int], parts: int = 1) -> Sizes:
    """Sizes met in some parts, merged."""
    whole = Sizes()
    for part in range(parts):
        own = np.array(values[part::parts], np.int64)
        one = Sizes()
        one.take(own, np.arange(len(own)))
        whole.merge(one)
    return whole


@given(small, st.integers(1, 3))
def test_the_median_of_small_sizes_is_exact(values, parts):
    assert sizes_of(values, parts).median == int(statistics.median(values) + 0.5)


@given(st.integers(1, 1 << 40), st.integers(1, 50))
def test_the_median_of_equal_sizes_is_that_size(size, count):
    assert sizes_of([size] * count).median == size


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=60))
def test_any_other_median_is_near(values):
    true = statistics.median(values)
    assert abs(sizes_of(values).median - true) <= 0.011 * true + 1


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=60), st.integers(1, 4))
def test_parts_come_to_the_whole(values, parts):
    """However chunks were shared out; and only bins that hold some are kept."""
    whole, merged = sizes_of(values), sizes_of(values, parts)
    assert merged.median == whole.median
    assert repr(merged.outliers()) == repr(whole.outliers())
    assert merged.histogram() == whole.histogram()
    assert sum(count for _, _, count in whole.histogram()) == merged.count == len(values)
    assert len(merged.bins) == len(set(merged.bins.tolist())) <= len(values)
    assert float(merged.bytes.sum()) == sum(values)


@given(st.lists(st.integers(1, 1 << 40), max_size=60), st.sampled_from([None, 7]))
def test_what_is_settled_shows_the_same(values: list[int], fixed: int | None) -> None:
    found = Sizes(fixed=fixed)
    found.take(np.array(values, np.int64), np.arange(len(values)))
    before = (found.count, found.median, found.histogram(), found.wrong, found.wrong_examples)
    found.settle()
    assert before == (
        found.count, found.median, found.histogram(), found.wrong, found.wrong_examples,
    )  # fmt: skip
