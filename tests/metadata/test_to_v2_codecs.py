"""v3 codecs as v2 compressors, filters and orders, read by zarr-python bit for bit."""

import numpy as np
import pytest
import zarr.codecs as zc
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metadata.made_arrays import bits, sample, write

from parchunk.metadata import (
    convert_array,
    read_hierarchy,
)
from parchunk.metadata.codecs import convert_pipeline
from parchunk.metadata.data_type import read_data_type
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.v3 import parse_codecs, parse_v3_array

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]


COMPRESSORS = {
    "none": [],
    "gzip": [zc.GzipCodec(level=3)],
    "zstd": [zc.ZstdCodec(level=3)],
    "zstd with checksum": [zc.ZstdCodec(level=-1, checksum=True)],
    "crc32c": [zc.Crc32cCodec()],
    "gzip and crc32c": [zc.GzipCodec(level=1), zc.Crc32cCodec()],
    "three": [zc.GzipCodec(level=1), zc.ZstdCodec(level=0), zc.Crc32cCodec()],
    **{
        f"blosc {cname} {shuffle}": [zc.BloscCodec(cname=cname, shuffle=shuffle, typesize=4)]
        for cname in ("lz4", "lz4hc", "blosclz", "zlib", "zstd")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    },
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressors(store, reread, name) -> None:
    array = write(store, sample("<f4", (7, 9)), (3, 4), compressors=COMPRESSORS[name])
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert len(document["filters"] or []) == max(len(COMPRESSORS[name]) - 1, 0)
    assert (document["compressor"] is None) == (name == "none")
    assert "typesize" not in (document["compressor"] or {})


def test_compressors_are_spelled_as_v2_does(store, reader_of) -> None:
    write(store, sample("<f4", (7, 9)), (3, 4), compressors=COMPRESSORS["blosc zstd bitshuffle"])
    (array,) = read_hierarchy(reader_of(store)).arrays
    expected = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0}
    assert convert_array(array)["compressor"] == expected


NUMCODECS = {
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    "lz4": {"acceleration": 1},
    "zstd": {"level": 1},
    "zlib": {"level": 1},
    "gzip": {"level": 1},
    "bz2": {"level": 1},
    "lzma": {},
    "shuffle": {"elementsize": 4},
    "crc32": {},
    "crc32c": {},
    "adler32": {},
    "fletcher32": {},
    "jenkins_lookup3": {},
    "delta": {"dtype": "<u4"},
    "fixedscaleoffset": {"offset": 0, "scale": 1, "dtype": "<u4", "astype": "<u4"},
    "astype": {"encode_dtype": "<u8", "decode_dtype": "<u4"},
}


FILTERS = {"delta", "fixedscaleoffset", "astype"}


@pytest.mark.parametrize("name", NUMCODECS)
def test_numcodecs(reader_of, objects_of, reread, store, name) -> None:
    codec = {"name": f"numcodecs.{name}", "configuration": NUMCODECS[name]}
    where = "filters" if name in FILTERS else "compressors"
    array = write(store, sample("<u4", (7, 9)) % 1000, (3, 4), **{where: [codec]})
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    used = (document["filters"] or [None])[0] if name in FILTERS else document["compressor"]
    assert used["id"] == name


def test_lossy_filters(store, reread) -> None:
    codecs = [
        {"name": "numcodecs.bitround", "configuration": {"keepbits": 3}},
        {"name": "numcodecs.quantize", "configuration": {"digits": 2, "dtype": "<f4"}},
    ]
    data = np.random.default_rng(3).normal(size=(7, 9)).astype("<f4")
    array = write(store, data, (3, 4), filters=codecs, compressors=[zc.GzipCodec()])
    again, document = reread(store)
    assert bits(again[...]) == bits(array[...])
    assert [item["id"] for item in document["filters"]] == ["bitround", "quantize"]


def _numcodec(name: str, **configuration) -> dict:
    return {"name": f"numcodecs.{name}", "configuration": configuration}


@pytest.mark.parametrize(
    ("data_type", "endian", "filters", "said"),
    [
        ("int32", "little", [_numcodec("delta", dtype="<u4")], ""),
        ("int32", "little", [_numcodec("delta", dtype=">i4")], "big-endian elements"),
        ("float32", "little", [_numcodec("delta", dtype="<i4")], "gives back elements of <i4"),
        (
            "float64",
            "little",
            [_numcodec("fixedscaleoffset", offset=0, scale=10, dtype="<f8", astype=">i2")],
            "big-endian elements",
        ),
        (
            "uint8",
            "big",
            [_numcodec("astype", encode_dtype="<i8", decode_dtype="|u1")],
            "an array filter with big-endian elements",
        ),
        (
            "float32",
            "little",
            [_numcodec("quantize", digits=1, dtype="<f4", astype="<f8")],
            "'quantize' to another data type",
        ),
        (
            "float64",
            "little",
            [
                _numcodec("astype", encode_dtype="<f4", decode_dtype="<f8"),
                _numcodec("quantize", digits=1),
            ],
            "codec 'quantize' without its dtype",
        ),
        ("int32", "little", [_numcodec("delta", dtype="nope")], "with the dtype nope"),
    ],
)
def test_filters_that_v2_reads_otherwise_are_refused(
    zarr_json, data_type, endian, filters, said
) -> None:
    """What v3 converts by value, v2 takes bit by bit."""
    serializer = {"name": "bytes", "configuration": {"endian": endian}}
    array = parse_v3_array(
        "a", zarr_json(data_type=data_type, fill_value=0, codecs=[*filters, serializer])
    )
    if not said:
        assert convert_array(array)["filters"] == [{"id": "delta", "dtype": "<u4"}]
        return
    with pytest.raises(UnsupportedFeatureError, match=said):
        convert_array(array)


def test_filters_of_another_type_of_the_same_bits(store, reread) -> None:
    codec = _numcodec("delta", dtype="<i8")
    array = write(store, sample("<M8[s]", (7, 9)), (3, 4), filters=[codec])
    again, _ = reread(store)
    assert bits(again[...]) == bits(array[...])


def test_packbits(store, reread) -> None:
    filters = [{"name": "numcodecs.packbits", "configuration": {}}]
    array = write(store, sample("bool", (8, 9)), (4, 3), filters=filters)
    again, _ = reread(store)
    assert bits(again[...]) == bits(array[...])


def test_bare_names_are_numcodecs_own(zarr_json) -> None:
    codecs = [
        {"name": "delta", "configuration": {"dtype": "<f4"}},
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "shuffle", "configuration": {}},
        {"name": "zlib", "configuration": {"level": 1}},
    ]
    document = convert_array(parse_v3_array("a", zarr_json(codecs=codecs)))
    assert document["filters"] == [
        {"id": "delta", "dtype": "<f4"},
        {"id": "shuffle", "elementsize": 4},
    ]
    assert document["compressor"] == {"id": "zlib", "level": 1}


@pytest.mark.parametrize("name", ["bytes", "transpose", "gzip", "zstd", "blosc"])
def test_configurations_that_are_not_known_are_refused(zarr_json, name) -> None:
    """They may mean anything, and the format says not to read on."""
    fields = {"bytes": {"endian": "little"}, "transpose": {"order": [0, 1]}}.get(name, {})
    plain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    odd = {"name": name, "configuration": fields | {"odd": 1}}
    codecs = {"bytes": [odd], "transpose": [odd, *plain]}.get(name, [*plain, odd])
    with pytest.raises(UnsupportedFeatureError, match=rf"'{name}' with .* its own kind \('odd'\)"):
        convert_array(parse_v3_array("a", zarr_json(codecs=codecs)))


@settings(deadline=None)
@given(st.data())
def test_transposes_that_move_nothing_are_taken(data) -> None:
    """The memory order of NumPy itself is the oracle."""
    chunks = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    axes = data.draw(st.permutations(range(len(chunks))))
    codecs = parse_codecs(
        [
            {"name": "transpose", "configuration": {"order": list(axes)}},
            {"name": "bytes", "configuration": {"endian": "little"}},
        ]
    )
    values = np.arange(np.prod(chunks)).reshape(chunks)
    stored = values.transpose(axes).ravel().tolist()
    try:
        order = convert_pipeline(codecs, chunks, read_data_type("int32")).order
    except UnsupportedFeatureError:
        assert stored not in (values.ravel("C").tolist(), values.ravel("F").tolist())
        return
    assert stored == values.ravel(order).tolist()


def test_transposes_are_composed(store, reread) -> None:
    filters = [zc.TransposeCodec(order=(1, 2, 0)), zc.TransposeCodec(order=(1, 0, 2))]
    array = write(store, sample("<i4", (3, 4, 5)), (2, 2, 3), filters=filters)
    again, document = reread(store)
    assert document["order"] == "F"
    assert bits(again[...]) == bits(array[...])


def test_filters_after_a_transpose(reread, store) -> None:
    delta = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    transpose = zc.TransposeCodec(order=(1, 0))
    array = write(store, sample("<i4", (6, 8)), (3, 4), filters=[transpose, delta])
    again, _ = reread(store)
    assert bits(again[...]) == bits(array[...])
