"""Stores that belong together, as producers write them, and one store made of what joining says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray
import zarr

from parchunk.metadata import read_hierarchy
from parchunk.metadata.spec import ArraySpec, GroupSpec
from parchunk.planning.joining.dataset import join_stores
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.members import Dataset, JoinedArray, Member
from parchunk.stores.source import Source


@dataclass(frozen=True)
class Made:
    """One array to be written; chunks as long as the array unless given."""

    values: np.ndarray[Any, Any]
    dimensions: tuple[str, ...]
    chunks: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    shards: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def write(path: Path, arrays: Mapping[str, Made], zarr_format: int = 2, **attributes: Any) -> Path:
    """Write a store of these arrays; chunks of fill value are not written."""
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    root.attrs.update(attributes)
    for name, made in arrays.items():
        options: dict[str, Any] = {"fill_value": None if zarr_format == 2 else 0} | dict(
            made.options
        )
        attrs = dict(made.attributes)
        if zarr_format == 3:
            options["dimension_names"] = made.dimensions
        else:
            attrs["_ARRAY_DIMENSIONS"] = list(made.dimensions)
        array = root.create_array(
            name,
            shape=made.values.shape,
            chunks=made.chunks or tuple(max(size, 1) for size in made.values.shape),
            shards=made.shards,
            dtype=made.values.dtype,
            attributes=attrs,
            **options,
        )
        if made.values.size:
            array[...] = made.values
    return path


def join(paths: Sequence[Path], **how: Any) -> Dataset:
    """Return the stores at these paths joined."""
    sources = [Source.open(str(path)) for path in paths]
    members = (
        Member(path.name, read_hierarchy(source))
        for path, source in zip(paths, sources, strict=True)
    )
    return join_stores(members, sources, Joining(**how))


def as_one_store(target: Path, paths: Sequence[Path], joined: Dataset) -> Path:
    """Write the store that joining describes: its documents, and the stores' chunks copied."""
    for group in joined.hierarchy.groups:
        _write_documents(target / group.name, group)
    kept = {one.spec.name: one for one in joined.kept}
    given = [paths[at] for at in joined.joined.order]
    for name, array in joined.joined.arrays.items():
        _write_documents(target / name, array.spec)
        if name not in kept:
            _copy_chunks(target / name, [path / name for path in given], array)
        elif kept[name].chunk is not None:
            file = target / name / array.spec.keys.tail((0,) * array.spec.rank)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(kept[name].chunk)
    return target


def _write_documents(folder: Path, node: ArraySpec | GroupSpec) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if node.zarr_format == 3:
        (folder / "zarr.json").write_text(json.dumps(node.document))
        return
    name = ".zarray" if isinstance(node, ArraySpec) else ".zgroup"
    (folder / name).write_text(json.dumps(node.document))
    (folder / ".zattrs").write_text(json.dumps(node.attributes))


def _copy_chunks(target: Path, folders: Sequence[Path], array: JoinedArray) -> None:
    spec = array.spec
    for index in np.ndindex(*spec.grid):
        where = _in_store(array, index)
        if where is None:
            continue
        store, own = where
        rank = spec.rank - array.stacked
        keys = type(spec.keys)(spec.keys.marker, spec.keys.separator, rank)
        source = folders[store] / keys.tail(own)
        if source.exists():
            file = target / spec.keys.tail(index)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read_bytes())


def _in_store(array: JoinedArray, index: tuple[int, ...]) -> tuple[int, tuple[int, ...]] | None:
    """Return the store and the chunk index in it of a chunk of the whole; None: in no store."""
    if array.axis is None:
        return array.stretches[0].store, index
    length = array.spec.chunks[array.axis]
    at = index[array.axis] * length
    for stretch in array.stretches:
        if stretch.start <= at < stretch.stop:
            if array.stacked:
                return stretch.store, index[1:]
            own = (at - stretch.start) // length
            return stretch.store, (*index[: array.axis], own, *index[array.axis + 1 :])
    return None


#: What `months` is told: hours of a chunk and of each store, where time stands, a seed of values.
MONTHS = {
    "format": 2, "chunk": 1, "lengths": [4, 2, 6], "axis": 0, "shards": False, "holes": True,
    "seed": 3,
}  # fmt: skip


def opened(path: Path, zarr_format: int) -> xarray.Dataset:
    """Open a store itself."""
    return xarray.open_zarr(path, consolidated=False, zarr_format=zarr_format, chunks=None).load()


def stock(out: Path) -> xarray.Dataset:
    """Open references as readers do that know nothing of parchunk."""
    return xarray.open_dataset(
        "reference://",
        engine="zarr",
        backend_kwargs={
            "consolidated": True,
            "storage_options": {"fo": str(out), "remote_protocol": "file"},
        },
    ).load()


def months(folder: Path, made: dict[str, Any]) -> list[Path]:
    """Write stores of hourly data that follow each other, as MONTHS says; return where."""
    random = np.random.default_rng(made["seed"])
    sizes, lengths = {"time": made["chunk"], "y": 2, "x": 3}, {"y": 4, "x": 6}
    names = ["y", "x"]
    names.insert(made["axis"], "time")
    paths, begin = [], 0
    for at, length in enumerate(made["lengths"]):
        lengths["time"] = length
        data = random.integers(0 if made["holes"] else 1, 3, [lengths[n] for n in names])
        chunks = tuple(sizes[name] for name in names)
        shards = tuple(sizes[name] * (2 if name == "time" else 1) for name in names)
        fill: dict[str, Any] = {} if made["holes"] else {"fill_value": -1}
        since = f"2000-01-{1 + begin // 24:02d} {begin % 24:02d}:00"
        arrays = {
            "air": Made(
                data.astype("<i4"),
                tuple(names),
                chunks,
                {"units": "K"},
                shards if made["shards"] else None,
                fill,
            ),
            "rain": Made(np.full((length, 4), at + 1), ("time", "y"), (2 * made["chunk"], 2)),
            "time": Made(np.arange(length), ("time",), None, {"units": f"hours since {since}"}),
            "y": Made(np.arange(4.0), ("y",)),
        }
        paths.append(write(folder / f"{at}.zarr", arrays, made["format"], title="months"))
        begin += length
    return paths


def assert_views_agree(con: Any) -> None:
    """Assert that a connection counts by region in record files what its receipts say."""
    counted = con.sql(
        "SELECT array_name, region, count(*), count(*) FILTER (present) FROM refs\n"
        "WHERE region IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert counted == con.sql(
        "SELECT array_name, region, expected, present FROM coverage\n"
        "WHERE region IS NOT NULL AND expected > 0 ORDER BY ALL"
    ).fetchall()  # fmt: skip
