"""Coordinates of dimensions are in the references: what producers write anew breaks no reader."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

import parchunk
from parchunk.planning.coordinates import MOST_BYTES, MOST_CHUNKS, coordinate_threshold


def write(path: Path, steps: int = 8, mode: str = "w", zarr_format: int = 3) -> None:
    """Write a field, its coordinates in a chunk that is not full, and another array of time."""
    dims = {"t": ("time", "x"), "time": ("time",), "x": ("x",), "quality": ("time",)}
    shapes = {"t": (steps, 4), "time": (steps,), "x": (4,), "quality": (steps,)}
    chunks = {"t": (2, 2), "time": (16,), "x": (4,), "quality": (16,)}
    root = zarr.open_group(path, mode=mode, zarr_format=zarr_format)
    for name, names in dims.items():
        named = {"dimension_names": names} if zarr_format == 3 else {}
        array = root.create_array(
            name, shape=shapes[name], chunks=chunks[name], dtype="i8", **named
        )
        if zarr_format == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = list(names)
        array[...] = np.arange(1, array.size + 1).reshape(array.shape)


def append(path: Path, steps: int) -> None:
    """Make the arrays along ``time`` longer, as xarray's ``append_dim`` does."""
    root = zarr.open_group(path)
    for name in ("t", "time", "quality"):
        before = root[name].shape[0]
        root[name].resize((steps, *root[name].shape[1:]))
        root[name][before:] = before + 1
    root["time"][...] = np.arange(1, steps + 1)


def build(folder: Path, **options) -> Path:
    plan = parchunk.plan(folder / "store", split="time", region=4, **options)
    parchunk.build(plan, folder / "refs")
    return folder / "refs"


def inlined(out: Path) -> set[str]:
    with parchunk.connect(out) as made:
        return {row[0] for row in made.execute(
            "SELECT DISTINCT array_name FROM refs WHERE inlined"
        ).fetchall()}  # fmt: skip


def opened(out: Path) -> xarray.Dataset:
    """Open references as a reader without parchunk does."""
    return xarray.open_dataset(
        "reference://",
        engine="zarr",
        backend_kwargs={
            "consolidated": False,
            "storage_options": {
                "fo": str(out), "remote_protocol": "file", "skip_instance_cache": True,
                "remote_options": {"asynchronous": True}, "asynchronous": True,
            },
        },
    )  # fmt: skip


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_coordinates_are_read_without_the_source(tmp_path, zarr_format):
    write(tmp_path / "store", zarr_format=zarr_format)
    out = build(tmp_path)
    assert inlined(out) == {"time", "x"}
    assert parchunk.audit(out, against_source=True).complete
    shutil.rmtree(tmp_path / "store")
    with opened(out) as dataset:
        assert dataset.time.values.tolist() == list(range(1, 9))
        assert dataset.x.values.tolist() == [1, 2, 3, 4]


def test_a_producer_that_appends_breaks_no_reader(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    append(tmp_path / "store", steps=12)
    with opened(out) as dataset:
        assert dataset.time.values.tolist() == list(range(1, 9))
    changed = [
        found.array
        for found in parchunk.audit(out, against_source=True).findings
        if found.severity == "change"
    ]
    assert {"time", "quality"} <= set(changed)
    parchunk.update(out)
    assert inlined(out) == {"time", "x"}
    assert parchunk.audit(out, against_source=True).complete
    with opened(out) as dataset:
        assert dataset.time.values.tolist() == list(range(1, 13))


def test_an_update_takes_a_coordinate_that_was_written_anew(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    zarr.open_group(tmp_path / "store")["time"][...] = np.arange(100, 108)
    found = parchunk.audit(out, against_source=True)
    assert [item.array for item in found.findings if item.severity == "change"] == ["time"]
    parchunk.update(out)
    assert parchunk.audit(out, against_source=True).complete
    with opened(out) as dataset:
        assert dataset.time.values.tolist() == list(range(100, 108))


def test_without_them_nothing_is_inlined(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path, inline_coordinates=False)
    assert inlined(out) == set()
    assert parchunk.audit(out).complete
    text = (out / ".parchunk/plan.json").read_text()
    assert "inline_coordinates" not in text, "as plans were before there was a choice"


def test_references_begun_without_are_resumed_and_updated_so(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path, inline_coordinates=False)
    (out / ".zmetadata").unlink()
    (out / ".parchunk/receipts/time/whole.json").unlink()
    plan = parchunk.plan(tmp_path / "store", split="time", region=4)
    result = parchunk.build(plan, out)
    assert result.built == 1
    assert any("begun without" in note for note in result.notes)
    parchunk.update(out)
    assert inlined(out) == set()
    assert parchunk.audit(out, against_source=True).complete


def test_references_begun_with_are_not_those_without(tmp_path):
    write(tmp_path / "store")
    out = build(tmp_path)
    plan = parchunk.plan(tmp_path / "store", split="time", region=4, inline_coordinates=False)
    with pytest.raises(parchunk.InputError, match="coordinates of dimensions are kept inline"):
        parchunk.build(plan, out)
    parchunk.build(plan, out, overwrite=True)
    assert inlined(out) == set()


def test_what_is_kept_is_bounded(array_spec):
    time = array_spec("g/time", (87_600,), (8_760,), ("time",))
    size = 8_760 * time.itemsize
    assert size < coordinate_threshold(time) < 1.1 * size + 4097
    longest = MOST_BYTES // time.itemsize
    for other in (
        replace(time, name="g/when"),
        replace(time, shape=(longest + 1,), chunks=(longest + 1,)),
        replace(time, shape=(MOST_CHUNKS + 1,), chunks=(1,)),
        array_spec("time", (10, 10), (1, 1), ("time", "x")),
    ):
        assert coordinate_threshold(other) == 0
    assert coordinate_threshold(replace(time, shape=(longest,), chunks=(longest,)))


def test_coordinates_without_room_are_refused_with_what_would_do(tmp_path):
    root = zarr.open_group(tmp_path / "store", mode="w", zarr_format=3)
    random = np.random.default_rng(0)
    values = np.sort(random.integers(0, 1 << 62, 1_000_000))
    root.create_array(
        "x", shape=values.shape, chunks=values.shape, dtype="i8", dimension_names=("x",)
    )[...] = values
    plan = parchunk.plan(tmp_path / "store")
    with pytest.raises(parchunk.InputError, match=r"--memory \d+MiB .*--no-inline-coord") as no:
        parchunk.build(plan, tmp_path / "refs", memory="160MiB")
    enough = str(no.value).partition("give --memory ")[2].partition(" ")[0]
    parchunk.build(plan, tmp_path / "refs", memory=enough)
    assert inlined(tmp_path / "refs") == {"x"}
    without = parchunk.plan(tmp_path / "store", inline_coordinates=False)
    parchunk.build(without, tmp_path / "refs", memory="160MiB", overwrite=True)
    assert inlined(tmp_path / "refs") == set()
