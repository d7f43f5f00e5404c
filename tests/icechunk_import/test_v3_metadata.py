"""v2 sources as v3: read by zarr-python and xarray on both sides, and compared."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray
import zarr
from packaging.version import Version

import icechunk
import parchunk

# zarr-python warns of numcodecs' codecs and of data types that no v3 specification has yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
    pytest.mark.filterwarnings("ignore:The codec `"),
    pytest.mark.filterwarnings("ignore:The data type"),
    pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning"),
]
SHAPE, CHUNKS = (7, 5), (2, 3)
NUMBERS = np.random.default_rng(3).integers(0, 90, SHAPE)

#: In a group of its own: xarray before 2026.4 opens none that holds complex numbers with a mask.
COMPLEX = "apart/complex"
CASES: dict[str, dict[str, Any]] = {
    "plain": {"dtype": "<i4"},
    "big": {"dtype": ">f8"},
    "byte": {"dtype": "|u1", "compressors": numcodecs.Blosc(shuffle=-1)},
    "auto_shuffle": {"dtype": "<f4", "compressors": numcodecs.Blosc(shuffle=-1)},
    "bit_shuffle": {"dtype": ">i2", "compressors": numcodecs.Blosc("zstd", 3, 2)},
    "none": {"dtype": "<i2", "compressors": None},
    "zlib": {"dtype": "<i2", "compressors": numcodecs.Zlib(3)},
    "gzip": {"dtype": "<i2", "compressors": numcodecs.GZip(3)},
    "zstd": {"dtype": "<i2", "compressors": numcodecs.Zstd(3, checksum=True)},
    "lz4": {"dtype": "<i2", "compressors": numcodecs.LZ4()},
    "bz2": {"dtype": "<i2", "compressors": numcodecs.BZ2()},
    "lzma": {"dtype": "<i2", "compressors": numcodecs.LZMA()},
    "f_order": {"dtype": "<i4", "order": "F"},
    "f_order_big": {"dtype": ">i4", "order": "F", "compressors": numcodecs.Zlib(1)},
    "delta": {"dtype": "<i4", "filters": [numcodecs.Delta("<i4")]},
    "delta_f_order": {"dtype": "<i4", "order": "F", "filters": [numcodecs.Delta("<i4")]},
    "delta_narrow": {"dtype": "<i8", "filters": [numcodecs.Delta("<i8", "<i2")]},
    "scaled": {"dtype": "<f8", "filters": [numcodecs.FixedScaleOffset(5, 10, "<f8", "<i2")]},
    "quantized": {"dtype": "<f8", "filters": [numcodecs.Quantize(1, "<f8")]},
    "bit_round": {"dtype": "<f4", "filters": [numcodecs.BitRound(7)]},
    "packed": {"dtype": "|b1", "filters": [numcodecs.PackBits()]},
    "shuffled": {
        "dtype": "<i4",
        "filters": [numcodecs.Shuffle(4)],
        "compressors": numcodecs.Zlib(1),
    },
    "delta_shuffled": {
        "dtype": "<i4",
        "filters": [numcodecs.Delta("<i4"), numcodecs.Shuffle(4)],
        "compressors": numcodecs.Zlib(1),
    },
    "summed": {"dtype": "<i4", "filters": [numcodecs.CRC32()], "compressors": None},
    "fletched": {"dtype": "<i4", "filters": [numcodecs.Fletcher32()], "compressors": None},
    COMPLEX: {"dtype": "<c16", "fill_value": 1 + 2j},
    "half": {"dtype": "<f2", "fill_value": np.inf},
    "bool": {"dtype": "|b1", "fill_value": True},
    "time": {"dtype": "<M8[s]", "fill_value": np.datetime64("NaT", "s")},
    "span": {"dtype": ">m8[ms]", "fill_value": np.timedelta64(3, "ms")},
    "bytes": {"dtype": "|S5", "fill_value": b"ab"},
    "text": {"dtype": "<U4", "fill_value": "-"},
    "text_big": {"dtype": ">U4", "fill_value": ""},
    "nan": {"dtype": "<f4", "fill_value": np.nan},
    "minus": {"dtype": "<f4", "fill_value": -9999},
    "masked": {"dtype": "<i2", "fill_value": 17},
    "null": {"dtype": "<f4", "fill_value": None},
    "null_int": {"dtype": "<i4", "fill_value": None, "attributes": {"_FillValue": 17}},
    "null_float": {"dtype": "<f4", "fill_value": None, "attributes": {"missing_value": 17.0}},
    "strings": {"dtype": str, "fill_value": ""},
    "strings_null": {"dtype": str, "fill_value": None},
    "slash": {"dtype": "<i4", "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("v2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        icechunk.set_logs_filter("error")
        root = zarr.open_group(folder / "source", mode="w", zarr_format=2)
        root.attrs["title"] = "two"
        inner = root.create_group("inner", attributes={"level": 2})
        inner.create_array("x", shape=(3,), chunks=(2,), dtype="<i4")[...] = 1
        for name, case in CASES.items():
            options = {"fill_value": 0, "attributes": {}} | case
            options["attributes"] = {
                "_ARRAY_DIMENSIONS": [f"{name}_y", f"{name}_x"],
                "units": "m",
            } | options["attributes"]
            array = root.create_array(name, shape=SHAPE, chunks=CHUNKS, **options)
            values = NUMBERS.astype(str) if case["dtype"] is str else NUMBERS
            array[:6] = values[:6].astype(array.dtype) if case["dtype"] is not str else values[:6]
        parchunk.build(parchunk.plan(str(folder / "source")), str(folder / "out"))
        parchunk.to_icechunk(str(folder / "out"), str(folder / "repo"))
    return folder / "source", folder / "repo"


@pytest.mark.parametrize("name", CASES)
def test_zarr_reads_the_same_bits(name, imported, opened):
    source, repo = imported
    theirs = zarr.open_group(source, mode="r")[name]
    ours = opened(repo)[name]
    assert ours.metadata.zarr_format == 3
    assert ours.shape == SHAPE
    assert ours.chunks == CHUNKS
    assert ours.metadata.dimension_names == (f"{name}_y", f"{name}_x")
    assert ours.attrs["units"] == "m"
    expected, got = theirs[...], ours[...]
    if got.dtype.kind in "OT":
        assert got.tolist() == expected.tolist()
    else:
        native = expected.dtype.newbyteorder("=")
        assert got.dtype == native
        assert got.tobytes() == expected.astype(native).tobytes()


@pytest.mark.parametrize("name", CASES)
def test_xarray_masks_and_decodes_the_same(name, imported):
    source, repo = imported
    if name in ("bytes", "text", "text_big", "strings"):
        pytest.skip("xarray masks the fill value of v2 text, and has no way to say so in v3")
    if name == COMPLEX and Version(xarray.__version__) < Version("2026.4"):
        pytest.skip("before 2026.4 xarray has no masks of complex numbers in v3")
    group, _, variable = name.rpartition("/")
    drop = [other for other in CASES if other != name]
    how = {"consolidated": False, "chunks": None, "group": group, "drop_variables": drop}
    theirs = xarray.open_zarr(source, **how)
    store = parchunk.open_icechunk(str(repo)).readonly_session("main").store
    ours = xarray.open_zarr(store, **how)
    name = variable
    assert theirs[name].dims == ours[name].dims
    expected, got = theirs[name].values, ours[name].values
    if expected.dtype.kind in "OT" or got.dtype.kind in "OT":
        assert [str(v) for v in got.ravel()] == [str(v) for v in expected.ravel()]
    else:
        np.testing.assert_array_equal(got, expected)
    assert theirs.attrs == ours.attrs
    kept = {k: v for k, v in theirs[name].attrs.items() if k != "_FillValue"}
    assert {k: v for k, v in ours[name].attrs.items() if k != "_FillValue"} == kept


def test_groups_keep_their_attributes(imported, opened):
    _, repo = imported
    assert opened(repo).attrs.asdict() == {"title": "two"}
    assert opened(repo)["inner"].attrs.asdict() == {"level": 2}


@pytest.fixture
def edited(tmp_path, build) -> Any:
    """References of a v2 store whose .zarray of the array ``a`` (and .zattrs) are changed."""

    def make(zattrs: str | None = None, group: str | None = None, **changes: Any) -> str:
        root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
        root.create_array("a", shape=(4,), chunks=(2,), dtype="<i4", fill_value=0)[...] = 1
        root.create_array("b", shape=(4,), chunks=(2,), dtype="<i4", fill_value=0)[...] = 2
        path = tmp_path / "source/a/.zarray"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        if zattrs is not None:
            (tmp_path / "source/a/.zattrs").write_text(zattrs)
        if group is not None:
            (tmp_path / "source/.zattrs").write_text(group)
        return build(tmp_path / "source")

    return make


def test_names_of_some_dimensions_stay(edited, opened, tmp_path):
    out = edited(zattrs='{"_ARRAY_DIMENSIONS": [null, "x"]}', shape=[4, 1], chunks=[2, 1])
    parchunk.to_icechunk(out, str(tmp_path / "repo"))
    found = opened(tmp_path / "repo")["a"]
    assert found.metadata.dimension_names == (None, "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"filters": [{"id": "categorize", "labels": ["a"], "dtype": "<U1"}]}, "codec categorize"),
        ({"dtype": ">i4", "filters": [{"id": "delta", "dtype": ">i4"}]}, "big-endian elements"),
        (
            {
                "dtype": "<f8",
                "filters": [{"id": "quantize", "digits": 1, "dtype": "<f8", "astype": "<f4"}],
            },
            "filter 'quantize' to another data type",
        ),
        (
            {"dtype": "|u1", "filters": [{"id": "delta", "dtype": "|u1", "astype": "<i4"}]},
            "a filter that makes <i4 of single bytes",
        ),
        ({"filters": [{"id": "delta", "dtype": ">i4"}]}, "filter 'delta' of big-endian elements"),
        (
            {"dtype": "<f4", "filters": [{"id": "delta", "dtype": "<i4"}]},
            "filter 'delta' that gives back elements of <i4 where they are <f4",
        ),
        ({"dtype": [["x", ">i4"]]}, "structured dtype with big-endian fields"),
        (
            {"filters": [{"id": "zlib", "level": 1}, {"id": "delta", "dtype": "<i4"}]},
            "'delta' after one that makes bytes",
        ),
    ],
)
def test_what_v3_cannot_say_is_refused_by_name_before_anything_is_written(
    changes, said, edited, tmp_path
):
    out = edited(**changes)
    with pytest.raises(parchunk.UnsupportedError, match=f"array 'a' cannot be .*{said}"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert not (tmp_path / "repo").exists()


def test_all_refusals_are_named_at_once(edited, tmp_path):
    out = edited(zattrs='{"x": NaN}', group='{"y": [1, Infinity]}')
    with pytest.raises(parchunk.UnsupportedError) as told:
        parchunk.to_icechunk(out, str(tmp_path / "repo"))
    assert "2 arrays" in str(told.value)
    assert "--drop-non-finite" in str(told.value)


def test_half_a_surrogate_pair_is_refused_by_name(edited, tmp_path):
    out = edited(zattrs='{"x": "\\ud800"}')
    with pytest.raises(parchunk.UnsupportedError, match=r"array 'a' cannot be .*surrogate"):
        parchunk.to_icechunk(out, str(tmp_path / "repo"), drop_non_finite=True)
    assert not (tmp_path / "repo").exists()


def test_attributes_that_json_has_no_word_for_can_be_left_out(edited, opened, tmp_path):
    out = edited(zattrs='{"missing_value": NaN, "units": "K"}', group='{"y": [1, Infinity]}')
    result = parchunk.to_icechunk(out, str(tmp_path / "repo"), drop_non_finite=True)
    assert result.notes == (
        "/: left out the attributes y: NaN and infinities",
        "a: left out the attributes missing_value: NaN and infinities",
    )
    assert opened(tmp_path / "repo")["a"].attrs.asdict() == {"units": "K", "_FillValue": 0}
    assert opened(tmp_path / "repo").attrs.asdict() == {}


@pytest.mark.parametrize(
    ("dtype", "fill", "said"),
    [
        ("S3", b"ab", "x"), ("<U3", None, ""), ("str", "", "x"), ("<M8[s]", None, 2),
        (">m8[s]", np.timedelta64(5, "s"), 2), ("<f4", None, "none"),
        ("<i4", None, [2, 3]), ("<f4", None, [3, 2]), ("<i4", None, []), ("<f4", None, [None]),
        ("<i4", None, 3.5), ("<i4", None, "3"), ("<f4", None, "3"), ("?", None, 2),
    ],
)  # fmt: skip
def test_an_attribute_that_no_group_of_v3_may_have_is_left_out(
    build, opened, tmp_path, dtype, fill, said
):
    """In v2 xarray passes over it, or takes the array's fill value instead.

    Of several numbers it masks each, for which v3 has no spelling: only the note tells that.
    """
    attributes = {"_ARRAY_DIMENSIONS": ["x"], "_FillValue": said, "units": "1"}
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    kind = str if dtype == "str" else np.dtype(dtype)
    array = root.create_array(
        "v", shape=(3,), chunks=(2,), dtype=kind, fill_value=fill, attributes=attributes
    )
    array[:] = np.array([1, 3, 4]).astype(kind)
    result = parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo"))
    assert [note[:37] for note in result.notes] == ["v: left out the attribute _FillValue,"]
    assert opened(tmp_path / "repo")["v"].attrs.asdict() == {"units": "1"}
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    xarray.open_zarr(store, consolidated=False, chunks=None).load()


@pytest.mark.parametrize(
    ("dtype", "said", "fill"), [
        ("u1", "false", 255), ("<u2", "false", 7), (">u2", "false", 7), (">u2", "false", 65534),
        (">u4", "false", 7), (">u4", "false", 2**32 - 2), (">u8", "false", 7),
        (">u8", "false", 2**64 - 2), (">i2", "true", -1),
    ],
)  # fmt: skip
def test_fill_values_are_of_the_sign_that_xarray_reads(build, tmp_path, dtype, said, fill):
    attributes = {"_ARRAY_DIMENSIONS": ["x"], "_Unsigned": said}
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    array = root.create_array(
        "v", shape=(4,), chunks=(2,), dtype=dtype, fill_value=fill, attributes=attributes
    )
    array[:3] = np.array([1, fill, 200], dtype)
    parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo"))
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    with (
        xarray.open_zarr(store, consolidated=False, chunks=None) as ours,
        xarray.open_zarr(tmp_path / "source", consolidated=False, chunks=None) as theirs,
    ):
        xarray.testing.assert_identical(ours.load(), theirs.load())
        assert ours["v"].isnull().to_numpy().tolist() == [False, True, False, True]


@pytest.mark.parametrize("dtype", ["<i4", ">u2", "<f4", ">f8", "<c8", "?"])
@pytest.mark.parametrize("said", [[1], [[1]], [1.0], [True], 1])
def test_a_number_in_a_list_masks_as_it_does_in_the_source(build, tmp_path, dtype, said):
    attributes = {"_ARRAY_DIMENSIONS": ["x"], "_FillValue": said}
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    array = root.create_array(
        "v", shape=(2,), chunks=(2,), dtype=dtype, fill_value=None, attributes=attributes
    )
    array[:] = np.array([1, 0], dtype)
    assert parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo")).notes == ()
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    with (
        xarray.open_zarr(store, consolidated=False, chunks=None) as ours,
        xarray.open_zarr(tmp_path / "source", consolidated=False, chunks=None) as theirs,
    ):
        xarray.testing.assert_identical(ours.load(), theirs.load())
        assert ours["v"].isnull().to_numpy().tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:variable 'v' has multiple fill values")
@pytest.mark.parametrize(
    ("dtype", "said", "number", "kept"),
    [
        ("u1", "false", -1, -1), ("u1", "false", -1.0, -1), ("u1", "false", 255, -1),
        ("<u2", "false", -2, -2), (">u4", "false", -3, -3), ("<u8", "false", -(2**63), -(2**63)),
        ("i1", "true", 255, -1), ("i1", "true", -128, -128), ("<i2", "true", 7, 7),
        ("u1", "false", 300, None), ("u1", "false", -129, None), ("i1", "true", 256, None),
        ("<i2", "true", float("inf"), None), ("<i4", None, float("inf"), None),
        ("u1", None, 300, 300),
    ],
)  # fmt: skip
def test_attributes_that_mask_by_what_unsigned_says(build, tmp_path, dtype, said, number, kept):
    """One that is no number of the type's bits is left out: xarray opens no group that has it."""
    attributes = {"_ARRAY_DIMENSIONS": ["x"], "_FillValue": number, "missing_value": 3}
    attributes |= {} if said is None else {"_Unsigned": said}
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    array = root.create_array(
        "v", shape=(4,), chunks=(2,), dtype=dtype, fill_value=None, attributes=attributes
    )
    masked = np.array(0 if kept is None else kept % 256**array.dtype.itemsize, "u8")
    array[:3] = np.array([1, masked, 3], "u8").astype(dtype)
    plain = said is None and kept is not None
    result = parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo"))
    assert [note[:37] for note in result.notes] == ["v: left out the attribute _FillValue,"] * (
        kept is None
    )
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    with xarray.open_zarr(store, consolidated=False, chunks=None) as ours:
        assert ours["v"].encoding.get("_FillValue") == kept
        found = ours["v"].isnull().to_numpy().tolist()
    assert found == [False, kept is not None and not plain, True, False]
    if kept == number:  # of others xarray does not open the source
        with (
            xarray.open_zarr(store, consolidated=False, chunks=None) as ours,
            xarray.open_zarr(tmp_path / "source", consolidated=False, chunks=None) as theirs,
        ):
            xarray.testing.assert_identical(ours.load(), theirs.load())


@pytest.mark.parametrize(("fill", "said"), [(1, True), (256, True), (0, False), (-1, False)])
def test_a_mask_that_xarray_swaps_in_the_source_is_told(build, tmp_path, fill, said):
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    attributes = {"_ARRAY_DIMENSIONS": ["x"], "_Unsigned": "true"}
    array = root.create_array(
        "v", shape=(4,), chunks=(2,), dtype=">i2", fill_value=fill, attributes=attributes
    )
    array[...] = np.array([0, 1, 256, -1])
    result = parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo"))
    assert [note.partition(",")[0] for note in result.notes] == [f"v: masks {fill}"] * said
    store = parchunk.open_icechunk(str(tmp_path / "repo")).readonly_session("main").store
    found = []
    for place in (store, tmp_path / "source"):
        with xarray.open_zarr(place, consolidated=False, chunks=None) as opened:
            found.append(opened["v"].isnull().to_numpy().tolist())
    assert found[0] == [number == fill for number in (0, 1, 256, -1)]
    assert (found[0] != found[1]) is said


def test_little_endian_structs(build, opened, tmp_path):
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    dtype = np.dtype([("a", "<i4"), ("b", "<f8")])
    values = np.array([(1, 2.5), (3, 4.5), (5, 6.5)], dtype)
    root.create_array("s", shape=(3,), chunks=(2,), dtype=dtype, fill_value=None)[...] = values
    parchunk.to_icechunk(build(tmp_path / "source"), str(tmp_path / "repo"))
    assert opened(tmp_path / "repo")["s"][...].tolist() == values.tolist()


def test_whole_shards_keep_their_codecs(tmp_path, opened, assert_equal):
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=3)
    array = root.create_array(
        "a", shape=(9, 8), chunks=(1, 2), shards=(3, 4), dtype="f4", dimension_names=("t", "x")
    )
    array[:7] = np.arange(56).reshape(7, 8)
    plan = parchunk.plan(str(tmp_path / "source"), split="t", region=3, shards="whole")
    parchunk.build(plan, str(tmp_path / "out"))
    parchunk.to_icechunk(str(tmp_path / "out"), str(tmp_path / "repo"))
    ours = opened(tmp_path / "repo")
    assert ours["a"].shards == (3, 4)
    assert ours["a"].chunks == (1, 2)
    assert_equal(zarr.open_group(tmp_path / "source", mode="r"), ours)
    np.testing.assert_array_equal(ours["a"][4, 3:5], array[4, 3:5])
