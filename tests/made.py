"""What tests make: random Zarr stores, stores that grow, sources that go wrong, specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from hypothesis import strategies as st
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.references import wrong_references
from instruments.synthetic.server import Server, serve
from obstore.store import S3Store

import parchunk
from parchunk.keys.encoding import KeyEncoding
from parchunk.listing.patience import Patience
from parchunk.metadata.spec import ArraySpec

QUICK = Patience(attempts=4, first_wait=0.01, longest_wait=0.02)

FAULTS = {
    "503": Fault("503", first=5, times=2),
    "429": Fault("429", first=5, times=2),
    "500": Fault("500", first=3, times=3),
    "408": Fault("408", first=4, times=2),
    "reset": Fault("reset", first=5, times=2),
    "cut": Fault("cut", first=5, times=2),
    "reset-body": Fault("reset-body", first=4, times=3),
    "stall": Fault("stall", first=5, times=1, seconds=5),
    "hang": Fault("hang", first=5, times=1, seconds=5),
    "expired-token": Fault("expired-token", first=3, times=1),
    "error-body": Fault("error-body", first=5),
    "no-token": Fault("no-token", first=5),
    "short": Fault("short", first=5),
    "drop": Fault("drop", first=5, times=2),
    "repeat-page": Fault("repeat-page", first=3),
    "swap-pages": Fault("swap-pages", first=3),
    "reverse": Fault("reverse", first=4),
    "many 503": Fault("503", times=None, rate=0.3, seed=1),
    "many cuts": Fault("cut", times=None, rate=0.3, seed=3),
    "many drops": Fault("drop", first=2, times=None, rate=0.2, seed=3),
}


NUMBERS = ["i1", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "bool", "<c8", ">c16"]

TIMES = ["<M8[s]", ">M8[ns]", "<m8[h]"]

TEXTS = ["S3", "<U2", ">U2"]


#: Of numcodecs: the first two take elements, the others bytes.
FILTERS = ["delta", "fixedscaleoffset", "shuffle", "crc32"]


def filter_of(choice: str | None, dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """Return the configuration of a filter without loss, None where there is none for a type."""
    size = dtype.itemsize
    whole = dtype.kind in "iu" and 1 < size < 8
    if choice == "delta" and whole:
        return {"id": "delta", "dtype": dtype.str}
    if choice == "fixedscaleoffset" and whole:
        return {"id": choice, "offset": 0, "scale": 1, "dtype": dtype.str, "astype": "<i8"}
    if choice == "shuffle":
        return {"id": "shuffle", "elementsize": size}
    return {"id": "crc32"} if choice == "crc32" else None


def write_three_arrays(path: Path) -> None:
    """Write a store of two arrays of single elements along ``time``, of which one lacks a chunk,
    and a scalar.
    """
    root = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape in {"v": (20, 10), "w": (20, 3), "crs": ()}.items():
        names = ["time", "x"][: len(shape)]
        root.create_array(
            name, shape=shape, chunks=(1,) * len(shape), dtype="u1", dimension_names=names
        )[...] = 7
    (path / "v" / "c" / "3" / "3").unlink()


def fill_of(dtype: np.dtype[Any], choice: str) -> Any:
    if choice == "none" and dtype.kind != "b":
        return None
    if dtype.kind in "SU":
        return dtype.type("" if choice == "zero" else "-") if dtype.kind == "U" else b"-"
    if choice == "infinite":
        return {"f": -np.inf, "c": complex(np.nan, np.inf)}.get(dtype.kind, 0)
    if choice == "odd":
        return {"f": np.nan, "c": complex(1, 2), "b": True, "i": 7, "u": 7}.get(dtype.kind, 0)
    return dtype.type(0) if dtype.kind not in "Mm" else np.array(0, dtype)[()]


def values_of(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    raw = random.integers(1, 100, shape)
    if dtype.kind == "b":
        return raw % 2 == 0
    if dtype.kind == "c":
        return (raw + 1j * random.random(shape)).astype(dtype)
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    return raw.astype(dtype)


@st.composite
def arrays(draw: st.DrawFn, zarr_format: int) -> dict[str, Any]:
    rank = draw(st.integers(0, 4))
    longest = {0: 1, 1: 25, 2: 13, 3: 7, 4: 4}[rank]
    shape = tuple(draw(st.lists(st.integers(1, longest), min_size=rank, max_size=rank)))
    chunks = tuple(draw(st.integers(1, max(size // 2, 1))) for size in shape)
    dtype = draw(st.sampled_from(NUMBERS + TEXTS + (TIMES if zarr_format == 2 else [])))
    compressors: list[Any] = [None, "v2" if zarr_format == 2 else "v3"]
    return {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype,
        "fill": draw(st.sampled_from(["zero", "odd", "infinite", "none"])),
        "order": draw(st.sampled_from("CF")),
        "compressor": draw(st.sampled_from([None, "zlib", "zstd", "blosc"])),
        "filter": draw(st.sampled_from([None, *FILTERS])),
        "separator": draw(st.sampled_from("./")),
        "encoding": "v2" if zarr_format == 2 else draw(st.sampled_from(["default", "v2"])),
        "seed": draw(st.integers(0, 99)),
        "holes": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "compressors": compressors,
    }


def write_array(group: zarr.Group, name: str, made: dict[str, Any], zarr_format: int) -> None:
    dtype = np.dtype(made["dtype"])
    fill = fill_of(dtype, made["fill"])
    options: dict[str, Any] = {"fill_value": fill}
    if zarr_format == 2:
        codecs = {
            "zlib": numcodecs.Zlib(1),
            "zstd": numcodecs.Zstd(1),
            "blosc": numcodecs.Blosc("lz4"),
        }
        options["compressors"] = codecs.get(made["compressor"])
        used = filter_of(made["filter"], dtype)
        options["filters"] = None if used is None else [numcodecs.get_codec(used)]
        options["order"] = made["order"]
    else:
        if made["fill"] == "none":
            options["fill_value"] = None
        codecs = {
            "zlib": zarr.codecs.GzipCodec(level=1),
            "zstd": zarr.codecs.ZstdCodec(level=1),
            "blosc": zarr.codecs.BloscCodec(cname="lz4"),
        }
        compressor = codecs.get(made["compressor"])
        options["compressors"] = after = [] if compressor is None else [compressor]
        options["filters"] = before = []
        if made["order"] == "F" and len(made["shape"]) > 1:
            order = tuple(reversed(range(len(made["shape"]))))
            before.append(zarr.codecs.TransposeCodec(order=order))
        # Of elements of the other byte order they are refused.
        used = filter_of(made["filter"], dtype.newbyteorder("<"))
        if used is not None and dtype.str[0] != ">":
            codec = {"name": f"numcodecs.{used.pop('id')}", "configuration": used}
            before.append(codec) if "dtype" in used else after.insert(0, codec)
        if made["shape"]:
            options["dimension_names"] = [f"d{axis}" for axis in range(len(made["shape"]))]
    array = group.create_array(
        name,
        shape=made["shape"],
        chunks=made["chunks"],
        dtype=dtype,
        chunk_key_encoding={"name": made["encoding"], "separator": made["separator"]},
        attributes={"seed": made["seed"], "é": [1.5, None, {"x": "y"}]},
        **options,
    )
    array[...] = values_of(dtype, made["shape"], made["seed"])


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    zarr_format = draw(st.sampled_from([2, 3]))
    names = draw(
        st.lists(
            st.sampled_from(
                ["air", "air_temp", "c", "0", "..x", "g/air", "g/h/t", "g2/x y#%?é", "x.z/{0}"]
            ),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    return {
        "format": zarr_format,
        "arrays": {name: draw(arrays(zarr_format)) for name in names},
        "consolidated": draw(st.booleans()),
        "split": draw(st.sampled_from([None, 0, 1, 2])),
        "region": draw(st.sampled_from([None, 1, 2, 3])),
        "record_size": draw(st.sampled_from([None, 1, 2, 3, 5, 1000])),
        "inline": draw(st.sampled_from([0, 40, 10_000])),
    }


def write_store(path: Path, made: dict[str, Any]) -> None:
    root = zarr.open_group(path, mode="w", zarr_format=made["format"])
    root.attrs["title"] = "random"
    for name, array in made["arrays"].items():
        write_array(root, name, array, made["format"])
        random = np.random.default_rng(array["seed"])
        for file in chunk_files(path / name):
            if random.random() < array["holes"]:
                file.unlink()
    if made["consolidated"]:
        zarr.consolidate_metadata(path)


def planned(source: Any, made: dict[str, Any]) -> parchunk.Plan:
    """Plan as asked, or without what the planner refuses for these shapes."""
    options = {"split": made["split"], "region": made["region"], "record_size": made["record_size"]}
    while True:
        try:
            return parchunk.plan(source, inline_threshold=made["inline"], **options)
        except parchunk.InputError:
            left = [key for key, value in options.items() if value is not None]
            assert left, "a plan without wishes is never refused"
            options[left[-1]] = None


def named(names: list[str], zarr_format: int) -> dict[str, Any]:
    """Return the arguments of `zarr.Group.create_array` that name an array's dimensions."""
    if zarr_format == 3:
        return {"dimension_names": names}
    return {"attributes": {"_ARRAY_DIMENSIONS": names}}


def grow(path: Path, steps: int, zarr_format: int = 2) -> None:
    """Make the store, or make it longer: ``steps`` in all, each value its own number."""
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)  # type: ignore[arg-type]
    for name, shape, chunks in (
        ("air", (steps, 6), (2, 3)),
        ("rain", (steps, 6), (4, 6)),
        ("time", (steps,), (100,)),
        ("x", (6,), (6,)),
    ):
        if name not in root:
            names = ["time", "x"][: len(shape)] if name != "x" else ["x"]
            root.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype="i4",
                compressors=None,
                fill_value=-1,
                **named(names, zarr_format),
            )
        array = root[name]
        assert isinstance(array, zarr.Array)
        written = array.shape[0] if array.nchunks_initialized else 0
        array.resize(shape)
        array[written:] = np.arange(np.prod(shape)).reshape(shape)[written:]


def timeout_with(faults: Iterable[Fault]) -> str:
    """Return how long a client is to wait: not for what never comes, and long for all else."""
    return "4s" if {fault.kind for fault in faults} & {"hang", "stall"} else "100s"


@contextmanager
def source_of(
    store: FormulaStore,
    *faults: Fault,
    listing: str = "auto",
    page: int = 1000,
    **options: Any,
) -> Iterator[tuple[Server, parchunk.Source]]:
    with serve(store, faults=faults, page=page, process=False) as server:
        kwargs = server.store_kwargs()
        kwargs["client_options"]["timeout"] = timeout_with(faults)
        kwargs["retry_config"] = {"max_retries": 0} | options
        s3 = S3Store(server.bucket, **kwargs)
        yield server, parchunk.Source(s3, "", "s3://formula", listing=listing)


def spec(
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dimensions: tuple[str | None, ...] | None = None,
    *,
    encoding: KeyEncoding | None = None,
) -> ArraySpec:
    """Return an array of the planner, whose documents no planning looks at."""
    return ArraySpec(
        name=name,
        zarr_format=2,
        shape=shape,
        chunks=chunks,
        dtype="float32",
        itemsize=4,
        dimension_names=dimensions or (None,) * len(shape),
        keys=encoding or KeyEncoding("", ".", len(shape)),
        attributes={},
        document={},
    )


def chunk_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".z") and path.name != "zarr.json"
    )


def check_exact(out: Path, plan: parchunk.Plan, store: FormulaStore) -> None:
    """Compare every reference of every array with the formula."""
    for array in plan.arrays:
        name = array.spec.name
        assert wrong_references(store.array(name), plan.location.url, out, plan.record_size) == 0
