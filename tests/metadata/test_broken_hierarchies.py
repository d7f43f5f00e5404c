"""Broken and hostile documents: named in one line, and nothing beside them is lost."""

import json
import random
from typing import Any

import pytest
import zarr
from tests.metadata.nodes import GROUP2, GROUP3, names

from parchunk.errors import MetadataError, ParchunkError
from parchunk.metadata import (
    kerchunk_metadata,
    read_hierarchy,
    refusals,
)
from parchunk.metadata.meaning import hierarchy_digest

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]


def test_one_broken_array_is_named_with_its_remedy(reader_of, zarr_json) -> None:
    lie = zarr_json(shape=[10, -2])
    reader = reader_of({"zarr.json": GROUP3, "a/zarr.json": zarr_json(), "b/zarr.json": lie})
    with pytest.raises(MetadataError) as caught:
        read_hierarchy(reader)
    assert str(caught.value) == (
        "mem://store/b/zarr.json: has a shape of -2 in dimension 1, which is negative: "
        "repair the store, or leave it out with --exclude or --skip-unsupported"
    )
    assert names(read_hierarchy(reader, exclude=["b"])) == ["a"]


def test_all_broken_arrays_are_reported_at_once(reader_of, zarray) -> None:
    reader = reader_of(
        {
            ".zgroup": GROUP2,
            "a/.zarray": b"not json",
            "b/.zarray": zarray(chunks=[0, 1]),
            "c/.zarray": zarray(),
            "c/.zattrs": b"[]",
            "good/.zarray": zarray(),
        }
    )
    with pytest.raises(MetadataError, match=r"^3 nodes cannot be read: ") as caught:
        read_hierarchy(reader)
    for part in (
        "a/.zarray: is not JSON",
        "b/.zarray: has chunks of 0",
        "c/.zarray: has a .zattrs",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(read_hierarchy(reader, include=["good"])) == ["good"]


@pytest.mark.parametrize(
    "root",
    [b"{", b"[]", b"{}", b'{"zarr_format": 3, "node_type": "x"}', GROUP3 | {"attributes": 5}],
)
def test_broken_roots(reader_of, root) -> None:
    with pytest.raises(MetadataError, match=r"^mem://store/zarr.json .*: repair the store"):
        read_hierarchy(reader_of({"zarr.json": root}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("g/.zgroup", b"{"),
        ("g/.zgroup", {"zarr_format": 7}),
        ("g/.zattrs", b"nope"),
        ("g/.zattrs", b"[]"),
        (".zattrs", b"[]"),
        (".zgroup", {}),
    ],
)
def test_broken_groups_hide_no_arrays(reader_of, zarray, key, value) -> None:
    objects = {".zgroup": GROUP2, "g/.zgroup": GROUP2, "g/a/.zarray": zarray(), key: value}
    with pytest.raises(MetadataError, match=r"\.zgroup"):
        read_hierarchy(reader_of(objects | {"b/.zarray": zarray()}))


@pytest.mark.parametrize("name", ["..", "../../etc", "/abs", "a//b", "C:/x", "a\\b", "refs.0.parq"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_that_would_leave_the_output(reader_of, zarray, zarr_json, name, zarr_format) -> None:
    if zarr_format == 2:
        entries = {f"{name}/.zarray": zarray(), "good/.zarray": zarray()}
        objects: dict[str, Any] = {".zmetadata": {"metadata": entries}}
    else:
        entries = {name: zarr_json(), "good": zarr_json()}
        objects = {"zarr.json": GROUP3 | {"consolidated_metadata": {"metadata": entries}}}
    reader = reader_of(objects)
    with pytest.raises(MetadataError, match=r"array .*: its name .*--exclude"):
        read_hierarchy(reader)
    assert not any(".." in key for key in reader.gets)
    assert names(read_hierarchy(reader, include=["good"])) == ["good"]


def test_arrays_inside_arrays(reader_of, zarray) -> None:
    entries = {"air/.zarray": zarray(), "air/c/.zarray": zarray(), "air_temp/.zarray": zarray()}
    reader = reader_of({".zmetadata": {"metadata": entries}})
    with pytest.raises(MetadataError, match="array air/c: it lies inside the array air: "):
        read_hierarchy(reader)
    assert names(read_hierarchy(reader, exclude=["air/c"])) == ["air", "air_temp"]
    assert names(read_hierarchy(reader, include=["air"])) == ["air"]


def test_an_array_named_as_chunk_keys_are(store, reader_of) -> None:
    root = zarr.create_group(store, zarr_format=3)
    for name in ("air/c", "air_temp", "c/0"):
        root.create_array(name, shape=(4,), chunks=(2,), dtype="i1")[...] = 1
    assert names(read_hierarchy(reader_of(store))) == ["air/c", "air_temp", "c/0"]


def mutate(value: Any, pick: random.Random) -> Any:
    """The value with one part of it replaced by something odd, or gone."""
    odd = [
        *[None, True, -1, 0, 1, 2**63, 2**64, 1e308, float("nan"), "", "x", "/", "..", "\ud800"],
        *[[], {}, [None], {"name": None}, {"name": "x", "configuration": None}, "0x7fc00000"],
        *[[[[]]], "9" * 400, [2**70] * 3, {"a": {"b": []}}, -0.0, 2.5],
    ]
    if pick.random() < 0.25 or not isinstance(value, (dict, list)) or not value:
        return pick.choice(odd)
    if isinstance(value, dict):
        key = pick.choice(list(value))
        if pick.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate(value[key], pick)}
    at = pick.randrange(len(value))
    return [*value[:at], mutate(value[at], pick), *value[at + 1 :]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("error")
def test_mutated_stores_are_read_or_refused_in_one_line(reader_of, zarray, zarr_json, seed) -> None:
    """Nothing but the project's errors comes out, and no output depends on it silently."""
    pick = random.Random(seed)
    struct = {"name": "structured", "configuration": {"fields": [["a", "int8"], ["b", "float32"]]}}
    codecs = [
        {"name": "transpose", "configuration": {"order": [1, 0]}},
        {"name": "numcodecs.delta", "configuration": {"dtype": "<f4"}},
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "numcodecs.shuffle", "configuration": {"elementsize": 4}},
        {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "shuffle"}},
        {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
    ]
    fixed = {"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}}
    time = {"name": "numpy.datetime64", "configuration": {"unit": "ns", "scale_factor": 1}}
    arrays3 = [
        zarr_json(codecs=codecs, dimension_names=["y", "x"], storage_transformers=[]),
        zarr_json(data_type=struct, fill_value="AAAAAAA="),
        zarr_json(data_type=fixed, fill_value="ab"),
        zarr_json(data_type=time, fill_value="NaT"),
        zarr_json(data_type="complex64", fill_value=["NaN", 1.0]),
        zarr_json(data_type="string", fill_value="", codecs=["vlen-utf8", "crc32c"]),
        zarr_json(data_type="r16", fill_value=[1, 2], codecs=["bytes"]),
    ]
    array2 = zarray(
        dtype=[["a", "<i4"], ["b", "|S3", [2]]],
        compressor={"id": "zlib", "level": 1},
        filters=[{"id": "delta", "dtype": "<i4"}],
    )
    seen, messages = set(), []
    for _ in range(250):
        array = mutate(pick.choice(arrays3), pick)
        stores = [
            {"zarr.json": GROUP3, "a/zarr.json": array},
            {"zarr.json": mutate(GROUP3 | {"attributes": {"x": 1}}, pick), "a/zarr.json": array},
            {
                "zarr.json": GROUP3
                | {
                    "consolidated_metadata": mutate(
                        {"kind": "inline", "metadata": {"a": arrays3[0], "g": GROUP3}}, pick
                    )
                }
            },
            {".zgroup": mutate(GROUP2, pick), "a/.zarray": mutate(array2, pick)},
            {
                ".zmetadata": mutate(
                    {"metadata": {"a/.zarray": array2, "a/.zattrs": {"_ARRAY_DIMENSIONS": ["y"]}}},
                    pick,
                )
            },
        ]
        reader = reader_of(pick.choice(stores))
        try:
            hierarchy = read_hierarchy(reader)
            refusals(hierarchy)
            json.dumps(kerchunk_metadata(hierarchy)).encode()
            json.dumps(hierarchy.to_json()).encode()
            assert len(hierarchy_digest(hierarchy)) == 64
            seen.add("read")
        except ParchunkError as error:
            seen.add(type(error).__name__)
            messages.append(str(error))
    assert {"read", "MetadataError", "UnsupportedArraysError"} <= seen
    assert seen <= {"read", "MetadataError", "UnsupportedArraysError", "InputError"}
    for message in messages:
        assert len(message.splitlines()) == 1
        assert len(message.encode()) < 600


@pytest.mark.parametrize("document", [b"{", b"[]", b"{}", b'{"node_type": "wing"}'])
def test_left_out_nodes_that_may_be_groups_say_what_goes_with_them(
    reader_of, zarr_json, document
) -> None:
    objects = {"zarr.json": GROUP3, "a/zarr.json": zarr_json(), "g/b/zarr.json": zarr_json()}
    found = read_hierarchy(reader_of({**objects, "g/zarr.json": document}), refuse_broken=True)
    assert names(found) == ["a"]
    (refused,) = found.refused
    assert refused.name == "g"
    assert refused.feature.endswith("it may be a group, and arrays below it are left out, too")
    broken = {**objects, "g/zarr.json": zarr_json(shape="x")}
    (refused,) = read_hierarchy(reader_of(broken), refuse_broken=True).refused
    assert "may be a group" not in refused.feature
