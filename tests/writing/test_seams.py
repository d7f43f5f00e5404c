"""Rows of record files that become known in any order: each file is whole once, and in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.keys.placement import Target
from parchunk.writing.seams import Fragment, Seams, numbers_of

SIZE = 5


def fragments(draw: st.DrawFn, total: int) -> list[Fragment]:
    """Return all rows of an array, cut at record files and elsewhere; of nothing else is asked."""
    cuts = sorted({*range(0, total, SIZE), total, *draw(st.sets(st.integers(0, total)))})
    nothing = cast(Any, None)
    return [Fragment(np.arange(low, high), nothing, nothing) for low, high in pairwise(cuts)]


@st.composite
def known(draw: st.DrawFn) -> list[tuple[Target, Fragment]]:
    """The fragments of two arrays, in any order."""
    targets = [Target(name, draw(st.integers(1, 23))) for name in ("a", "b")]
    both = [(target, one) for target in targets for one in fragments(draw, target.total)]
    return draw(st.permutations(both))


@settings(max_examples=60)
@given(known())
def test_a_record_file_is_whole_when_its_last_rows_come(drawn: list[tuple[Target, Fragment]]):
    seams, seen = Seams(SIZE), dict[tuple[str, int], set[int]]()
    written: list[tuple[str, list[int]]] = []
    for target, fragment in drawn:
        index = int(fragment.numbers[0]) // SIZE
        rows = set(range(index * SIZE, min((index + 1) * SIZE, target.total)))
        had = seen.setdefault((target.array, index), set())
        had.update(fragment.numbers.tolist())
        whole = seams.joined(target, fragment)
        assert bool(whole) == (had == rows)
        if whole:
            written.append((target.array, numbers_of(whole).tolist()))
            assert written[-1][1] == sorted(rows)
    assert len(written) == len(seen)
