"""Arrays that v2 cannot express: each refused by name, with the feature and what to do."""

import pickle
import sys
import warnings
from dataclasses import replace

import pytest

from parchunk.errors import UnsupportedError
from parchunk.metadata import (
    Hierarchy,
    UnsupportedArraysError,
    convert_array,
    kerchunk_metadata,
    read_hierarchy,
    refusals,
    require_supported,
)
from parchunk.metadata.v3 import parse_v3_array

# zarr-python warns of data types and codecs that have no specification yet
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


BIG = {"name": "bytes", "configuration": {"endian": "big"}}


DELTA = {"name": "numcodecs.delta", "configuration": {"dtype": "<f4"}}


TURN = {"name": "transpose", "configuration": {"order": [1, 0]}}


CHECKSUM = {"name": "crc32c"}


def sharding(**changes) -> dict:
    """The codec of shards of [5, 6], with changes."""
    whole = {
        "chunk_shape": [5, 3],
        "codecs": [LITTLE],
        "index_codecs": [LITTLE, CHECKSUM],
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": {**whole, **changes}}


SHARDING = sharding(codecs=[sharding()])


REFUSED = {
    "nested shards": ({"codecs": [SHARDING]}, "nested shards"),
    "shards, then compressed": (
        {"codecs": [sharding(), "crc32c"]},
        "sharded with other codecs around the shards ('crc32c')",
    ),
    "a filter, then shards": ({"codecs": [TURN, sharding()]}, "('transpose')"),
    "a compressed index": (
        {"codecs": [sharding(index_codecs=[LITTLE, {"name": "zstd"}])]},
        "shard index codecs ['bytes', 'zstd']",
    ),
    "an index of no byte order": (
        {"codecs": [sharding(index_codecs=["bytes"])]},
        "a shard index with the byte order None",
    ),
    "shards of a kind to come": (
        {"codecs": [sharding(order="morton")]},
        "shards with a configuration of their own kind ('order')",
    ),
    "an index in the middle": (
        {"codecs": [sharding(index_location="middle")]},
        "shard index location middle",
    ),
    "inner codecs that v2 lacks": (
        {"codecs": [sharding(codecs=[LITTLE, {"name": "zfp2000"}])]},
        "codec 'zfp2000'",
    ),
    "an inner transpose": (
        {
            "shape": [4, 4, 4],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2, 2]}},
            "codecs": [
                sharding(
                    chunk_shape=[2, 2, 2],
                    codecs=[{"name": "transpose", "configuration": {"order": [1, 0, 2]}}, LITTLE],
                )
            ],
        },
        "neither C nor F order",
    ),
    "unknown codec": ({"codecs": [LITTLE, {"name": "zfp2000"}]}, "codec 'zfp2000'"),
    "a codec that v2 lacks": (
        {"codecs": [{"name": "cast_value", "configuration": {"data_type": "int8"}}, LITTLE]},
        "codec 'cast_value'",
    ),
    "another packbits": ({"codecs": ["packbits"]}, "codec 'packbits'"),
    "no serializer": ({"codecs": ["crc32c"]}, "no valid pipeline"),
    "two serializers": ({"codecs": [LITTLE, LITTLE]}, "no valid pipeline"),
    "wrong order": ({"codecs": ["crc32c", LITTLE]}, "no valid pipeline"),
    "big endian after a filter": ({"codecs": [DELTA, BIG]}, "big-endian"),
    "filter, then transpose": ({"codecs": [DELTA, TURN, LITTLE]}, "transpose after a filter"),
    "no byte order": ({"codecs": ["bytes"]}, "without the byte order"),
    "middle endian": (
        {"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]},
        "byte order middle",
    ),
    "strings by bytes": ({"data_type": "string", "fill_value": ""}, "variable-length data type"),
    "floats by vlen-utf8": ({"codecs": ["vlen-utf8"]}, "codec 'vlen-utf8' with data type <f4"),
    "unknown data type": ({"data_type": "float8_e4m3"}, "data type float8_e4m3"),
    "huge elements": (
        {"data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 2**30}}},
        "elements of 1,073,741,824 bytes",
    ),
    "no such fill value": ({"fill_value": "banana"}, "fill_value banana"),
    "null fill value": ({"fill_value": None}, "fill_value null"),
    "a NaN with a payload": ({"fill_value": "0x7fc00001"}, "bits that Zarr v2 cannot spell"),
    "a signalling NaN": ({"fill_value": "0x7f800001"}, "bits that Zarr v2 cannot spell"),
    "a complex NaN with a payload": (
        {"data_type": "complex64", "fill_value": [0.0, "0x7f800001"]},
        "bits that Zarr v2 cannot spell",
    ),
    "storage transformers": ({"storage_transformers": [{"name": "x"}]}, "storage transformers"),
    "an extension": ({"wobble": {"must_understand": True}}, "extension field wobble"),
    "bad blosc": (
        {"codecs": [LITTLE, {"name": "blosc", "configuration": {"cname": "zzz", "clevel": 1}}]},
        "codec 'blosc' with the cname zzz",
    ),
    "bad gzip": (
        {"codecs": [LITTLE, {"name": "gzip", "configuration": {"level": "9"}}]},
        "codec 'gzip' with the level 9",
    ),
    "other transposes": (
        {
            "shape": [4, 4, 4],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2, 2]}},
            "codecs": [{"name": "transpose", "configuration": {"order": [1, 0, 2]}}, LITTLE],
        },
        "neither C nor F order",
    ),
    "no transpose at all": (
        {"codecs": [{"name": "transpose", "configuration": {"order": [0, 0]}}, LITTLE]},
        "no order of 2 dimensions",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_array_feature_and_remedy(zarr_json, case) -> None:
    changes, feature = REFUSED[case]
    hierarchy = Hierarchy((parse_v3_array("x/a", zarr_json(**changes)),), ())
    (refusal,) = refusals(hierarchy)
    assert refusal.name == "x/a"
    assert feature in refusal.feature
    assert "--exclude" in refusal.remedy
    # Kept in v3, and whole, it is not refused where the remedy says so, and is where it does not.
    kept = (replace(array, inner_chunks=None) for array in hierarchy.arrays)
    still = refusals(Hierarchy(tuple(kept), (), written_format=3))
    assert bool(still) != ("--format v3" in refusal.remedy or "--shards whole" in refusal.remedy)
    assert all("--exclude" in one.remedy and "v3" not in one.remedy for one in still)
    with pytest.raises(UnsupportedError, match=r"^array 'x/a' cannot be referenced: ") as caught:
        kerchunk_metadata(hierarchy)
    assert "\n" not in str(caught.value)


def test_all_refusals_are_reported_at_once(zarr_json, reader_of) -> None:
    rectilinear = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [1]}}
    reader = reader_of(
        {
            "zarr.json": {"zarr_format": 3, "node_type": "group"},
            "good/zarr.json": zarr_json(),
            "grid/zarr.json": zarr_json(chunk_grid=rectilinear),
            "keys/zarr.json": zarr_json(chunk_key_encoding={"name": "hilbert"}),
            "shards/zarr.json": zarr_json(codecs=[SHARDING]),
            "type/zarr.json": zarr_json(data_type="float8_e4m3"),
        }
    )
    hierarchy = read_hierarchy(reader)
    assert [array.name for array in hierarchy.arrays] == ["good", "shards", "type"]
    found = refusals(hierarchy)
    assert [item.name for item in found] == ["grid", "keys", "shards", "type"]
    with pytest.raises(UnsupportedArraysError, match=r"^4 arrays cannot be referenced: grid: "):
        require_supported(hierarchy)
    kept = read_hierarchy(reader, include=["good"])
    assert refusals(kept) == ()
    require_supported(kept)


def test_errors_survive_pickle(zarr_json) -> None:
    hierarchy = Hierarchy((parse_v3_array("a", zarr_json(codecs=[SHARDING])),), ())
    with pytest.raises(UnsupportedArraysError) as caught:
        require_supported(hierarchy)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.refusals == refusals(hierarchy)


def test_converting_warns_of_nothing(zarr_json) -> None:
    text = {"name": "fixed_length_utf32", "configuration": {"length_bytes": 12}}
    document = zarr_json(data_type=text, fill_value="x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convert_array(parse_v3_array("a", document))["dtype"] == "<U3"


def test_those_alike_are_asked_about_once_and_each_is_refused(
    zarr_json, reader_of, monkeypatch
) -> None:
    asked: list[str] = []

    def convert(array):
        asked.append(array.name)
        return convert_array(array)

    monkeypatch.setattr(sys.modules["parchunk.metadata.refusals"], "convert_array", convert)
    root = {"zarr.json": {"zarr_format": 3, "node_type": "group"}}
    good = read_hierarchy(reader_of(root | {f"{name}/zarr.json": zarr_json() for name in "abc"}))
    assert refusals(good) == ()
    assert asked == ["a"]
    odd = {f"{name}/zarr.json": zarr_json(data_type="float8_e4m3") for name in "abc"}
    bad = read_hierarchy(reader_of(root | odd))
    assert [refused.name for refused in refusals(bad)] == ["a", "b", "c"]
