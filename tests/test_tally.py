"""The tally against row sets looked through one by one."""

from __future__ import annotations

from math import prod

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from parchunk.keys import KeyEncoding
from parchunk.listed_rows import Listed
from parchunk.metadata.spec import ArraySpec
from parchunk.plan import ArrayPlan
from parchunk.rows import RowSet
from parchunk.tally import Sightings, Tally


@st.composite
def split_arrays(draw: st.DrawFn) -> tuple[ArraySpec, list[RowSet]]:
    grid = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    rank = len(grid)
    spec = ArraySpec(
        "v", 2, grid, (1,) * rank, "<f4", 4, (None,) * rank, KeyEncoding("", ".", rank), {}, {}
    )
    axis = draw(st.integers(0, rank - 1))
    plan = ArrayPlan(spec, axis, draw(st.integers(1, grid[axis])))
    inner = prod(grid[axis + 1 :])
    record = draw(st.sampled_from([n for n in range(1, inner + 1) if inner % n == 0]))
    cells = draw(st.integers(1, 40))
    units = [
        rows
        for partition in plan.partitions(record)
        if draw(st.booleans())
        for rows in partition.rows.slices(cells, record)
    ]
    return spec, units or [RowSet(prod(grid), 0, prod(grid))]


@given(split_arrays(), st.data())
def test_every_chunk_goes_to_the_row_that_its_row_set_says(case, data: st.DataObject) -> None:
    spec, units = case
    numbers = data.draw(
        st.lists(st.integers(0, spec.total - 1), min_size=1, max_size=60, unique=True)
    )
    released = data.draw(st.sets(st.integers(0, len(units) - 1)))
    tally = Tally(spec, "v/", units)
    for position in released:
        tally.release(position)
    index = np.stack(np.unravel_index(numbers, spec.grid), axis=1)
    sizes = np.array([number + 10 for number in numbers], np.uint64)
    listed = Listed(
        pa.array([f"v/{spec.keys.tail(row)}" for row in index.tolist()], pa.string()),
        sizes,
        sizes.astype(np.int64),
    )
    sightings = Sightings()
    tally.take(listed, sightings)
    expected = [np.zeros(rows.cells, np.uint64) for rows in units]
    newest = [None] * len(units)
    wanted = 0
    for number in numbers:
        for position, rows in enumerate(units):
            row = rows.position(number)
            if row is not None and position not in released:
                expected[position][row] = number + 11
                newest[position] = max(number + 10, newest[position] or 0)
                wanted += 1
    for position, vector in enumerate(expected):
        part = tally.part(position)
        assert part.vector.tolist() == vector.tolist()
        assert part.modified == newest[position]
    assert (sightings.wanted, sightings.foreign) == (wanted, len(numbers) - wanted)
