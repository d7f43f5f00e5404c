"""Dates in the views: kept when references are published, and true of what is published."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.out.labels import read_labels
from parchunk.out.opening import open_output
from parchunk.out.output import LABELS

STEPS, LENGTH = 24, 3


def write(path: Path, steps: int = STEPS, name: str = "time", **attributes) -> None:
    """Write one array, in chunks of 3 steps, and its coordinate: every 6 hours from 2001 on."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    field = root.create_array(
        "t", shape=(2, steps), chunks=(1, LENGTH), dtype="f4", dimension_names=("x", "time")
    )
    field[...] = 1
    time = root.create_array(
        name, shape=(steps,), chunks=(8,), dtype="i4", dimension_names=("time",),
        attributes={"units": "hours since 2001-01-01", **attributes},
    )  # fmt: skip
    time[...] = np.arange(steps) * 6


def build(folder: Path, **options) -> str:
    plan = parchunk.plan(folder / "store", split="time", region=6, record_size=2, **options)
    parchunk.build(plan, folder / "refs")
    return str(folder / "refs")


def date(element: int) -> str:
    return f"2001-01-{1 + element // 4:02d} {element % 4 * 6:02d}:00"


def test_every_view_that_tells_a_place_tells_its_dates(tmp_path):
    write(tmp_path / "store")
    (tmp_path / "store/t/c/1/3").unlink()
    with parchunk.connect(build(tmp_path), locked=True) as made:
        labels = made.execute("SELECT * FROM labels ORDER BY element").fetchall()
        regions = made.execute("SELECT start, stop, start_label, stop_label FROM regions")
        assert regions.fetchall() == [(at, at + 6, date(at), date(at + 5)) for at in (0, 6, 12, 18)]
        coverage = made.execute(
            "SELECT start_label, stop_label FROM coverage WHERE region = 1 AND array_name = 't'"
        )
        assert coverage.fetchall() == [(date(6), date(11))]
        assert made.execute("SELECT chunk_key, label FROM missing").fetchall() == [
            ("t/c/1/3", date(9))
        ]
        # Filters reach the record files through the join: those of one region, and the labels.
        ran = made.execute("EXPLAIN ANALYZE SELECT * FROM missing WHERE region = 1").fetchone()
        assert sum(map(int, re.findall(r"Total Files Read: ([0-9]+)", ran[1]))) == 2 + 1
    assert labels == [("time", at, date(at)) for at in range(STEPS)]


def test_dates_of_gaps_in_arrays_of_several_chunk_lengths(tmp_path):
    write(tmp_path / "store")
    root = zarr.open_group(tmp_path / "store", mode="a")
    for name, length in (("u", LENGTH), ("v", 6), ("w", 6)):
        field = root.create_array(
            name, shape=(STEPS,), chunks=(length,), dtype="f4", dimension_names=("time",)
        )
        field[...] = 1
    root.create_array("x", shape=(2,), chunks=(1,), dtype="f4", dimension_names=("x",))
    for key in ("t/c/1/3", "u/c/2", "v/c/2", "w/c/3"):
        (tmp_path / "store" / key).unlink()
    with parchunk.connect(build(tmp_path)) as made:
        found = made.execute("SELECT chunk_key, label FROM missing ORDER BY chunk_key").fetchall()
    assert found == [
        ("t/c/1/3", date(9)),
        ("u/c/2", date(6)),
        ("v/c/2", date(12)),
        ("w/c/3", date(18)),
        ("x/c/0", None),
        ("x/c/1", None),
    ]


def test_labels_follow_the_source_when_it_is_updated(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    write(tmp_path / "store", STEPS, units="hours since 2001-02-01")
    parchunk.update(out, arrays=["time"])
    assert read_labels(open_output(out)).of(0) == "2001-02-01 00:00"


@pytest.mark.parametrize("how", ["gone", "damaged", "another"])
def test_labels_that_cannot_be_had_are_none(tmp_path, how):
    write(tmp_path / "store")
    out = build(tmp_path)
    file = Path(out) / LABELS
    if how == "gone":
        file.unlink()
    elif how == "damaged":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        shutil.copy(Path(out) / "t/refs.0.parq", file)
    with parchunk.connect(out) as made:
        assert made.execute("SELECT count(*) FROM labels").fetchone() == (0,)
        assert made.execute("SELECT count(*), max(start_label) FROM regions").fetchone() == (
            4,
            None,
        )
    parchunk.build(parchunk.plan(tmp_path / "store", split="time", region=6, record_size=2), out)
    assert read_labels(open_output(out)).of(23) == date(23)


def test_gaps_in_the_coordinate_have_no_dates(tmp_path):
    write(tmp_path / "store")
    (tmp_path / "store/time/c/1").unlink()
    kept = read_labels(open_output(build(tmp_path)))
    assert [kept.of(at) is None for at in range(STEPS)] == [False] * 8 + [True] * 8 + [False] * 8


def test_a_coordinate_that_cannot_be_read_fails_no_build(tmp_path):
    write(tmp_path / "store")
    (tmp_path / "store/time/c/1").write_bytes(b"no zstd")
    out = build(tmp_path)
    assert len(read_labels(open_output(out))) == 0
    assert parchunk.audit(out).complete


def test_an_array_of_another_name_gives_no_labels(tmp_path):
    write(tmp_path / "store", name="when")
    assert read_labels(open_output(build(tmp_path))) is None
