"""Builds against zarr-python: what stock readers read of the references is what the source holds.

The oracle is outside the project on both sides: zarr-python writes and reads the source, fsspec,
zarr, xarray and kerchunk's engine read the references.
"""

import importlib
import itertools
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

import parchunk
import parchunk.groups as groups_module
from parchunk.output import Output
from parchunk.receipts import read_receipts
from parchunk.text_order import rank_of

#: The module: its name in the package is the function's.
build_module = importlib.import_module("parchunk.build")

Reader = Callable[..., zarr.Group]
Bits = Callable[[Any, Any], None]
Published = Callable[[Path], dict[str, bytes]]

NUMBERS = ["i1", "u1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "bool", "<c8", ">c16"]
TIMES = ["<M8[s]", ">M8[ns]", "<m8[h]"]


@pytest.fixture(autouse=True)
def _quiet_zarr() -> Iterator[None]:
    """Let zarr-python write what it calls unstable; it is what real stores hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fill_of(dtype: np.dtype[Any], choice: str) -> Any:
    if choice == "none" and dtype.kind != "b":
        return None
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
    dtype = draw(st.sampled_from(NUMBERS + (TIMES if zarr_format == 2 else [])))
    compressors: list[Any] = [None, "v2" if zarr_format == 2 else "v3"]
    return {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype,
        "fill": draw(st.sampled_from(["zero", "odd", "none"])),
        "order": draw(st.sampled_from("CF")),
        "compressor": draw(st.sampled_from([None, "zlib", "zstd", "blosc"])),
        "delta": draw(st.booleans()),
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
        delta = made["delta"] and dtype.kind in "iu" and dtype.itemsize > 1
        options["filters"] = [numcodecs.Delta(dtype=dtype.str)] if delta else None
        options["order"] = made["order"]
    else:
        if made["fill"] == "none":
            options["fill_value"] = None
        codecs = {
            "zlib": zarr.codecs.GzipCodec(level=1),
            "zstd": zarr.codecs.ZstdCodec(level=1),
            "blosc": zarr.codecs.BloscCodec(cname="lz4"),
        }
        options["compressors"] = codecs.get(made["compressor"])
        if made["order"] == "F" and len(made["shape"]) > 1:
            order = tuple(reversed(range(len(made["shape"]))))
            options["filters"] = [zarr.codecs.TransposeCodec(order=order)]
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


def chunk_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".z") and path.name != "zarr.json"
    )


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    zarr_format = draw(st.sampled_from([2, 3]))
    names = draw(
        st.lists(
            st.sampled_from(["air", "air_temp", "c", "0", "g/air", "g/h/t", "g2/x y#%?é"]),
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


def check_counts(result: parchunk.BuildResult, source: Path) -> None:
    present = sum(len(chunk_files(source / array.spec.name)) for array in result.plan.arrays)
    assert result.expected == sum(array.spec.total for array in result.plan.arrays)
    assert result.present + result.missing == result.expected
    assert result.present == present
    assert result.strays == 0
    sizes = sum(
        file.stat().st_size
        for array in result.plan.arrays
        for file in chunk_files(source / array.spec.name)
    )
    assert result.bytes == sizes


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=stores())
def test_stock_readers_read_what_the_source_holds(
    made: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    open_references: Reader,
    same_bits: Bits,
) -> None:
    folder = tmp_path_factory.mktemp("oracle")
    source, out = folder / "s.zarr", folder / "refs"
    write_store(source, made)
    result = parchunk.build(planned(str(source), made), str(out))
    check_counts(result, source)

    original = zarr.open_group(source, mode="r", use_consolidated=False)
    opened = open_references(out)
    assert dict(opened.attrs) == dict(original.attrs)
    for name in made["arrays"]:
        same_bits(opened[name][...], original[name][...])
        attributes = dict(opened[name].attrs)
        attributes.pop("_ARRAY_DIMENSIONS", None)
        assert attributes == dict(original[name].attrs)
        assert opened[name].chunks == original[name].chunks
    for array in result.plan.arrays:
        files = sorted((out / array.spec.name).glob("refs.*.parq"))
        assert len(files) == -(-array.spec.total // result.plan.record_size)
        rows = [pq.read_metadata(file).num_rows for file in files]
        assert sum(rows) == array.spec.total
    shutil.rmtree(folder)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_text(tmp_path: Path, open_references: Reader, same_bits: Bits, zarr_format: int) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=zarr_format)
    values = np.array(["a", "", "ünïcode", "日本", "x" * 300] * 3)
    dtypes = {"vlen": "string"}
    if zarr_format == 2:
        dtypes |= {"fixed": "<U300", "raw": "S300"}
    for name, dtype in dtypes.items():
        array = root.create_array(name, shape=(15,), chunks=(4,), dtype=dtype)
        array[...] = values if name != "raw" else np.char.encode(values, "utf-8")
    parchunk.build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"))
    opened = open_references(tmp_path / "refs")
    for name in dtypes:
        same_bits(opened[name][...], root[name][...])


def dataset_store(path: Path, zarr_format: int, separator: str = "/") -> None:
    """A store as xarray users have it: coordinates, 3-D variables, times, a scalar, a hole."""
    import xarray

    random = np.random.default_rng(5)
    times = np.arange("2020-01-01", "2020-01-13", dtype="M8[D]").astype("M8[ns]")
    dataset = xarray.Dataset(
        {
            "air": (("time", "y", "x"), random.normal(280, 5, (12, 6, 8)).astype("f4")),
            "air_temp": (("time", "y"), random.integers(1, 99, (12, 6)).astype("i2")),
            "flag": (("y", "x"), random.random((6, 8)) > 0.5),
            "crs": ((), np.int32(4326)),
        },
        coords={"time": times, "y": np.arange(6.0), "x": np.arange(8) * 0.5},
        attrs={"title": "made up"},
    )
    encoding: dict[str, Any] = {
        "air": {"chunks": (1, 3, 4)},
        "air_temp": {"chunks": (2, 6)},
        "time": {"units": "hours since 2020-01-01", "dtype": "i8"},
    }
    dataset.to_zarr(path, zarr_format=zarr_format, encoding=encoding, consolidated=False)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("region", [2, 4, 12])
def test_xarray_opens_the_same_dataset(tmp_path: Path, zarr_format: int, region: int) -> None:
    import xarray

    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    dataset_store(source, zarr_format)
    parchunk.build(parchunk.plan(str(source), split="time", region=region), str(out))
    with (
        xarray.open_dataset(source, engine="zarr", consolidated=False) as original,
        parchunk.open_dataset(str(out)) as opened,
    ):
        xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())
        assert opened.attrs == original.attrs
    # The other engines take a v2 fill value for a mask, so without masks on either side.
    plain = {"mask_and_scale": False}
    reference = {"fo": str(out), "remote_protocol": "file"}
    with (
        xarray.open_dataset(source, engine="zarr", consolidated=False, **plain) as original,
        xarray.open_dataset(
            "reference://",
            engine="zarr",
            consolidated=False,
            backend_kwargs={"storage_options": reference},
            **plain,
        ) as by_zarr,
        xarray.open_dataset(
            str(out), engine="kerchunk", storage_options={"remote_protocol": "file"}, **plain
        ) as by_kerchunk,
    ):
        for opened in (by_zarr, by_kerchunk):
            xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())
            assert opened.attrs == original.attrs


def test_open_dataset_takes_a_group(tmp_path: Path) -> None:
    import xarray

    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    zarr.open_group(source, mode="w", zarr_format=3)
    dataset_store(source / "inner", 3)
    with (source / "inner" / "zarr.json").open() as file:
        assert json.load(file)["node_type"] == "group"
    parchunk.build(parchunk.plan(str(source)), str(out))
    with (
        parchunk.open_dataset(str(out), group="inner") as opened,
        xarray.open_dataset(source / "inner", engine="zarr", consolidated=False) as original,
    ):
        xarray.testing.assert_identical(opened.drop_attrs(), original.drop_attrs())


# Ways to the same bytes


@pytest.fixture(scope="module")
def grid_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,201 chunks in three arrays, some missing, with keys of several lengths. Not to be changed.

    The chunks are written by hand: a byte each.
    """
    source = tmp_path_factory.mktemp("grid") / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    random = np.random.default_rng(3)
    for name, shape in {"v": (24, 4, 10), "w": (24, 10), "time": (24,)}.items():
        root.create_array(
            name,
            shape=shape,
            chunks=(1,) * len(shape) if name != "time" else (24,),
            dtype="u1",
            compressors=None,
            dimension_names={1: ["time"], 2: ["time", "x"], 3: ["time", "y", "x"]}[len(shape)],
        )
        if name == "time":
            root[name][...] = random.integers(1, 99, shape)
            continue
        for index in np.ndindex(shape):
            path = source / name / "c" / "/".join(map(str, index))
            path.parent.mkdir(parents=True, exist_ok=True)
            if random.random() > 0.2:
                path.write_bytes(b"%c" % random.integers(1, 255))
    return source


@pytest.mark.parametrize("split", ["time", "y", "x"])
def test_slices_and_groups_give_the_same_bytes(
    grid_store: Path,
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    split: str,
) -> None:
    length = {"time": 8, "y": 2, "x": 5}[split]
    plan = parchunk.plan(str(grid_store), split=split, region=length)
    parchunk.build(plan, str(tmp_path / "whole"))
    wanted = published(tmp_path / "whole")
    for cells in (1, 17, 333):
        monkeypatch.setattr(build_module, "vector_cells", lambda *_, cells=cells: cells)
        out = tmp_path / f"cells{cells}"
        parchunk.build(plan, str(out))
        assert published(out) == wanted


@pytest.mark.parametrize("split", ["time", "y", "x"])
@pytest.mark.parametrize("units", [7, 60])
def test_units_of_any_size_give_the_same_bytes(
    grid_store: Path,
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    split: str,
    units: int,
) -> None:
    # Walked in text order, as on S3, so that units are written and given back one by one.
    objects = MemoryStore()
    for path in grid_store.rglob("*"):
        if path.is_file():
            key = path.relative_to(grid_store).as_posix()
            objects.put(f"s.zarr/{key}", path.read_bytes())
    source = parchunk.Source(objects, "s.zarr", url=str(grid_store))
    plan = parchunk.plan(source, split=split, region={"time": 8, "y": 2, "x": 5}[split])
    parchunk.build(plan, str(tmp_path / "whole"))
    monkeypatch.setattr(groups_module, "UNIT_CELLS", units)
    parchunk.build(plan, str(tmp_path / "units"))
    assert published(tmp_path / "units") == published(tmp_path / "whole")


@pytest.mark.parametrize("record_size", [3, 7, 64, 400, 10_000])
def test_every_record_size_reads_alike(
    grid_store: Path,
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    monkeypatch: pytest.MonkeyPatch,
    record_size: int,
) -> None:
    """On axis 0 any record size will do: a file belongs to the region of its first row."""
    monkeypatch.setattr(build_module, "vector_cells", lambda *_: 300)
    plan = parchunk.plan(str(grid_store), split="time", region=7, record_size=record_size)
    parchunk.build(plan, str(tmp_path / "refs"))
    opened, original = open_references(tmp_path / "refs"), zarr.open_group(grid_store, mode="r")
    for name in ("v", "w", "time"):
        same_bits(opened[name][...], original[name][...])


def test_a_build_goes_on_where_it_was(
    grid_store: Path, tmp_path: Path, published: Published, tree: Any
) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=4)
    out = tmp_path / "refs"
    first = parchunk.build(plan, str(out))
    assert first.built == len(first.receipts)
    wanted, before = published(out), tree(out)
    again = parchunk.build(plan, str(out))
    assert again.built == 0
    assert tree(out) == before
    assert (again.present, again.missing, again.bytes) == (
        first.present,
        first.missing,
        first.bytes,
    )

    # Receipts are what says that a partition is done: without some, those are built again.
    (out / ".zmetadata").unlink()
    receipts = sorted((out / ".parchunk" / "receipts" / "v").iterdir())
    for receipt in receipts[::2]:
        receipt.unlink()
    for file in (out / "v").iterdir():
        if file.name in ("refs.0.parq",):
            file.unlink()
    resumed = parchunk.build(plan, str(out))
    assert resumed.built == len(receipts[::2])
    assert published(out) == wanted


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"5", b'{"parchunk_receipt": 1}', b"\xff\xfe"]
)
def test_a_damaged_receipt_counts_as_none(
    grid_store: Path, tmp_path: Path, published: Published, damage: bytes
) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=12)
    out = tmp_path / "refs"
    parchunk.build(plan, str(out))
    wanted = published(out)
    (out / ".parchunk" / "receipts" / "w" / "1.json").write_bytes(damage)
    again = parchunk.build(plan, str(out))
    assert again.built == 1
    assert published(out) == wanted


def test_a_receipt_of_another_plan_counts_as_none(grid_store: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(grid_store), split="time", region=12)
    out = tmp_path / "refs"
    parchunk.build(plan, str(out))
    receipt = out / ".parchunk" / "receipts" / "w" / "1.json"
    receipt.write_text(receipt.read_text().replace(plan.fingerprint, "0" * 64))
    assert parchunk.build(plan, str(out)).built == 1


def test_receipts_account_for_every_file(grid_store: Path, tmp_path: Path) -> None:
    from parchunk.record_files import digest

    plan = parchunk.plan(str(grid_store), split="y", region=2, record_size=10)
    out = tmp_path / "refs"
    result = parchunk.build(plan, str(out))
    receipts = read_receipts(Output.open(str(out)), plan)
    assert len(receipts) == len(list(plan.partitions())) == len(result.receipts)
    seen = []
    for receipt in receipts.values():
        assert receipt.fingerprint == plan.fingerprint
        assert receipt.present + receipt.missing == receipt.expected
        assert receipt.present == sum(f.present for f in receipt.record_files)
        for file in receipt.record_files:
            path = out / receipt.array / f"refs.{file.index}.parq"
            assert file.bytes == path.stat().st_size
            assert file.digest == digest(path.read_bytes())
            table = pq.read_table(path)
            assert file.rows == table.num_rows
            assert file.present == table.num_rows - table["path"].null_count
            seen.append(path)
    assert sorted(seen) == sorted(out.rglob("*.parq"))
    newest = max(file.stat().st_mtime_ns // 1000 for file in chunk_files(grid_store))
    assert max(r.last_modified or 0 for r in receipts.values()) == newest


def test_equal_sources_give_equal_bytes_from_memory_and_disk(
    grid_store: Path, tmp_path: Path, published: Published
) -> None:
    """A MemoryStore lists in order and is walked, a local folder is not and is drained."""
    memory = MemoryStore()
    for file in grid_store.rglob("*"):
        if file.is_file():
            memory.put(f"deep/s.zarr/{file.relative_to(grid_store).as_posix()}", file.read_bytes())
    source = parchunk.Source(memory, "deep/s.zarr", grid_store.as_posix())
    wanted = None
    for split, region in (("time", 7), ("time", 24), ("y", 2), ("x", 5)):
        one, other = tmp_path / f"m{split}{region}", tmp_path / f"d{split}{region}"
        options = {"split": split, "region": region}
        walked = parchunk.build(parchunk.plan(source, **options), str(one))
        drained = parchunk.build(parchunk.plan(str(grid_store), **options), str(other))
        assert published(one) == published(other)
        assert walked.present == drained.present
        assert walked.missing == drained.missing
        wanted = wanted or walked.present
        assert walked.present == wanted
        assert all(r.ordered for r in walked.receipts if r.expected)
        assert not any(r.ordered for r in drained.receipts if r.expected)


def test_inlined_chunks_need_no_source(
    grid_store: Path, tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    source = shutil.copytree(grid_store, tmp_path / "s.zarr")
    plan = parchunk.plan(str(source), split="time", region=12, inline_threshold=1)
    result = parchunk.build(plan, str(tmp_path / "refs"))
    inlined = {r.array: r.inlined for r in result.receipts}
    assert inlined["time"] == 0
    assert sum(r.inlined for r in result.receipts) == result.present - 1
    kept = zarr.open_group(source, mode="r")
    wanted = {name: kept[name][...] for name in ("v", "w")}
    shutil.rmtree(source)
    opened = open_references(tmp_path / "refs")
    for name, values in wanted.items():
        same_bits(opened[name][...], values)


# Edges that real stores have


@pytest.fixture
def dirty() -> tuple[MemoryStore, dict[str, str]]:
    """A v3 ``/`` array ``air`` of 12 x 3 chunks with everything beside them, and the reasons."""
    store = MemoryStore()
    zarr_store = {
        "shape": [12, 3],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
    }
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    store.put("s/zarr.json", json.dumps(group).encode())
    store.put("s/air/zarr.json", json.dumps(zarr_store).encode())
    for t, x in itertools.product(range(12), range(3)):
        if (t, x) not in {(3, 1), (11, 2)}:
            store.put(f"s/air/c/{t}/{x}", b"x" * (1 + t))
    strays = {
        "c/3/1.partial": "not a chunk key",
        "c/0.tmp": "not a chunk key",
        "c/.DS_Store": "not a chunk key",
        "c/README.md": "not a chunk key",
        "c/0/0/0": "not a chunk key",
        "c/7/x": "not a chunk key",
        "c/-1/0": "not a chunk key",
        "c/0/00": "not a canonical number",
        "c/00/1": "not a canonical number",
        "c/011/2": "not a canonical number",
        "c/12/0": "outside the grid",
        "c/0/3": "outside the grid",
        "c/99999999999999999999/0": "outside the grid",
        "c/9/3": "outside the grid",
        "c/é/0": "not a chunk key",
        "c/zzz": "not a chunk key",
        "c/12/zarr.json": "not a chunk key",
    }
    for path in strays:
        store.put(f"s/air/{path}", b"stray")
    store.put("s/air/c/4", b"")  # a directory marker as obstore shows it
    strays["c/4"] = "directory marker"
    store.put("s/air/c/5/2", b"")  # a chunk of no bytes
    store.put("s/air_temp/c/0/0", b"another array's")
    return store, strays


@pytest.mark.parametrize(("split", "region"), [(0, 12), (0, 1), (0, 5), (1, 1)])
@pytest.mark.parametrize("trust", [False, True])
def test_strays_are_told_apart_and_counted_once(
    dirty: tuple[MemoryStore, dict[str, str]],
    tmp_path: Path,
    split: int,
    region: int,
    trust: bool,
) -> None:
    store, reasons = dirty
    source = parchunk.Source(store, "s", "s3://b/s")
    plan = parchunk.plan(source, split=split, region=region)
    result = parchunk.build(plan, str(tmp_path / "refs"), trust_listing=trust)
    assert (result.expected, result.present, result.missing) == (36, 33, 3)
    assert result.zero_sized == 1
    kept = {}
    files = sorted((tmp_path / "refs" / ".parchunk" / "strays").rglob("*.parquet"))
    for row in itertools.chain(*(pq.read_table(file).to_pylist() for file in files)):
        assert row["array"] == "air"
        assert row["path"] not in kept
        kept[row["path"]] = row["reason"]
    assert kept == reasons
    assert result.strays == len(reasons)
    counted: dict[str, int] = {}
    for receipt in result.receipts:
        assert sum(receipt.stray_reasons.values()) == receipt.strays
        for reason, count in receipt.stray_reasons.items():
            counted[reason] = counted.get(reason, 0) + count
    assert sum(counted.values()) == len(reasons)
    # Every listed object is a reference, a chunk of no bytes, a stray or metadata.
    listed = sum(len(page) for page in store.list("s/air"))
    assert listed == result.present + result.zero_sized + result.strays + 1
    rows = {}
    for file in sorted((tmp_path / "refs" / "air").glob("*.parq")):
        first = int(file.name.split(".")[1]) * plan.record_size
        for at, row in enumerate(pq.read_table(file).to_pylist()):
            rows[first + at] = row
    for (t, x), number in zip(itertools.product(range(12), range(3)), range(36), strict=True):
        gone = (t, x) in {(3, 1), (11, 2), (5, 2)}
        assert rows[number]["path"] == (None if gone else f"s3://b/s/air/c/{t}/{x}")
        assert rows[number]["size"] == (0 if gone else 1 + t)


def test_strays_of_a_local_store(dirty: tuple[MemoryStore, dict[str, str]], tmp_path: Path) -> None:
    store, reasons = dirty
    local = tmp_path / "s"
    for page in store.list("s"):
        for entry in page:
            if entry["path"] == "s/air/c/4":
                continue  # a file and a folder of one name cannot be
            if entry["path"] == "s/air/c/0/0/0":
                continue
            path = tmp_path / entry["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(store.get(entry["path"]).bytes()))
    result = parchunk.build(parchunk.plan(str(local), split=0, region=12), str(tmp_path / "refs"))
    assert (result.present, result.missing, result.zero_sized) == (33, 3, 1)
    assert result.strays == len(reasons) - 2


def test_strays_of_a_dotted_array(tmp_path: Path) -> None:
    store = MemoryStore()
    document = {
        "shape": [12, 3],
        "chunks": [1, 1],
        "dtype": "|u1",
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "zarr_format": 2,
    }
    store.put(".zgroup", b'{"zarr_format": 2}')
    store.put("air/.zarray", json.dumps(document).encode())
    store.put("air/.zattrs", b"{}")
    for t, x in itertools.product(range(12), range(3)):
        store.put(f"air/{t}.{x}", b"x")
    reasons = {
        "00.1": "not a canonical number",
        "0.01": "not a canonical number",
        "12.0": "outside the grid",
        "0.3": "outside the grid",
        "0.0.0": "not a chunk key",
        "0": "not a chunk key",
        "0/0": "not a chunk key",
        ".zattrs~": "not a chunk key",
        "11.2.tmp": "not a chunk key",
        "9.2x": "not a chunk key",
        "~": "not a chunk key",
        " ": "not a chunk key",
    }
    for path in reasons:
        store.put(f"air/{path}", b"stray")
    for region in (12, 1, 4):
        plan = parchunk.plan(parchunk.Source(store, "", "s3://b/s"), split=0, region=region)
        out = tmp_path / f"refs{region}"
        result = parchunk.build(plan, str(out))
        assert (result.present, result.missing, result.strays) == (36, 0, len(reasons))
        files = (out / ".parchunk" / "strays").rglob("*.parquet")
        kept = {row["path"]: row["reason"] for f in files for row in pq.read_table(f).to_pylist()}
        assert kept == reasons


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_that_begin_each_other_and_odd_ones(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    zarr_format: int,
) -> None:
    # fmt: off
    names = [
        "air", "air_temp", "air-2", "air.x", "airc", "c", "0", "1", "a b", "ä", "日本", "50%",
        "a%20b",
        "q?x=1", "h#1", "a+b", "a&b=c", "a,b", "[x]", "(y)", "{z}", "it's", 'say "hi"', "~t",
        "g/air",
        "g/air_temp", "g/c/c", "semi;colon", "star*", "$d", "@at", "!",
    ]
    # fmt: on
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=zarr_format)
    for at, name in enumerate(names):
        array = root.create_array(name, shape=(11, 2), chunks=(1, 1), dtype="i4")
        array[...] = np.arange(1, 23).reshape(11, 2) * (at + 1)
        array.attrs["at"] = at
    next(iter(chunk_files(source / "air"))).unlink()
    result = parchunk.build(parchunk.plan(str(source)), str(tmp_path / "refs"))
    assert (result.missing, result.strays) == (1, 0)
    opened, original = open_references(tmp_path / "refs"), zarr.open_group(source, mode="r")
    for at, name in enumerate(names):
        assert opened[name].attrs["at"] == at
        same_bits(opened[name][...], original[name][...])


def test_arrays_of_no_length_scalars_and_unwritten_ones(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    for zarr_format in (2, 3):
        source, out = tmp_path / f"s{zarr_format}", tmp_path / f"refs{zarr_format}"
        root = zarr.open_group(source, mode="w", zarr_format=zarr_format)
        root.create_array("none", shape=(0,), chunks=(3,), dtype="f4")
        root.create_array("none2", shape=(5, 0), chunks=(1, 3), dtype="f4")
        root.create_array("scalar", shape=(), dtype="f8")[...] = 2.5
        root.create_array("unwritten scalar", shape=(), dtype="i8", fill_value=9)
        root.create_array("unwritten", shape=(4, 4), chunks=(1, 1), dtype="i8", fill_value=9)
        part = root.create_array("part", shape=(7, 5), chunks=(3, 2), dtype="u2", fill_value=1)
        part[...] = np.arange(35).reshape(7, 5)
        result = parchunk.build(parchunk.plan(str(source)), str(out))
        assert (result.expected, result.present) == (1 + 1 + 16 + 9, 1 + 9)
        opened = open_references(out)
        for name, array in root.arrays():
            same_bits(opened[name][...], array[...])
        assert opened["none2"].shape == (5, 0)


def test_an_axis_made_far_too_long(
    tmp_path: Path, open_references: Reader, same_bits: Bits
) -> None:
    """As ARCO-ERA5: preallocated, with data in the middle only."""
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    array = root.create_array(
        "t", shape=(200_000, 2), chunks=(1, 2), dtype="f4", fill_value=np.nan, compressors=None
    )
    array[50_000:50_300] = np.arange(600).reshape(300, 2)
    plan = parchunk.plan(str(source), region=10_000)
    result = parchunk.build(plan, str(tmp_path / "refs"))
    assert (result.expected, result.present) == (200_000, 300)
    assert [r.present for r in sorted(result.receipts, key=lambda r: r.region or 0)] == [
        300 if region == 5 else 0 for region in range(20)
    ]
    opened = open_references(tmp_path / "refs")["t"]
    same_bits(opened[49_990:50_310], array[49_990:50_310])
    same_bits(opened[199_990:], array[199_990:])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("beside", [False, True])
def test_a_lone_array_is_a_source(
    tmp_path: Path,
    open_references: Reader,
    same_bits: Bits,
    zarr_format: int,
    beside: bool,
) -> None:
    source = tmp_path / "data" / "lone.zarr"
    array = zarr.create_array(
        source, shape=(10, 4), chunks=(1, 2), dtype="i4", zarr_format=zarr_format
    )
    array[...] = np.arange(1, 41).reshape(10, 4)
    # The folder beside the array is where anybody would put its references.
    out = tmp_path / "data" / "refs" if beside else tmp_path / "refs"
    result = parchunk.build(parchunk.plan(str(source)), str(out))
    assert result.present == 20
    same_bits(open_references(out)["lone.zarr"][...], array[...])
    with pytest.raises(parchunk.InputError, match="inside SRC"):
        parchunk.build(parchunk.plan(str(source)), str(source / "refs"))


def test_a_group_is_a_source(
    tmp_path: Path, open_references: Reader, same_bits: Bits, tree: Any
) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    for name in ("a/b/t", "a/b/c/t", "a/u", "v"):
        root.create_array(name, shape=(6,), chunks=(1,), dtype="i4")[...] = np.arange(1, 7)
    out = tmp_path / "refs"
    plan = parchunk.plan(str(source), group="/a/b/")
    result = parchunk.build(plan, str(out))
    assert {r.array for r in result.receipts} == {"t", "c/t"}
    opened = open_references(out)
    same_bits(opened["c/t"][...], np.arange(1, 7, dtype="i4"))
    assert parchunk.build(plan, str(out)).built == 0
    whole = tree(source)
    for inside in (source / "refs", source / "a" / "refs", source / "a" / "b" / "refs", tmp_path):
        with pytest.raises(parchunk.InputError, match="SRC"):
            parchunk.build(plan, str(inside))
    assert tree(source) == whole
    lone = parchunk.build(parchunk.plan(str(source), group="a/u"), str(tmp_path / "lone"))
    assert [r.array for r in lone.receipts] == ["u"]


def test_includes_and_excludes(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    for name in ("air", "air_temp", "g/air", "rain"):
        root.create_array(name, shape=(3,), chunks=(1,), dtype="i4")[...] = 1
    plan = parchunk.plan(str(source), include=["air*", "g/*"], exclude=["*_temp"])
    result = parchunk.build(plan, str(tmp_path / "refs"))
    assert {r.array for r in result.receipts} == {"air", "g/air"}


# When the source moves


def test_metadata_that_changes_meanwhile_is_not_published(tmp_path: Path) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    array = root.create_array("t", shape=(6,), chunks=(1,), dtype="i4")
    array[...] = 1
    plan = parchunk.plan(str(source))
    array.resize((8,))
    with pytest.raises(parchunk.SourceChangedError, match="nothing was published"):
        parchunk.build(plan, str(out))
    assert not (out / ".zmetadata").exists()
    grown = parchunk.plan(str(source))
    with pytest.raises(parchunk.InputError, match=r"another plan \(region length 6 there, 8 now"):
        parchunk.build(grown, str(out))
    result = parchunk.build(grown, str(out), overwrite=True)
    assert (result.expected, result.present) == (8, 6)


def test_overwrite_leaves_nothing_of_the_old_build(tmp_path: Path, tree: Any) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    root.create_array("t", shape=(60,), chunks=(1,), dtype="i4")[...] = 1
    root.create_array("g/u", shape=(60,), chunks=(1,), dtype="i4")[...] = 1
    parchunk.build(parchunk.plan(str(source), region=10, record_size=10), str(out))
    assert (out / "t" / "refs.5.parq").exists()
    (out / "notes.txt").write_text("mine")
    (out / "t" / "mine.parq").write_text("mine")
    plan = parchunk.plan(str(source), region=60, record_size=60, include=["t"])
    with pytest.raises(parchunk.InputError, match="another plan"):
        parchunk.build(plan, str(out))
    assert (out / "t" / "refs.5.parq").exists()
    parchunk.build(plan, str(out), overwrite=True)
    assert sorted(path for path in tree(out) if not path.startswith(".parchunk")) == [
        ".zmetadata",
        "notes.txt",
        "t",
        "t/mine.parq",
        "t/refs.0.parq",
    ]


def test_a_chunk_that_changes_before_it_is_inlined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=2)
    root.create_array("t", shape=(6,), chunks=(1,), dtype="i4", compressors=None)[...] = 1
    monkeypatch.setattr(parchunk.Source, "get", _without(parchunk.Source.get, "t/3"))
    with pytest.raises(parchunk.SourceError, match=r"t/3 was listed with 4 bytes and now is gone"):
        parchunk.build(parchunk.plan(str(source), inline_threshold=4), str(tmp_path / "refs"))
    assert not (tmp_path / "refs" / ".zmetadata").exists()


def _without(get: Any, gone: str) -> Any:
    return lambda self, key: None if key == gone else get(self, key)


def test_ranks_of_the_dirty_store_are_what_strays_stand_between() -> None:
    """Why ``c/4`` and its like need no chunk beside them: keys stand in text order."""
    assert rank_of((12, 3), (10, 0)) < rank_of((12, 3), (2, 0))
