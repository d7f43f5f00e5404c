"""Hierarchies: stores written by zarr-python, v2 and v3, consolidated or not; and hostile ones."""

import pickle
from typing import Any

import pytest
import zarr
from tests.metadata.nodes import GROUP2, GROUP3, names

from parchunk.errors import InputError, MetadataError, SourceError
from parchunk.metadata import (
    RootIsArrayError,
    kerchunk_metadata,
    read_array,
    read_hierarchy,
    read_known,
)
from parchunk.metadata.meaning import hierarchy_digest

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]


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


def test_a_group_of_an_array_that_is_gone_and_another_is_told(reader_of, zarray) -> None:
    """It is used, as the other one is in it."""
    entries = {"g/a/.zarray": zarray(), "g/b/.zarray": zarray()}
    entries |= {".zgroup": GROUP2, "g/.zgroup": GROUP2}
    there = {"g/b/.zarray": zarray(), "g/b/0.0": b""}
    hierarchy = read_hierarchy(reader_of({".zmetadata": {"metadata": entries}} | there))
    gone, used = hierarchy.warnings
    assert gone.startswith("array 'g/a' is in the consolidated metadata only, and has no objects")
    assert used == "group 'g' is in the consolidated metadata only: used as it is there"


def test_nodes_of_consolidated_metadata_only_are_told_together(reader_of, zarray) -> None:
    """But for groups of nothing else than arrays that have no objects."""
    entries = {f"g{n}/a{k}/.zarray": zarray() for n in range(3) for k in range(4)}
    entries |= {f"g{n}/.zgroup": GROUP2 for n in range(3)} | {".zgroup": GROUP2}
    there = {f"g2/a{k}/0.0": b"" for k in range(4)} | {"g1/a0/0.0": b""}
    hierarchy = read_hierarchy(reader_of({".zmetadata": {"metadata": entries}} | there))
    assert hierarchy.warnings == (
        "arrays g0/a0, g0/a1, g0/a2, g0/a3, g1/a1, g1/a2, g1/a3 are in the consolidated metadata "
        "only, and have no objects at all: consolidate the store again, or leave them out with "
        "--exclude",
        "arrays g1/a0, g2/a0, g2/a1, g2/a2, g2/a3 are in the consolidated metadata only: used as "
        "they are there",
        "groups g1, g2 are in the consolidated metadata only: used as they are there",
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nodes_whose_own_documents_disagree_are_told_together(
    stale, zarray, zarr_json, zarr_format
) -> None:
    document = zarray if zarr_format == 2 else zarr_json
    own = {"a": document(shape=[11, 20]), "b": document(shape=[11, 20])}
    (warning,) = read_hierarchy(stale(zarr_format, own)).warnings
    assert warning.startswith("arrays a, b: the consolidated metadata disagrees with their own")


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


def test_a_name_that_looks_like_a_glob_is_itself_one(reader_of, zarray) -> None:
    reader = reader_of(
        {f"{name}/.zarray": zarray() for name in ("[z]", "z", "a*")} | {".zgroup": GROUP2}
    )
    assert names(read_hierarchy(reader, exclude=["[z]"])) == ["a*"]
    assert names(read_hierarchy(reader, include=["[z]"])) == ["[z]", "z"]
    assert names(read_hierarchy(reader, include=["[[]z]"])) == ["[z]"]
