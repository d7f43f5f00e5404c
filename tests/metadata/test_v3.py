"""Single v3 documents: what they say, and the lies they tell."""

import json

import numpy as np
import pytest
import zarr

from parchunk.errors import MetadataError
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spelling_v3 import spell_v3
from parchunk.metadata.v3 import extension_problem, parse_v3_array


def test_a_plain_document(zarr_json) -> None:
    document = zarr_json(dimension_names=["y", None], attributes={"units": "K"})
    array = parse_v3_array("air", document)
    assert (array.name, array.zarr_format, array.shape, array.chunks) == (
        "air",
        3,
        (10, 20),
        (5, 6),
    )
    assert (array.dtype, array.itemsize, array.dimension_names) == ("<f4", 4, ("y", None))
    assert (array.attributes, array.document) == ({"units": "K"}, document)


@pytest.mark.parametrize(
    ("encoding", "marker", "separator"),
    [
        ({"name": "default"}, "c", "/"),
        ("default", "c", "/"),
        ({"name": "default", "configuration": {"separator": "."}}, "c", "."),
        ({"name": "default", "configuration": {"separator": "/"}}, "c", "/"),
        ({"name": "v2"}, "", "."),
        ("v2", "", "."),
        ({"name": "v2", "configuration": {"separator": "/"}}, "", "/"),
    ],
)
def test_key_encodings(zarr_json, encoding, marker, separator) -> None:
    array = parse_v3_array("a", zarr_json(chunk_key_encoding=encoding))
    assert array.keys == KeyEncoding(marker, separator, 2)


@pytest.mark.parametrize("name", ["default", "v2"])
@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("rank", range(5))
def test_keys_are_those_that_zarr_writes(store, reader_of, name, separator, rank) -> None:
    keys = {"name": name, "separator": separator}
    zarr.create_array(
        store, name="a", shape=(5,) * rank, chunks=(2,) * rank, dtype="i2", chunk_key_encoding=keys
    )[...] = 1
    objects = reader_of(store).objects
    array = parse_v3_array("a", json.loads(objects["a/zarr.json"]))
    tails = {key.split("/", 1)[1] for key in objects if key.rpartition("/")[2] != "zarr.json"}
    assert tails == {array.keys.tail(index) for index in np.ndindex(array.grid)}


def test_sharded_arrays_have_chunks_of_a_shard(store, reader_of) -> None:
    zarr.create_array(store, name="a", shape=(100,), chunks=(5,), shards=(20,), dtype="f8")
    array = parse_v3_array("a", json.loads(reader_of(store).objects["a/zarr.json"]))
    assert (array.chunks, array.grid, array.total) == ((20,), (5,), 5)
    assert (array.reference_chunks, array.reference_grid) == ((5,), (20,))
    assert array.reference_total == 20


def test_the_reference_grid_is_cut_by_the_shape_not_by_shards(store, reader_of) -> None:
    zarr.create_array(store, name="a", shape=(33, 7), chunks=(5, 2), shards=(20, 4), dtype="f8")
    array = parse_v3_array("a", json.loads(reader_of(store).objects["a/zarr.json"]))
    assert (array.grid, array.reference_grid) == ((2, 2), (7, 4))


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({"chunk_shape": [3]}, "do not fill"),
        ({"chunk_shape": [0]}, "must be 1 or more"),
        ({"chunk_shape": [5, 5]}, "2 in 'chunk_shape of a shard'"),
        ({}, "has no 'chunk_shape'"),
        ({"chunk_shape": [5], "codecs": []}, "codecs that are not a list of one or more"),
        ({"chunk_shape": [5], "index_codecs": {}}, "codecs that are not a list of one or more"),
    ],
)
def test_broken_shards_are_metadata_errors(store, reader_of, configuration, reason) -> None:
    zarr.create_array(store, name="a", shape=(100,), chunks=(5,), shards=(20,), dtype="f8")
    document = json.loads(reader_of(store).objects["a/zarr.json"])
    document["codecs"][0]["configuration"] = configuration
    with pytest.raises(MetadataError, match=reason):
        parse_v3_array("a", document)


@pytest.mark.parametrize(
    ("data_type", "name", "size"),
    [
        ("bool", "|b1", 1),
        ("complex128", "<c16", 16),
        ("string", "|O", 8),
        ("r16", "|V2", 2),
        ({"name": "numpy.datetime64", "configuration": {"unit": "ns", "scale_factor": 1}},
         "<M8[ns]", 8),
        ({"name": "fixed_length_utf32", "configuration": {"length_bytes": 12}}, "<U3", 12),
        ({"name": "structured", "configuration": {"fields": [["a", "int8"], ["b", "int64"]]}},
         "struct[a, b]", 9),
        ("float8_e4m3", "float8_e4m3", 8),
        ("r7", "r7", 8),
        ({"name": "nobody's", "configuration": {}}, "nobody's", 8),
        ({}, "None", 8),
        (5, "5", 8),
        ({"name": "structured", "configuration": {"fields": [1]}}, "structured", 8),
        ({"name": "raw_bytes", "configuration": {"length_bytes": -1}}, "raw_bytes", 8),
    ],
)  # fmt: skip
def test_data_types_have_short_names(zarr_json, data_type, name, size) -> None:
    array = parse_v3_array("a", zarr_json(data_type=data_type))
    assert (array.dtype, array.itemsize) == (name, size)


def regular(*chunks: object) -> dict[str, object]:
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


LIES = [
    ({"chunk_grid": regular(0, 6)}, "chunks of 0 in dimension 0"),
    ({"chunk_grid": regular(5, -1)}, "chunks of -1 in dimension 1"),
    ({"chunk_grid": regular(5)}, "2 dimensions in its shape but 1 in 'chunk_shape'"),
    ({"chunk_grid": regular(5, True)}, "'chunk_shape' that is not of whole numbers"),
    ({"chunk_grid": {"name": "regular"}}, "has no 'chunk_shape'"),
    ({"chunk_grid": {"name": "regular", "configuration": 5}}, "configuration is not an object"),
    ({"chunk_grid": None}, "chunk_grid without a name"),
    ({"shape": [10, -20]}, "shape of -20 in dimension 1"),
    ({"shape": [10, 2e1]}, "'shape' that is not of whole numbers"),
    ({"shape": [2**40, 2**40]}, "2\\^63 elements or more"),
    ({"chunk_grid": regular(2**40, 2**40)}, "chunks of 2\\^63 elements or more"),
    ({"dimension_names": ["x"]}, "2 dimensions in its shape but 1 in 'dimension_names'"),
    ({"dimension_names": "xy"}, "'dimension_names' that is not a list"),
    ({"dimension_names": ["x", 5]}, "'dimension_names' that is not a list of names"),
    ({"zarr_format": 2}, "zarr_format 2 where 3 is expected"),
    ({"zarr_format": True}, "zarr_format True where 3 is expected"),
    ({"node_type": "groop"}, "node_type groop"),
    ({"attributes": [1]}, "attributes that are not a JSON object"),
    ({"codecs": []}, "codecs that are not a list of one or more"),
    ({"codecs": {"name": "bytes"}}, "codecs that are not a list"),
    ({"codecs": [5]}, "codec without a name: 5"),
    ({"codecs": [{"name": 5}]}, "codec without a name"),
    ({"codecs": [{"name": "gzip", "configuration": [1]}]}, "configuration is not an object"),
    ({"chunk_key_encoding": {"separator": "/"}}, "chunk_key_encoding without a name"),
]


@pytest.mark.parametrize(("changes", "reason"), LIES, ids=[reason for _, reason in LIES])
def test_lies(zarr_json, changes, reason) -> None:
    with pytest.raises(MetadataError, match=reason) as caught:
        parse_v3_array("a", zarr_json(**changes))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "field",
    [
        *["zarr_format", "shape", "data_type", "chunk_grid"],
        "chunk_key_encoding",
        "fill_value",
        "codecs",
    ],
)
def test_missing_fields(zarr_json, field) -> None:
    document = zarr_json()
    del document[field]
    with pytest.raises(MetadataError, match=f"has no '{field}'"):
        parse_v3_array("a", document)


@pytest.mark.parametrize(
    ("changes", "feature"),
    [
        ({"chunk_grid": {"name": "rectilinear", "configuration": {}}}, "chunk grid rectilinear"),
        ({"chunk_key_encoding": {"name": "hilbert"}}, "chunk key encoding hilbert"),
        (
            {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "-"}}},
            "separator -",
        ),
        ({"chunk_key_encoding": {"name": "v2", "configuration": {"separator": [1]}}}, "separator"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1], "at": 1}}},
            r"chunk grid 'regular' with a configuration of its own kind \('at'\)",
        ),
        (
            {"chunk_key_encoding": {"name": "default", "configuration": {"suffix": ".x"}}},
            "chunk key encoding 'default' with a configuration of its own kind",
        ),
        (
            {"codecs": [{"name": "bytes", "configuration": {"endian": "little", "x": 1}}]},
            r"codec 'bytes' with a configuration of its own kind \('x'\)",
        ),
        (
            {"codecs": [{"name": "vlen-utf8", "configuration": {"x": 1}}]},
            "codec 'vlen-utf8' with a configuration of its own kind",
        ),
        (
            {
                "codecs": [
                    {
                        "name": "sharding_indexed",
                        "configuration": {
                            "chunk_shape": [1],
                            "codecs": ["bytes"],
                            "index_codecs": [
                                {"name": "bytes", "configuration": {"endian": "big", "x": 1}}
                            ],
                        },
                    }
                ]
            },
            r"codec 'bytes' with a configuration of its own kind \('x'\)",
        ),
    ],
)
def test_what_has_no_grid_or_no_keys_is_refused(zarr_json, changes, feature) -> None:
    with pytest.raises(UnsupportedFeatureError, match=feature):
        parse_v3_array("a", zarr_json(**changes))


def test_extensions_are_ignored_only_when_they_say_so(zarr_json) -> None:
    assert extension_problem(zarr_json(more={"must_understand": False, "x": 1})) is None
    assert extension_problem(zarr_json(storage_transformers=[])) is None
    for value in ({"must_understand": True}, {}, None, 5):
        assert "more" in str(extension_problem(zarr_json(more=value)))
        with pytest.raises(UnsupportedFeatureError, match="more, which must be understood"):
            spell_v3(parse_v3_array("a", zarr_json(more=value)))


def test_names_left_over_from_v2(zarr_json) -> None:
    for names, expected in [(["y", "x"], ("y", "x")), (["y"], (None, None)), (5, (None, None))]:
        array = parse_v3_array("a", zarr_json(attributes={"_ARRAY_DIMENSIONS": names}))
        assert array.dimension_names == expected
