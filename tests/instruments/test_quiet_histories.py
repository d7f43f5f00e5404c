"""Histories of datasets of every shape: short ones end well, and what is wrong is seen."""

from pathlib import Path
from random import Random

import pytest
from benchmarks.quiet import judging
from benchmarks.quiet.course import Course, Wrong
from benchmarks.quiet.ending import end
from benchmarks.quiet.judging import Differences
from benchmarks.quiet.shapes import Joined, JoinedLater, Shape, Single, Stacked
from benchmarks.quiet.side_by_side import Grouped, Merged, Series

SHAPES = (Single, JoinedLater, Stacked, Merged, Grouped, Series)


def course(folder: Path, shape: type[Shape]) -> Course:
    one = Course(7, folder, None, shape)
    one.manner.listed, one.manner.parts = True, 0
    one.manner.include = one.manner.exclude = ()
    return one


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_dataset_that_changes_is_what_stock_zarr_reads_of_its_stores(
    tmp_path: Path, shape: type[Shape]
) -> None:
    """`python -m benchmarks.quiet_histories` has many more, and longer ones."""
    one = course(tmp_path, shape)
    one.build()
    one.told.append(one.shape.change())
    end(one)
    assert one.counts["audits, clean"] >= 2, one.told


def test_a_chunk_that_came_and_was_not_taken_in_is_seen(tmp_path: Path) -> None:
    one = course(tmp_path, Joined)
    file = one.shape.stores[0].chunk_files("air")[0]
    data = file.read_bytes()
    file.unlink()
    one.build()
    file.write_bytes(data)
    with pytest.raises(Wrong, match=r"after the update: \['air .* is new'\]"):
        one.settle("update")
    assert one.update()


def test_a_store_that_changed_is_seen_where_nothing_says_so(tmp_path: Path) -> None:
    one = course(tmp_path, Single)
    one.build()
    store = one.shape.stores[0]
    store.dice = Random(1)
    store.chunk_files("air")[0].unlink()
    seen = one.manner.stock.chunks()
    odd = judging.differences(seen, one.truth())
    assert [*odd.chunks.values()] == ["gone"]
    rows = one.rows()
    missing = sum(row is None for row in rows.values())
    said = {"findings": [], "missing": missing, "lacking": 0}
    assert judging.odd_audit(said, odd, rows) == "tells of 0 gone chunks of 1"
    assert judging.odd_audit(said, Differences({}, {}), rows) == ""
    told = {"expected": 1, "present": 0, "arrays_came": [], "arrays_gone": []}
    odd_words = judging.odd_changes({"changes": told}, rows, rows, ({"air"}, {"air"}))
    assert odd_words == "says {'expected': (1, 0)}"
