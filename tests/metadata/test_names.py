"""What record files are called: in one place, which all that look for them ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import obstore
import pytest
import zarr

import parchunk
from parchunk.metadata.names import RECORD_FILES, name_problem, record_name, record_number


@pytest.mark.parametrize("number", [0, 7, 10, 10**18])
def test_the_number_of_a_record_file_is_in_its_name(number: int) -> None:
    assert record_number(record_name(number)) == number
    assert fnmatchcase(record_name(number), RECORD_FILES)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("refs.01.parq", 1),
        ("refs..parq", None),
        ("refs.-1.parq", None),
        ("refs.1.parquet", None),
        ("refs.1.parq.tmp", None),
        ("Refs.1.parq", None),
        ("refs.\u0663.parq", None),
        ("refs.1.parq\n", None),
    ],
)
def test_other_names(name: str, number: int | None) -> None:
    assert record_number(name) == number
    assert record_number(f"a/{name}") is None
    if "\n" not in name:
        assert (name_problem(name) is None) == (number is None)


#: Names that a store may well have, most of them odd.
NAMES = (
    *("air", "air.2", "c", "0", "00", "-1", "1.0", "g/c/0/c", "...", "..x", ".hid", ".Zarr", "z"),
    *("x.z", "g.z/x", "x.zarray", "x.json", "{x}", "{0}", "{}", "[x]", "*y", "~", "%", "a%2Fb"),
    *("a b", "a'b", 'a"b', "a|b", "@v", "$(x)", "#", "?", "e\u0301", "\u00e9", "日本", "reference"),
    *(
        "reference:x",
        "base64:AA",
        "file::x",
        "ab:c",
        "refs",
        "memory::x",
        "g/reference::x",
        "data:x",
    ),
)


DOCUMENT = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|u1", "order": "C"} | {
    "fill_value": 255, "filters": None, "compressor": None,
}  # fmt: skip


def write(folder: Path, names: tuple[str, ...]) -> str:
    """Write a store of arrays of one value, each its place among the names."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        (folder / name / ".zarray").write_text(json.dumps(DOCUMENT))
        (folder / name / "0").write_bytes(bytes([number]))
        for group in (folder / name).relative_to(folder).parents:
            (folder / group / ".zgroup").write_text('{"zarr_format": 2}')
    return str(folder)


def test_stock_readers_find_the_chunks_of_every_name_that_is_taken(
    tmp_path: Path, open_references: Callable[..., zarr.Group]
) -> None:
    source = write(tmp_path / "s", NAMES)
    assert parchunk.build(parchunk.plan(source), str(tmp_path / "refs")).present == len(NAMES)
    opened = open_references(tmp_path / "refs")
    found = {name: int(opened[name][0]) for name in NAMES}
    assert found == {name: number for number, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    "name", [".zfoo", "g/.zx", ".z/x", "reference::x", "reference::g/x", "x/0?versionId=1"]
)
def test_names_that_stock_readers_misread_are_refused(tmp_path: Path, name: str) -> None:
    """Their chunks read as fill values, or as those of another array, without an error."""
    source = write(tmp_path / "s", (name,))
    with pytest.raises(parchunk.MetadataError, match=r"its name .* under another name there"):
        parchunk.plan(source)
    group, _, last = name.rpartition("/")
    if group and last == "x":  # a group's own name is in no key of its references
        assert [array.spec.name for array in parchunk.plan(source, group=group).arrays] == ["x"]


@pytest.mark.parametrize("scheme", ["s3", "s3a", "az", "abfs"])
def test_versions_in_a_sources_own_name_are_refused(tmp_path: Path, scheme: str) -> None:
    """Its readers would ask for other keys; on a disk they are part of the path."""
    store = obstore.store.MemoryStore()
    with pytest.raises(
        parchunk.InputError, match=r"s\?versionId=1/t has '\?versionId=' in it, .*name"
    ):
        parchunk.Source(store=store, prefix="x", url=f"{scheme}://bucket/s?versionId=1/t")
    source = write(tmp_path / "s?versionId=1", ("a", "g/a"))
    assert parchunk.build(source, str(tmp_path / "refs")).present == 2
    with pytest.raises(parchunk.InputError, match=r"group .*versionid=.* check --group"):
        parchunk.plan(source, group="g?versionId=2")
