"""Paths by the batch against `KeyEncoding.tail`, one path at a time."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.keys import spelling
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.keys.spelling import PathBuilder

BASES = ["air/", "a b/é%#?/日本/", "c/", "0/", ""]


def defined(
    base: str, encoding: KeyEncoding, grid: tuple[int, ...], numbers: Sequence[int]
) -> list[str]:
    """The paths, each spelled by itself."""
    if not grid:
        return [base + encoding.tail(())] * len(numbers)
    indices = np.stack(np.unravel_index(np.asarray(numbers, np.int64), grid), axis=-1)
    return [base + encoding.tail(index) for index in indices.tolist()]


@settings(deadline=None, max_examples=200)
@given(data=st.data(), base=st.sampled_from(BASES))
def test_paths_are_spelled_as_defined(data: st.DataObject, base: str) -> None:
    rank = data.draw(st.integers(0, 4))
    encoding = KeyEncoding(
        data.draw(st.sampled_from(["", "c"])), data.draw(st.sampled_from("./")), rank
    )
    sizes = st.sampled_from([1, 2, 9, 10, 11, 101])
    grid = tuple(data.draw(st.lists(sizes, min_size=rank, max_size=rank)))
    total = math.prod(grid)
    numbers = np.array(
        data.draw(
            st.one_of(
                st.lists(st.integers(0, total - 1), max_size=50),
                st.integers(0, total - 1).map(lambda n: list(range(n, min(n + 400, total)))),
            )
        ),
        np.int64,
    )
    present = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers))), bool
    )
    expected = defined(base, encoding, grid, numbers.tolist())
    builder = PathBuilder(base, KeySpace(grid, encoding))
    assert builder.build(numbers).to_pylist() == expected
    masked = builder.build(numbers, present)
    masked.validate(full=True)
    assert masked.to_pylist() == [
        path if there else None for path, there in zip(expected, present, strict=True)
    ]


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize(
    ("grid", "begin", "end"),
    [
        ((130_000,), 0, 130_000),  # digits: no head, then heads of one to three digits
        ((130_000, 1, 1), 998, 101_002),
        ((1_200, 127), 1, 152_399),  # heads of one to four digits, cut within a block
        ((12, 130, 60, 1), 59, 93_541),
        ((3, 70_000), 69_000, 72_000),  # no block: too many tails
        ((7, 9, 3), 0, 189),
    ],
)
def test_runs_are_spelled_as_defined(
    grid: tuple[int, ...], begin: int, end: int, separator: Literal["/", "."]
) -> None:
    encoding = KeyEncoding("c", separator, len(grid))
    numbers = np.arange(begin, end, dtype=np.int64)
    present = numbers % 7 != 3
    expected = defined("s3://b/é/", encoding, grid, range(begin, end))
    builder = PathBuilder("s3://b/é/", KeySpace(grid, encoding))
    assert builder.build(numbers).to_pylist() == expected
    masked = builder.build(numbers, present)
    assert masked.null_count == len(numbers) - present.sum()
    assert masked.filter(masked.is_valid()).to_pylist() == [
        path for path, there in zip(expected, present, strict=True) if there
    ]


def test_long_runs_are_spelled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one path at a time: that it comes to the same would hide that it is slow."""

    def joined(_: PathBuilder, numbers: np.ndarray) -> None:
        raise AssertionError(f"{len(numbers)} paths were joined one by one")

    monkeypatch.setattr(spelling.PathBuilder, "_joined", joined)
    for grid in [(1_323_648,), (1_323_648, 1, 1, 1), (87_020, 127), (10, 300, 300)]:
        builder = PathBuilder("s3://b/air/", KeySpace(grid, KeyEncoding("", ".", len(grid))))
        assert len(builder.build(np.arange(200_000, 300_000))) == 100_000


@pytest.mark.parametrize("grid", [(), (1,), (7, 9, 3), (1_000, 1)])
def test_small_grids_whose_keys_are_kept_are_spelled_as_others(
    grid: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = KeySpace(grid, KeyEncoding("c", "/", len(grid)))
    numbers = np.arange(space.total)
    for some in (numbers, numbers[::-1], numbers[1:]):
        kept = PathBuilder("s3://b/é/", space).build(some)
        with monkeypatch.context() as patched:
            patched.setattr(spelling, "FEW", 0)
            assert PathBuilder("s3://b/é/", space).build(some).equals(kept)
        assert kept.to_pylist() == defined("s3://b/é/", space.encoding, grid, some.tolist())
