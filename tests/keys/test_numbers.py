"""Chunk numbers and indices against NumPy's of the same names."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.keys.numbers import ravel, unravel, unravelled


@settings(max_examples=20)
@given(st.lists(st.integers(1, 7), max_size=4).map(tuple))
def test_numbers_are_indices_ravelled_in_c_order(grid: tuple[int, ...]) -> None:
    indices = np.argwhere(np.ones(grid, bool))  # in C order
    numbers = np.arange(len(indices))
    assert ravel(indices, grid).tolist() == numbers.tolist()
    assert unravel(numbers, grid).tolist() == indices.tolist()
    assert [unravelled(grid, number) for number in numbers] == [*map(tuple, indices.tolist())]
