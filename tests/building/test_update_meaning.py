"""Bytes that references keep, whose attributes change: readers never see one without the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.recorder import CLOUDS, recorder

import parchunk

#: Two ways to write the same dates and the same data: steps of time a day, units, and a scale.
DAYS, HOURS = (1, "days since 2000-01-01", 1), (24, "hours since 2000-01-01", 2)


def write(path: Path, zarr_format: Any, how: tuple[int, str, int], start: int = 0) -> None:
    step, units, scale = how
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, values, chunk, attributes in (
        ("time", (np.arange(4) + start) * step, 4, {"units": units}),
        ("air", np.full(4, 12 // scale), 2, {"scale_factor": scale}),
    ):
        said: dict[str, Any] = {"attributes": attributes, "dimension_names": ["time"]}
        if zarr_format == 2:
            said = {"attributes": attributes | {"_ARRAY_DIMENSIONS": ["time"]}}
        array = root.create_array(name, shape=4, chunks=chunk, dtype="i4", **said)
        array[...] = values


def seen(out: Path) -> str:
    """Return the dates, in hours, and the data that stock zarr reads through fsspec."""
    options = {"fo": str(out), "remote_protocol": "file", "skip_instance_cache": True}
    root: Any = zarr.open_group(
        "reference://", mode="r", zarr_format=2, storage_options=options, use_consolidated=False
    )
    time, air = root["time"], root["air"]
    hours = time[...] * (24 if "days" in time.attrs["units"] else 1)
    return f"{hours.tolist()} {(air[...] * air.attrs['scale_factor']).tolist()}"


def looking_at(out: Path, found: set[str]) -> Callable[[str], None]:
    def look(path: str) -> None:
        if path.startswith("bucket/out/") and (out / ".zmetadata").exists():
            found.add(seen(out))

    return look


@pytest.mark.parametrize(("zarr_format", "stores"), [(2, 1), (3, 1), (2, 2)])
def test_kept_bytes_are_read_by_their_own_attributes_at_each_moment(
    tmp_path: Path, zarr_format: int, stores: int
) -> None:
    paths = [tmp_path / f"{at}.zarr" for at in range(stores)]
    out = tmp_path / "served/bucket/out"
    out.parent.mkdir(parents=True)
    for at, path in enumerate(paths):
        write(path, zarr_format, DAYS, 4 * at)
    with recorder(tmp_path / "served") as server:
        server.modified = None
        options = {"output_options": CLOUDS["s3"](server.endpoint)}
        plan = parchunk.plan(
            paths if stores > 1 else paths[0],
            concat="time" if stores > 1 else None,
            inline_threshold=100,
            region=2 if stores == 1 else 4,  # full ones are listed again for nothing else
        )
        parchunk.build(plan, "s3://bucket/out", **options)
        before = seen(out)
        for at, path in enumerate(paths):
            write(path, zarr_format, HOURS, 4 * at)
        found: set[str] = set()
        server.changed = looking_at(out, found)
        result = parchunk.update("s3://bucket/out", **options)
        server.changed = lambda _: None
        assert found == {before} == {seen(out)}
        told = " ".join(result.notes)
        assert "air is kept in the references, and read by other attributes now" in told
        again = parchunk.update("s3://bucket/out", **options)
        assert "replaced" not in " ".join(again.notes)
        report = parchunk.audit("s3://bucket/out", against_source=True, **options)
    assert report.complete


def test_what_became_shorter_is_asked_about_all_the_same(tmp_path: Path) -> None:
    """That an array is replaced for its attributes allows no loss."""
    store, out = tmp_path / "s.zarr", tmp_path / "out"
    write(store, 3, DAYS)
    parchunk.build(parchunk.plan(store, inline_threshold=100, region=2), out)
    before = seen(out)
    write(store, 3, HOURS)
    zarr.open_array(store / "air").resize((2,))
    with pytest.raises(parchunk.InputError, match=r"air became shorter along axis 0 \(4 to 2\)"):
        parchunk.update(out)
    assert seen(out) == before
    parchunk.update(out, allow_shrink=True)
    assert seen(out) == "[0, 24, 48, 72] [12, 12]"


def test_bytes_at_other_places_are_read_anew_with_their_attributes(tmp_path: Path) -> None:
    """Those of chunks that have other numbers now are moved where they mean what they did."""
    store, out = tmp_path / "s.zarr", tmp_path / "out"
    for columns, scale in ((4, 1), (6, 2)):
        root = zarr.open_group(store, mode="w", zarr_format=2)
        air = root.create_array(
            "air",
            shape=(4, columns),
            chunks=(2, 2),
            dtype="i4",
            attributes={"_ARRAY_DIMENSIONS": ["t", "x"], "scale_factor": scale},
        )
        air[...] = 12 // scale
        if columns == 4:
            parchunk.build(parchunk.plan(store, inline_threshold=100, region=2), out)
    parchunk.update(out)
    options = {"fo": str(out), "remote_protocol": "file", "skip_instance_cache": True}
    root = zarr.open_group("reference://", mode="r", zarr_format=2, storage_options=options)
    assert (root["air"][...] == 6).all()
    assert parchunk.audit(out, against_source=True).complete
