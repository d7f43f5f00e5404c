"""No array is left out without a line that names it, and looking for them has a bound."""

import json
from typing import Any

import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.metadata.nodes import GROUP2, GROUP3, names

from parchunk.errors import InputError, MetadataError, SourceError
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata import read_hierarchy, read_known
from parchunk.metadata.discovery import MOST_FOLDERS
from parchunk.metadata.folder_keys import example_chunk
from parchunk.metadata.meaning import hierarchy_digest, same_meaning
from parchunk.metadata.own_documents import MANY
from parchunk.metadata.spec import Hierarchy

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]

GROUP = {2: GROUP2, 3: GROUP3}
LAST = {2: ".zgroup", 3: "zarr.json"}
ARRAY = {2: ".zarray", 3: "zarr.json"}
MODES = ("auto", "only", "ignore")


def left_out(hierarchy: Hierarchy) -> list[str]:
    return [name for name, _ in hierarchy.left_out]


@pytest.fixture
def document(zarray, zarr_json) -> dict[int, dict[str, Any]]:
    return {2: zarray(), 3: zarr_json()}


def consolidated(zarr_format: int, arrays: dict[str, Any]) -> dict[str, Any]:
    """The documents of a root whose consolidated metadata names ``arrays``."""
    if zarr_format == 2:
        entries = {f"{name}/.zarray": value for name, value in arrays.items()}
        return {".zgroup": GROUP[2], ".zmetadata": {"metadata": entries}}
    inline = {"kind": "inline", "must_understand": False, "metadata": arrays}
    return {"zarr.json": GROUP[3] | {"consolidated_metadata": inline}}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_newer_than_the_consolidated_metadata(reader_of, document, zarr_format) -> None:
    one, last = document[zarr_format], ARRAY[zarr_format]
    objects = consolidated(zarr_format, {"a": one, "g/b": one})
    for name in ("a", "g/b", "g/new", "h/i/newer"):
        objects[f"{name}/{last}"] = one
    for name in ("h", "h/i"):
        objects[f"{name}/{LAST[zarr_format]}"] = GROUP[zarr_format]
    found = read_hierarchy(reader_of(objects))
    assert names(found) == ["a", "g/b", "g/new", "h/i/newer"]
    (line,) = (line for line in found.warnings if line.startswith("newer than"))
    for name in ("array 'g/new'", "array 'h/i/newer'", "group 'h'", "group 'h/i'"):
        assert name in line
    reader = reader_of(objects)
    only = read_hierarchy(reader, consolidated="only")
    assert names(only) == ["a", "g/b"]
    assert reader.lists == reader.peeks == []
    assert any("was not looked for" in line for line in only.warnings)
    ignored = read_hierarchy(reader_of(objects), consolidated="ignore")
    assert names(ignored) == names(found)
    assert hierarchy_digest(ignored) == hierarchy_digest(found)


def test_only_needs_consolidated_metadata(reader_of, document) -> None:
    objects = {"zarr.json": GROUP[3], "a/zarr.json": document[3]}
    with pytest.raises(InputError, match="--consolidated only: mem://store has no consolidated"):
        read_hierarchy(reader_of(objects), consolidated="only")
    with pytest.raises(InputError, match="--consolidated some: give auto, only or ignore"):
        read_hierarchy(reader_of(objects), consolidated="some")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("mode", ["auto", "ignore"])
@pytest.mark.parametrize("stale", [False, True])
def test_arrays_of_the_other_format_are_named(
    reader_of, document, zarr_format, mode, stale
) -> None:
    other = 5 - zarr_format
    objects = consolidated(zarr_format, {"a": document[zarr_format]}) if stale else {}
    objects.setdefault(LAST[zarr_format], GROUP[zarr_format])
    objects[f"a/{ARRAY[zarr_format]}"] = document[zarr_format]
    objects |= {
        f"x/{ARRAY[other]}": document[other],
        f"g/{LAST[other]}": GROUP[other],
        f"g/y/{ARRAY[other]}": document[other],
        f"g/mine/{ARRAY[zarr_format]}": document[zarr_format],
        f"folder/z/{ARRAY[other]}": document[other],
    }
    found = read_hierarchy(reader_of(objects), consolidated=mode)
    assert names(found) == ["a", "g/mine"]
    assert left_out(found) == ["folder/z", "g/y", "x"]
    for name, reason in found.left_out:
        assert f"it is a Zarr v{other} array" in reason
        assert f"give mem://store/{name} as SRC" in reason
    assert left_out(read_hierarchy(reader_of(objects), exclude=["x", "g/*"])) == ["folder/z"]
    assert left_out(read_hierarchy(reader_of(objects), include=["a"])) == []
    assert Hierarchy.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_document_that_is_listed_and_not_there(reader_of, document, zarr_format) -> None:
    """As one that was deleted since an inventory, or that this spells in another way."""
    objects = {"zarr.json" if zarr_format == 3 else ".zgroup": GROUP[zarr_format]}
    reader = reader_of(
        objects | {f"{name}/{ARRAY[zarr_format]}": document[zarr_format] for name in ("a", "b")}
    )
    get = reader.get
    reader.get = lambda key: None if key.startswith("b/") else get(key)
    found = read_hierarchy(reader)
    assert names(found) == ["a"]
    ((name, reason),) = found.left_out
    assert name == "b"
    assert f"its {ARRAY[zarr_format]} is listed, and is not there to be read" in reason


def test_both_formats_at_the_root(reader_of, document) -> None:
    """v3 counts; what only v2 has is named, whether it has a document of its own or not."""
    v2 = consolidated(2, {"both": document[2], "old": document[2], "listed": document[2]})
    objects = v2 | {
        "zarr.json": GROUP[3],
        "both/zarr.json": document[3],
        "both/.zarray": document[2],
        "old/.zarray": document[2],
    }
    found = read_hierarchy(reader_of(objects))
    assert names(found) == ["both"]
    assert left_out(found) == ["listed", "old"]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("page", [10, 1000])
def test_a_lost_document_costs_one_page(
    store, reader_of, zarr_format, separator, page, document, objects_of
) -> None:
    root = zarr.create_group(store, zarr_format=zarr_format)
    root.create_array("a", shape=(4,), chunks=(2,), dtype="f4")[...] = 1
    keys = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
    lost = root.create_array(
        "g/t", shape=(20, 4), chunks=(1, 2), dtype="f4", chunk_key_encoding=keys
    )
    lost[...] = 1
    reader = reader_of(objects_of(store))
    del reader.objects[f"g/t/{ARRAY[zarr_format]}"]
    reader = reader_of(reader.objects)
    reader.page = page
    found = read_hierarchy(reader)
    assert names(found) == ["a"]
    ((name, reason),) = found.left_out
    assert name in ("g/t", "g/t/c")
    assert f"it has no {ARRAY[zarr_format]}, though it holds what looks like chunks" in reason
    assert set(reader.lists) <= {"", "g"} | ({"g/t"} if name == "g/t/c" else set())
    assert len(reader.peeks) <= 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_folders_of_numbers_are_no_chunks_where_there_are_arrays(
    reader_of, document, zarr_format
) -> None:
    """A pyramid's levels, above which no document is kept: more chunks than one page each."""
    one, last = document[zarr_format], ARRAY[zarr_format]
    objects: dict[str, Any] = {LAST[zarr_format]: GROUP[zarr_format]}
    for level in ("0", "1"):
        objects[f"pyramid/{level}/{last}"] = one
        head = "c/" if zarr_format == 3 else ""
        objects |= {f"pyramid/{level}/{head}{i}/{j}": b"" for i in range(9) for j in range(9)}
    reader = reader_of(objects)
    reader.page = 10
    found = read_hierarchy(reader)
    assert names(found) == ["pyramid/0", "pyramid/1"]
    assert found.left_out == ()


def test_folders_without_metadata_are_bounded(reader_of, document) -> None:
    objects: dict[str, Any] = {"zarr.json": GROUP[3], "a/zarr.json": document[3]}
    objects |= {f"logs/{i:04}/{j}/x.txt": b"" for i in range(MOST_FOLDERS + 30) for j in range(3)}
    objects |= {f"flat/{i:03}.txt": b"" for i in range(50)}
    objects |= {f"few/{i}.txt": b"" for i in range(5)}
    reader = reader_of(objects)
    reader.page = 10
    found = read_hierarchy(reader)
    assert names(found) == ["a"]
    assert left_out(found) == ["flat", "logs"]
    assert all("not looked for" in reason for _, reason in found.left_out)
    assert len(reader.peeks) == 3
    assert left_out(read_hierarchy(reader, exclude=["logs"])) == ["flat"]
    assert left_out(read_hierarchy(reader, include=["a"])) == ["flat", "logs"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_hidden_folders_are_named_when_they_hold_arrays(reader_of, document, zarr_format) -> None:
    objects = {
        LAST[zarr_format]: GROUP[zarr_format],
        f"a/{ARRAY[zarr_format]}": document[zarr_format],
        f".trash/b/{ARRAY[zarr_format]}": document[zarr_format],
        ".ipynb_checkpoints/x.ipynb": b"",
    }
    found = read_hierarchy(reader_of(objects))
    assert names(found) == ["a"]
    assert left_out(found) == [".trash"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_of_a_parent(reader_of, document, zarr_format) -> None:
    """``b`` has lost its document: only what the root has of it says that it is there."""
    one, last = document[zarr_format], ARRAY[zarr_format]
    objects = consolidated(zarr_format, {"g/h/a": one, "g/h/b": one, "gh/x": one})
    objects |= {f"g/h/a/{last}": one, "g/h/b/0.0": b"", f"g/h/c/{last}": one}
    if zarr_format == 3:
        objects["zarr.json"]["consolidated_metadata"]["metadata"]["g/h"] = GROUP[3]
    for group in ("g/h", "/g/h/"):
        found = read_hierarchy(reader_of(objects), group=group)
        assert names(found) == ["a", "b", "c"]
    assert names(read_hierarchy(reader_of(objects), "g/h", consolidated="only")) == ["a", "b"]
    assert names(read_known(reader_of(objects), "g/h", ["a", "b", "c"])) == ["a", "b", "c"]


def test_consolidated_at_a_subgroup_only(store, reader_of) -> None:
    root = zarr.create_group(store, zarr_format=3)
    root.create_array("a", shape=(4,), dtype="f4")
    root.create_array("g/b", shape=(4,), dtype="f4")
    zarr.consolidate_metadata(store, path="g", zarr_format=3)
    zarr.open_group(store, path="g", use_consolidated=False).create_array(
        "new", shape=(4,), dtype="f4"
    )
    assert names(read_hierarchy(reader_of(store))) == ["a", "g/b", "g/new"]
    assert names(read_hierarchy(reader_of(store), "g")) == ["b", "new"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_very_many_known_arrays_are_read_without_what_is_consolidated(
    reader_of, document, zarr_format
) -> None:
    one, last = document[zarr_format], ARRAY[zarr_format]
    known = sorted(f"{'g/' if at % 2 else ''}{at}" for at in range(MANY))
    objects = consolidated(zarr_format, dict.fromkeys(known, one))
    objects |= {f"{name}/{last}": one for name in known}
    objects[f"g/{LAST[zarr_format]}"] = GROUP[zarr_format]
    objects["g/1/0.0"] = objects["0/0.0"] = b""
    whole = read_hierarchy(reader_of(objects))
    reader = reader_of(objects)
    assert read_known(reader, "", known) == whole
    assert ".zmetadata" not in reader.gets
    assert reader.lists == reader.peeks == []
    # An array or a group that has lost its document is as it is consolidated.
    for lost in ("g", "0"):
        document_of = LAST if lost == "g" else ARRAY
        left = {k: v for k, v in objects.items() if k != f"{lost}/{document_of[zarr_format]}"}
        again = read_known(reader_of(left), "", known)
        assert names(again) == names(whole)
        assert same_meaning(again, read_hierarchy(reader_of(left)))
    # What is no array any more is told as it is of a few.
    del objects[f"0/{last}"]
    objects[f"0/{LAST[zarr_format]}"] = GROUP[zarr_format]
    for asked in (known, known[:3]):
        with pytest.raises(MetadataError, match="is a group, but the consolidated metadata has"):
            read_known(reader_of(objects), "", asked)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_of_which_nothing_is_left(reader_of, document, zarr_format) -> None:
    one, last = document[zarr_format], ARRAY[zarr_format]
    objects = consolidated(zarr_format, dict.fromkeys(("a", "bare", "gone"), one))
    objects |= {f"a/{last}": one, "bare/0.0": b""}
    for found in (
        read_hierarchy(reader_of(objects)),
        read_known(reader_of(objects), "", ["a", "bare", "gone"]),
    ):
        assert names(found) == ["a", "bare", "gone"]
        assert found.absent == ("gone",)
        assert Hierarchy.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert any("'gone'" in line and "no objects at all" in line for line in found.warnings)


def test_a_listing_that_is_cut_is_not_believed(reader_of, document) -> None:
    """An error in an answer of success ends a listing early; the group's document tells."""
    objects = {"zarr.json": GROUP[3], "g/zarr.json": GROUP[3]}
    objects |= {f"g/{name}/zarr.json": document[3] for name in "abc"}
    for faults, read in ((2, True), (99, False)):
        reader = reader_of(objects)
        whole = reader.list_dir
        left = [faults]

        def cut(prefix: str, whole: Any = whole, left: list[int] = left) -> Any:
            directories, found = whole(prefix)
            left[0] -= prefix == "g"
            return (directories[:1], []) if prefix == "g" and left[0] >= 0 else (directories, found)

        reader.list_dir = cut
        if read:
            assert names(read_hierarchy(reader)) == ["g/a", "g/b", "g/c"]
        else:
            with pytest.raises(SourceError, match=r"listing of mem://store/g lacks zarr\.json"):
                read_hierarchy(reader)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_listing_that_lacks_what_is_consolidated(reader_of, document, zarr_format) -> None:
    one, last = document[zarr_format], ARRAY[zarr_format]
    objects = consolidated(zarr_format, {"a": one, "b": one})
    objects |= {f"a/{last}": one, f"b/{last}": one}
    reader = reader_of(objects)
    whole = reader.list_dir
    reader.list_dir = lambda prefix: (["a"], whole(prefix)[1])
    with pytest.raises(SourceError, match="listing of mem://store lacks b"):
        read_hierarchy(reader)


@given(
    st.sampled_from([("", "."), ("", "/"), ("c", "."), ("c", "/")]),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
)
def test_chunk_keys_of_every_encoding_look_like_chunks(encoding: Any, index: list[int]) -> None:
    key = KeyEncoding(*encoding, len(index)).tail(index)
    assert example_chunk([".zattrs", key]) == key
    assert example_chunk([f"a/{key}", key, "x.txt"]) is None


def test_consolidated_metadata_of_a_store_that_cannot_be_listed(reader_of, document) -> None:
    reader = reader_of(consolidated(3, {"a": document[3]}) | {"a/zarr.json": document[3]})

    def refuse(prefix: str) -> tuple[list[str], list[str]]:
        raise SourceError("cannot list it")

    reader.list_dir = refuse
    with pytest.raises(SourceError, match="cannot list it; --consolidated only plans without"):
        read_hierarchy(reader)
    assert names(read_hierarchy(reader, consolidated="only")) == ["a"]
