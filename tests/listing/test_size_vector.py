"""Size vectors against a dictionary of the sizes that were noted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parchunk.listing.size_vector import SizeVector

SIZES = st.sampled_from([0, 1, 2, 1 << 20, (1 << 63) - 1])
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 9), SIZES), max_size=6), max_size=4)


@given(BATCHES, st.lists(st.integers(0, 9), unique=True))
def test_a_chunk_is_absent_zero_sized_or_present(
    batches: list[list[tuple[int, int]]], some: list[int]
) -> None:
    vector, known = SizeVector(np.zeros(10, np.uint64)), dict[int, int]()
    view = vector[2:7]
    for batch in batches:
        rows = np.array([row for row, _ in batch], np.int64)
        met = vector.note(rows, np.array([size for _, size in batch], np.uint64))
        new = {row for row, _ in batch} - known.keys()
        assert met == sum(row in new for row, _ in batch)
        for row, size in batch:
            known[row] = max(size, known.get(row, 0))
    check(vector, known)
    check(view, {row - 2: size for row, size in known.items() if 2 <= row < 7})
    chosen = np.array(some, np.int64)
    check(vector.only(chosen), {row: size for row, size in known.items() if row in some})
    check(vector.without(chosen), {row: size for row, size in known.items() if row not in some})
    check(vector[chosen], {at: known[row] for at, row in enumerate(some) if row in known})
    check(vector, known)


def check(vector: SizeVector, known: dict[int, int]) -> None:
    rows = range(len(vector))
    assert vector.absent.tolist() == [row not in known for row in rows]
    assert vector.zero_sized.tolist() == [known.get(row) == 0 for row in rows]
    assert vector.present.tolist() == [known.get(row, 0) > 0 for row in rows]
    assert vector.sizes.tolist() == [known.get(row, 0) for row in rows]
    assert vector.listed_count == len(known)
