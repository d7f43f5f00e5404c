"""Hierarchies: stores written by zarr-python, v2 and v3, consolidated or not; and hostile ones."""

import json
import pickle
import random
from typing import Any

import pytest
import zarr

from parchunk.errors import InputError, MetadataError, ParchunkError, SourceError
from parchunk.metadata import (
    RootIsArrayError,
    kerchunk_metadata,
    read_array,
    read_hierarchy,
    read_known,
    refusals,
)
from parchunk.metadata.meaning import hierarchy_digest

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]

GROUP3 = {"zarr_format": 3, "node_type": "group"}
GROUP2 = {"zarr_format": 2}


def names(hierarchy: Any) -> list[str]:
    return [array.name for array in hierarchy.arrays]


def group_names(hierarchy: Any) -> list[str]:
    return [group.name for group in hierarchy.groups]


@pytest.fixture(params=[(2, False), (2, True), (3, False), (3, True)], ids=str)
def nested(request, store) -> zarr.storage.MemoryStore:
    """air, air_temp, levels/0/t, levels/1/t and an empty group, with chunks."""
    zarr_format, consolidated = request.param
    root = zarr.create_group(store, zarr_format=zarr_format, attributes={"title": "x"})
    for name in ("air", "air_temp", "levels/0/t", "levels/1/t"):
        array = root.create_array(name, shape=(6, 4), chunks=(2, 2), dtype="f4", fill_value=0)
        array.attrs["long_name"] = name
        array[...] = 1
    root["levels"].attrs["units"] = "m"
    root.create_group("empty/deeper")
    if consolidated:
        zarr.consolidate_metadata(store, zarr_format=zarr_format)
    return store


def test_nested_stores_read_alike(nested, reader_of) -> None:
    hierarchy = read_hierarchy(reader_of(nested))
    assert names(hierarchy) == ["air", "air_temp", "levels/0/t", "levels/1/t"]
    assert group_names(hierarchy) == ["", "levels", "levels/0", "levels/1"]
    assert hierarchy.groups[0].attributes == {"title": "x"}
    assert hierarchy.groups[1].attributes == {"units": "m"}
    assert hierarchy.arrays[2].attributes["long_name"] == "levels/0/t"
    assert hierarchy.warnings == ()
    assert "consolidated_metadata" not in hierarchy.groups[0].document
    assert pickle.loads(pickle.dumps(hierarchy)) == hierarchy


def test_consolidating_changes_no_digest(store, reader_of) -> None:
    for zarr_format in (2, 3):
        store = zarr.storage.MemoryStore()
        root = zarr.create_group(store, zarr_format=zarr_format)
        root.create_array("g/a", shape=(4,), chunks=(2,), dtype="f4", attributes={"n": 1})
        before = read_hierarchy(reader_of(store))
        zarr.consolidate_metadata(store, zarr_format=zarr_format)
        after = read_hierarchy(reader_of(store))
        assert hierarchy_digest(before) == hierarchy_digest(after)
        assert after.warnings == ()


def test_arrays_are_never_listed(nested, reader_of) -> None:
    reader = reader_of(nested)
    read_hierarchy(reader)
    groups = {"", "levels", "levels/0", "levels/1", "empty", "empty/deeper"}
    assert set(reader.lists) <= groups
    assert len(reader.lists) == len(set(reader.lists))


@pytest.mark.parametrize("known", [["air", "levels/0/t"], ["levels/1/t"]])
def test_known_arrays_are_read_again_without_a_listing(nested, reader_of, known) -> None:
    before = read_hierarchy(reader_of(nested), include=known)
    reader = reader_of(nested)
    again = read_known(reader, "", known)
    assert hierarchy_digest(again) == hierarchy_digest(before)
    assert reader.lists == []
    below = read_known(reader_of(nested), "levels", ["1/t"])
    assert hierarchy_digest(below) == hierarchy_digest(
        read_hierarchy(reader_of(nested), "levels", ["1/t"])
    )
    # One that has gone is left out.
    assert names(read_known(reader_of(nested), "", [*known, "gone"])) == known


def test_consolidated_stores_cost_a_listing_a_group(nested, reader_of) -> None:
    """What came since consolidating can be found in no other way."""
    reader = reader_of(nested)
    read_hierarchy(reader)
    assert sorted(reader.lists) == ["", "empty", "empty/deeper", "levels", "levels/0", "levels/1"]
    assert reader.peeks == []


def test_a_group_is_read_with_names_of_its_own(nested, reader_of) -> None:
    reader = reader_of(nested)
    for group in ("levels", "/levels/"):
        hierarchy = read_hierarchy(reader, group=group)
        assert names(hierarchy) == ["0/t", "1/t"]
        assert group_names(hierarchy) == ["", "0", "1"]
        assert hierarchy.groups[0].attributes == {"units": "m"}
        assert sorted(kerchunk_metadata(hierarchy))[0] == ".zattrs"


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["air"], [], ["air"]),
        (["air*"], [], ["air", "air_temp"]),
        (["*"], ["air"], ["air_temp", "levels/0/t", "levels/1/t"]),
        (["*t"], [], ["levels/0/t", "levels/1/t"]),
        (["levels/[0]/*", "air"], [], ["air", "levels/0/t"]),
        ([], ["levels/*", "*_temp"], ["air"]),
    ],
)
def test_globs(nested, reader_of, include, exclude, expected) -> None:
    hierarchy = read_hierarchy(reader_of(nested), include=include, exclude=exclude)
    assert names(hierarchy) == expected
    above = {name.rpartition("/")[0] for name in expected}
    assert set(group_names(hierarchy)) >= above | {""}
    assert ("levels" in group_names(hierarchy)) == any("levels" in name for name in expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"include": ["AIR"]},
            "--include AIR matches no array of mem://store: there are air, air_temp",
        ),
        ({"exclude": ["nope*"]}, r"--exclude nope\* matches no array"),
        ({"exclude": ["*"]}, "leave no array of mem://store: widen them"),
        ({"group": "nowhere"}, "no Zarr metadata .* at mem://store/nowhere: check the path"),
        ({"group": "air_"}, "no Zarr metadata .* at mem://store/air_: check the path"),
        ({"group": "../up"}, "group ../up cannot be read: .*'..'"),
        ({"group": "empty"}, "no arrays in the Zarr group mem://store/empty"),
    ],
)
def test_options_that_cannot_be_used(nested, reader_of, options, reason) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read_hierarchy(reader_of(nested), **options)
    assert "\n" not in str(caught.value)


def test_nothing_there(reader_of) -> None:
    for objects in ({}, {"README.md": b"hello"}, {"a/.zarray": b"{}"}):
        with pytest.raises(InputError, match=r"no Zarr metadata \(zarr.json, .zgroup, .zarray or"):
            read_hierarchy(reader_of(objects))


# lone arrays


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("parent", [False, True])
def test_a_lone_array(store, reader_of, zarr_format, parent) -> None:
    if parent:
        group = zarr.create_group(store, zarr_format=zarr_format, attributes={"t": 1})
        group.create_array("b", shape=(4,), dtype="f4")
    array = zarr.create_array(store, name="a", shape=(4,), dtype="f4", zarr_format=zarr_format)
    array.attrs["u"] = "m"
    reader = reader_of(store)
    with pytest.raises(
        RootIsArrayError, match=r"^mem://store/a is an array, not a group"
    ) as caught:
        read_hierarchy(reader, group="a")
    assert pickle.loads(pickle.dumps(caught.value)).group == "a"
    hierarchy = read_array(reader, "a")
    assert names(hierarchy) == ["a"]
    assert hierarchy.arrays[0].attributes == {"u": "m"}
    assert hierarchy.groups[0].attributes == ({"t": 1} if parent else {})
    assert ".zgroup" in kerchunk_metadata(hierarchy)
    assert reader.lists == []


def test_a_root_that_is_an_array(reader_of, zarray, zarr_json) -> None:
    for objects in ({".zarray": zarray()}, {"zarr.json": zarr_json()}):
        with pytest.raises(RootIsArrayError) as caught:
            read_hierarchy(reader_of(objects))
        assert caught.value.group == ""


def test_no_lone_array(reader_of, zarray) -> None:
    reader = reader_of({".zgroup": GROUP2, "g/.zgroup": GROUP2, "g/a/.zarray": zarray()})
    for name in ("a", "g"):
        with pytest.raises(InputError, match=f"no Zarr metadata .* at mem://store/{name}"):
            read_array(reader, name)
    with pytest.raises(InputError, match="leads out"):
        read_array(reader, "../a")
    assert names(read_array(reader, "g/a")) == ["g/a"]


# shapes of stores


def test_v2_groups_that_only_their_members_imply(reader_of, zarray) -> None:
    walked = {".zgroup": GROUP2, "x/y/a/.zarray": zarray(), ".git/b/.zarray": zarray()}
    consolidated = {
        ".zmetadata": {"zarr_consolidated_format": 1, "metadata": {"x/y/a/.zarray": zarray()}}
    }
    for objects in (walked, walked | consolidated, consolidated):
        hierarchy = read_hierarchy(reader_of(objects))
        assert names(hierarchy) == ["x/y/a"]
        assert group_names(hierarchy) == ["", "x", "x/y"]
        assert hierarchy.groups[1].document == GROUP2


def test_v3_folders_without_metadata_are_groups_when_arrays_lie_below(reader_of, zarr_json) -> None:
    """A plate of wells, of which some writers keep no documents above the images."""
    reader = reader_of(
        {
            "zarr.json": GROUP3,
            "a/zarr.json": zarr_json(),
            "plate/A/1/zarr.json": zarr_json(),
            "plate/B/1/zarr.json": zarr_json(),
            "notes/today.txt": b"",
        }
    )
    hierarchy = read_hierarchy(reader)
    assert names(hierarchy) == ["a", "plate/A/1", "plate/B/1"]
    assert group_names(hierarchy) == ["", "plate", "plate/A", "plate/B"]
    (warning,) = hierarchy.warnings
    assert warning.startswith("folders without zarr.json are taken for groups")
    assert warning.endswith(": plate, plate/A, plate/B")
    assert hierarchy.left_out == ()
    assert sorted(reader.lists) == ["", "plate", "plate/A", "plate/B"]


def test_v3_comes_before_v2(reader_of, zarr_json, zarray) -> None:
    reader = reader_of(
        {
            ".zgroup": GROUP2,
            "old/.zarray": zarray(),
            "zarr.json": GROUP3,
            "new/zarr.json": zarr_json(),
        }
    )
    assert names(read_hierarchy(reader)) == ["new"]


def test_circles_of_links_end(reader_of) -> None:
    class Circle:
        def get(self, key: str) -> bytes | None:
            return b'{"zarr_format": 2}' if key.endswith(".zgroup") else None

        def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
            return ["loop"], []

        def describe(self, key: str = "") -> str:
            return key

    with pytest.raises(MetadataError, match="more than 64 groups deep"):
        read_hierarchy(Circle())


def test_errors_of_the_store_are_passed_on(reader_of, zarr_json) -> None:
    reader = reader_of({"zarr.json": GROUP3, "a/zarr.json": zarr_json()})
    get = reader.get

    def broken(key: str) -> bytes | None:
        if key == "a/zarr.json":
            raise SourceError("no permission to read a/zarr.json")
        return get(key)

    reader.get = broken
    with pytest.raises(SourceError, match="no permission"):
        read_hierarchy(reader)


# consolidated metadata that is wrong


@pytest.fixture
def stale(reader_of, zarray, zarr_json):
    """Makes a consolidated store of ``a`` and ``b`` whose own documents may be others."""

    def make(zarr_format: int, own: dict[str, Any]) -> Any:
        if zarr_format == 2:
            entries = {f"{name}/.zarray": zarray() for name in "ab"} | {".zgroup": GROUP2}
            root = {".zgroup": GROUP2, ".zmetadata": {"metadata": entries}}
            return reader_of(root | {f"{name}/.zarray": doc for name, doc in own.items()})
        entries = {name: zarr_json() for name in "ab"}
        inline = {"kind": "inline", "must_understand": False, "metadata": entries}
        root = {"zarr.json": GROUP3 | {"consolidated_metadata": inline}}
        return reader_of(root | {f"{name}/zarr.json": doc for name, doc in own.items()})

    return make


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_own_documents_count_where_they_disagree(stale, zarray, zarr_json, zarr_format) -> None:
    document = zarray if zarr_format == 2 else zarr_json
    reader = stale(zarr_format, {"a": document(shape=[11, 20]), "b": document()})
    hierarchy = read_hierarchy(reader)
    assert [array.shape for array in hierarchy.arrays] == [(11, 20), (10, 20)]
    (warning,) = hierarchy.warnings
    assert warning.startswith("array 'a': the consolidated metadata disagrees")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_in_consolidated_metadata_only(stale, zarray, zarr_json, zarr_format) -> None:
    document = zarray if zarr_format == 2 else zarr_json
    hierarchy = read_hierarchy(stale(zarr_format, {"b": document()}))
    assert names(hierarchy) == ["a", "b"]
    (warning,) = hierarchy.warnings
    assert warning.startswith("array 'a' is in the consolidated metadata only")


def test_own_attributes_count_too(reader_of, zarray) -> None:
    entries = {"g/a/.zarray": zarray(), "g/a/.zattrs": {"u": "K"}, "g/.zgroup": GROUP2}
    reader = reader_of(
        {
            ".zmetadata": {"metadata": entries},
            "g/.zgroup": GROUP2,
            "g/.zattrs": {"new": 1},
            "g/a/.zarray": zarray(),
            "g/a/.zattrs": {"u": "degC"},
        }
    )
    hierarchy = read_hierarchy(reader)
    assert hierarchy.arrays[0].attributes == {"u": "degC"}
    assert hierarchy.groups[1].attributes == {"new": 1}
    assert [line.split(":")[0] for line in hierarchy.warnings] == ["array 'g/a'", "group 'g'"]


def test_documents_that_differ_in_empty_fields_only_agree(stale, zarr_json) -> None:
    other = zarr_json(storage_transformers=[], dimension_names=None)
    del other["attributes"]
    hierarchy = read_hierarchy(stale(3, {"a": other, "b": zarr_json(fill_value=0)}))
    assert len(hierarchy.warnings) == 1, "0 and 0.0 are spelled differently: said, not hidden"


def test_unknown_consolidated_metadata_is_walked_past(reader_of, zarr_json) -> None:
    for value in ({"kind": "elsewhere", "metadata": {}}, {"kind": "inline"}, [1], "x"):
        root = GROUP3 | {"consolidated_metadata": value}
        hierarchy = read_hierarchy(reader_of({"zarr.json": root, "a/zarr.json": zarr_json()}))
        assert names(hierarchy) == ["a"]
        assert "walking directories" in hierarchy.warnings[0]


def test_kerchunk_references_are_no_source(reader_of, zarray) -> None:
    references = {"metadata": {"a/.zarray": zarray(), ".zgroup": GROUP2}, "record_size": 10}
    with pytest.raises(InputError, match="is of kerchunk references, not of a Zarr store"):
        read_hierarchy(reader_of({".zmetadata": references}))


@pytest.mark.parametrize("document", [b"{", b"[]", b"{}", b'{"metadata": 5}'])
def test_broken_zmetadata(reader_of, document) -> None:
    with pytest.raises(
        MetadataError, match=r"^mem://store/.zmetadata .*: consolidate the store again"
    ):
        read_hierarchy(reader_of({".zgroup": GROUP2, ".zmetadata": document}))


# broken and hostile documents


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
