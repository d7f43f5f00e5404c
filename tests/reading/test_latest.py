"""The latest complete step of a status is that of the audit; few record files are read for it."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.reading import latest

STEPS = 40


def write(path: Path, seed: int, lost: float = 0.1) -> None:
    """Write arrays along time on either axis, in chunks of several lengths, with gaps."""
    random = np.random.default_rng(seed)
    root = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape, chunks, dims in (
        ("t", (STEPS, 4), (2, 1), ("time", "x")),
        ("q", (4, STEPS - 3), (2, 4), ("x", "time")),
    ):
        array = root.create_array(
            name, shape=shape, chunks=chunks, dtype="i1", dimension_names=dims
        )
        array[...] = 1
        for chunk in sorted((path / name / "c").rglob("*")):
            if chunk.is_file() and random.random() < lost:
                chunk.unlink()
    time = root.create_array(
        "time", shape=(STEPS,), chunks=(STEPS,), dtype="i4", dimension_names=("time",),
        attributes={"units": "days since 2001-01-01"},
    )  # fmt: skip
    time[...] = np.arange(STEPS)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [{"region": 8}, {"region": 12, "record_size": 3}])
def test_it_is_the_one_of_the_audit(tmp_path, seed, sizes):
    write(tmp_path / "store", seed, lost=(0.02, 0.1, 0.5)[seed % 3])
    exclude = "q" if seed % 2 or "record_size" in sizes else ()
    plan = parchunk.plan(tmp_path / "store", split="time", exclude=exclude, **sizes)
    parchunk.build(plan, tmp_path / "refs")
    found = parchunk.status(tmp_path / "refs").latest
    audited = parchunk.audit(tmp_path / "refs")
    assert (found.element, found.extent) == (audited.completeness.latest, STEPS)
    assert found.label == (None if found.element is None else audited.labels.of(found.element))


def test_few_record_files_are_read(tmp_path, capfd):
    write(tmp_path / "store", 0, lost=0)
    for step in (1, 9, 17):
        (tmp_path / f"store/t/c/{step}/2").unlink()
    out = str(tmp_path / "refs")
    plan = parchunk.plan(tmp_path / "store", split="time", region=4, exclude="q")
    parchunk.build(plan, out)
    with mock.patch.object(latest, "read_rows", wraps=latest.read_rows) as read:
        assert parchunk.status(out).latest.element == STEPS - 1
        assert read.call_count == 0
    (tmp_path / f"store/t/c/{STEPS // 2 - 1}/2").unlink()
    parchunk.update(out, regions=[9])
    with mock.patch.object(latest, "read_rows", wraps=latest.read_rows) as read:
        assert parchunk.status(out).latest.element == STEPS - 3
        assert read.call_count == 1
    assert run(["status", out]) == 0
    shown = capfd.readouterr().out
    assert "latest complete step: 37 (2001-02-07) of 0 to 39 along time" in shown
    assert run(["status", out, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["latest_complete"] == {
        "dimension": "time", "element": 37, "label": "2001-02-07", "extent": 40,
    }  # fmt: skip


def test_what_is_not_finished_or_damaged_has_none(tmp_path):
    write(tmp_path / "store", 0, lost=0.2)
    out = tmp_path / "refs"
    parchunk.build(parchunk.plan(tmp_path / "store", split="time", region=8), out)
    for file in (out / "t").glob("*.parq"):
        file.write_bytes(b"damaged")
    assert parchunk.status(out).latest is None
    (out / ".parchunk/receipts/time/whole.json").unlink()
    assert parchunk.status(out).latest is None
