"""Directories that are listed whole, against sets of keys."""

from __future__ import annotations

from bisect import bisect
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cover.made_boxes import indices_in, region, some_boxes
from tests.keys.grids import grids, styles

from parchunk.cover.directories import directories_beside, holds_chunks, whole_directories
from parchunk.keys.boxes import Box
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace


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


@pytest.mark.parametrize("marker", ["", "c"])
@pytest.mark.parametrize("grid", [(12,), (12, 3), (3, 12), (11, 2, 3), (2, 11, 2)])
def test_strays_of_what_is_wanted_are_in_directories_beside(grid, marker):
    """Whatever they are called, and wherever they lie: the next chunk in text order has them."""
    space = KeySpace(grid, KeyEncoding(marker, "/", len(grid)))
    keys = sorted(space.key_at(rank) for rank in range(space.total))
    root, depths = [marker] if marker else [], range(len(grid) + 1)
    heads = {"/".join([*root, *key.split("/")[len(root) :][:at]]) for key in keys for at in depths}
    named = {head + more for head in heads for more in ("-", ".x", "0.x", "/!", "/00/x", "/~/0")}
    below = f"{marker}/" if marker else ""
    strays = {tail for tail in (one.removeprefix("/") for one in named) if tail.startswith(below)}
    owners = {tail: keys[min(bisect(keys, tail), len(keys) - 1)] for tail in strays}
    beside_some = 0
    for axis, limit, length in product(range(len(grid)), [3, 10_000], [1, 2]):
        for start in range(0, grid[axis], length):
            box = region(grid, axis, start, min(start + length, grid[axis]))
            whole = whole_directories(space, [box], limit)
            beside = directories_beside(space, whole)
            assert not any(held_by(one, [two + "/"]) for one in whole for two in beside)
            wanted = {space.encoding.tail(index) for index in indices_in([box])}
            for tail, owner in owners.items():
                if owner not in wanted or any(held_by(directory, [tail]) for directory in whole):
                    continue
                above = tail.split("/")[:-1]
                folders = ["/".join(above[:depth]) for depth in range(len(above) + 1)]
                # It is met once: right in one of these, or below what is no directory of chunks.
                met = [
                    at for at, directory in enumerate(folders) if directory in beside
                    and (at == len(above) or not holds_chunks(space, folders[at + 1]))
                ]  # fmt: skip
                assert len(met) == 1, (tail, owner, whole, beside)
                beside_some += 1
    assert beside_some or len(grid) == 1  # that one is listed whole
