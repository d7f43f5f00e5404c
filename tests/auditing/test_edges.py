"""Chunks at the end of an array, which fills a part of them: small by nature, and no outliers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made import spec

import parchunk
from parchunk.auditing.edges import Edges
from parchunk.auditing.sizes import Sizes

axes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=3)


@settings(max_examples=30)
@given(axes, st.integers(0, 20), st.integers(1, 60))
def test_shares_are_those_of_elements_counted_one_by_one(axes, first, count):
    shape, chunks = zip(*axes, strict=True)
    made = spec("t", shape, chunks)
    numbers = np.arange(made.reference_total)[first : first + count]
    wanted = []
    for index in zip(*np.unravel_index(numbers, made.reference_grid), strict=True):
        sizes = zip(index, shape, chunks, strict=True)
        held = math.prod(min(size, extent - at * size) for at, extent, size in sizes)
        wanted.append(held / math.prod(min(size, extent) for extent, size in axes))
    shares = Edges(made).shares(numbers)
    found = np.ones(len(numbers)) if shares is None else shares
    np.testing.assert_allclose(found, wanted)


def test_parts_of_chunks_come_to_the_same_by_parts():
    random = np.random.default_rng(0)
    sizes = random.integers(900, 1_100, 400)
    shares = np.where(np.arange(400) % 20 == 19, 0.01, 1.0)
    sizes[shares < 1] //= 100
    sizes[[3, 39]] = [20, 1]
    whole, merged = Sizes(), Sizes()
    whole.take(sizes, np.arange(400), shares)
    for start in range(0, 400, 70):
        at = slice(start, start + 70)
        part = Sizes()
        part.take(sizes[at], np.arange(400)[at], shares[at])
        merged.merge(part)
    assert merged.outliers() == whole.outliers()
    assert (whole.outliers().count, whole.outliers().examples) == (2, ((3, 20), (39, 1)))
    whole.settle()
    assert not len(whole.edges)


def test_full_chunks_tell_what_is_usual_where_half_lie_at_an_end():
    random = np.random.default_rng(0)
    shares = np.where(np.arange(400) % 2, 1 / 720, 1.0)
    sizes = random.integers(5_000, 5_500, 400)
    sizes[shares < 1] //= 140
    sizes[14] = 50
    found = Sizes()
    found.take(sizes, np.arange(400), shares)
    outliers = found.outliers()
    assert (outliers.count, outliers.examples) == (1, ((14, 50),))
    assert 5_000 < outliers.median < 5_500


def test_an_appended_array_has_no_outlier_but_what_was_cut_off(tmp_path: Path):
    """The last chunk holds a step of 24, and the last column is narrow: then two are cut off."""
    shape = (30 * 24 + 1, 81)
    array = zarr.create_array(
        tmp_path / "s/t", shape=shape, chunks=(24, 40), dtype="f8", dimension_names=("time", "x")
    )
    array[...] = np.random.default_rng(0).random(shape)
    zarr.open_group(tmp_path / "s", mode="a")

    def found(out: str) -> list[tuple[int, str | None]]:
        parchunk.build(str(tmp_path / "s"), tmp_path / out)
        report = parchunk.audit(tmp_path / out)
        return [(one.count, one.key) for one in report.findings if one.kind == "size-outliers"]

    corner, usual = ((tmp_path / "s/t" / key).stat().st_size for key in ("c/30/2", "c/0/0"))
    assert corner * 16 < usual
    assert found("whole") == []
    for key in ("c/30/0", "c/7/1"):
        (tmp_path / "s/t" / key).write_bytes(b"x" * corner)
    assert found("broken") == [(2, "t/c/7/1")]
