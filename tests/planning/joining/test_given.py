"""Which stores are meant: NAME=SRC, files of them, patterns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from parchunk.errors import InputError
from parchunk.planning.joining.given import GivenStore, parse_given, read_sources, refuse_duplicates
from parchunk.planning.joining.joining import Joining
from parchunk.planning.joining.patterns import is_there, matches, split_pattern
from parchunk.planning.many_sources import find_stores, folders_above
from parchunk.stores.source import Source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/x.zarr", GivenStore("s3://b/x.zarr")),
        ("cam=s3://b/x.zarr", GivenStore("s3://b/x.zarr", "cam")),
        ("a/b=rel/x.zarr", GivenStore("rel/x.zarr", "a/b")),
        ("s3://b/year=2020/x.zarr", GivenStore("s3://b/year=2020/x.zarr")),
        ("./year=2020/x.zarr", GivenStore("./year=2020/x.zarr")),
        ("/data/year=2020", GivenStore("/data/year=2020")),
        ("data/*=1/x.zarr", GivenStore("data/*=1/x.zarr")),
    ],
)
def test_a_store_below_a_group(text: str, expected: GivenStore) -> None:
    assert parse_given(text) == expected
    assert str(expected) == text


def test_a_folder_of_that_name_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("year=2020").mkdir()
    assert parse_given("year=2020") == GivenStore("year=2020")
    assert parse_given("year=20??") == GivenStore("year=20??")
    assert parse_given("year=19??") == GivenStore("19??", "year")


@pytest.mark.parametrize("text", ["", "  ", "refs.0.parq=s3://b/x", ".zattrs/a=x"])
def test_what_is_no_store(text: str) -> None:
    if text.startswith("."):
        assert parse_given(text) == GivenStore(text)
    else:
        with pytest.raises(InputError):
            parse_given(text)


def test_a_group_of_which_readers_find_no_chunk_is_to_be_another() -> None:
    with pytest.raises(InputError, match=r"below that group: .* find no chunk: give another$"):
        parse_given("a/.zfoo=s3://b/x.zarr")


def test_a_file_of_stores() -> None:
    text = "# months\ns3://b/1.zarr\n\n  s3://b/2.zarr   # the second\ncam=s3://b/3#4.zarr\r\n"
    assert read_sources(io.StringIO(text), "-") == [
        GivenStore("s3://b/1.zarr"),
        GivenStore("s3://b/2.zarr"),
        GivenStore("s3://b/3#4.zarr", "cam"),
    ]
    with pytest.raises(InputError, match=r"--sources months\.txt: names no store"):
        read_sources(["# none\n"], "months.txt")
    with pytest.raises(InputError, match="line 2: is no text"):
        read_sources(["a\n", "\0\n"], "x")


def test_duplicates_are_refused() -> None:
    refuse_duplicates([("", "s3://b/1"), ("cam", "s3://b/1")])
    with pytest.raises(InputError, match=r"s3://b/1 is given twice \(store 1 and 3\)"):
        refuse_duplicates([("", "s3://b/1"), ("", "s3://b/2"), ("", "s3://b/1")])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s3://b/era5/*.zarr", ("s3://b/era5", ["*.zarr"])),
        ("s3://b/*/[0-9]/x", ("s3://b", ["*", "[0-9]", "x"])),
        ("/data/*.zarr", ("/data", ["*.zarr"])),
        ("/*.zarr", ("/", ["*.zarr"])),
        ("*.zarr/", (".", ["*.zarr"])),
        ("file:///d/?.zarr", ("file:///d", ["?.zarr"])),
    ],
)
def test_patterns_are_split_above_the_first_wildcard(
    pattern: str, expected: tuple[str, list[str]]
) -> None:
    assert GivenStore(pattern).is_pattern
    assert split_pattern(pattern) == expected


@pytest.mark.parametrize("pattern", ["s3://b*/x", "s3://b/**/x"])
def test_patterns_that_are_not_known(pattern: str) -> None:
    with pytest.raises(InputError):
        split_pattern(pattern)


def counted() -> tuple[Source, list[str]]:
    store = MemoryStore()
    for key in ("era5/2.zarr/.zgroup", "era5/10.zarr/.zgroup", "era5/notes/a", "era5/x",
                "era5/.old.zarr/.zgroup", "cmip/a/1.zarr/.zgroup", "cmip/b/2/.zgroup"):  # fmt: skip
        store.put(key, b"{}")
    listed: list[str] = []

    class Counted(Source):
        def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
            listed.append(prefix)
            return super().list_dir(prefix)

    return Counted(store, "", "memory://s"), listed


@pytest.mark.parametrize(
    ("segments", "found", "listings"),
    [
        (["era5", "*.zarr"], ["era5/10.zarr", "era5/2.zarr"], 2),
        (["cmip", "*", "*.zarr"], ["cmip/a/1.zarr"], 4),
        (["era5", "?.zarr"], ["era5/2.zarr"], 2),
        (["era5", ".*"], ["era5/.old.zarr"], 2),
    ],
)
def test_patterns_cost_a_listing_a_folder(
    segments: list[str], found: list[str], listings: int
) -> None:
    source, listed = counted()
    assert matches("p", segments, source) == found
    assert len(listed) == listings


def test_a_pattern_without_a_match_says_what_is_there() -> None:
    with pytest.raises(InputError, match=r"p matches no folder: there are .*10\.zarr"):
        matches("p", ["era5", "*.nc"], counted()[0])
    with pytest.raises(InputError, match="nothing is there"):
        matches("p", ["a"], Source(MemoryStore(), "", "memory://s"))


def test_a_remote_folder_with_a_bracket_is_said_how_to_be_written() -> None:
    """Of a URL nobody looks whether there is such a folder: it is a pattern."""
    store = MemoryStore()
    store.put("in/br[a]ck/.zgroup", b"{}")
    source = Source(store, "", "memory://s")
    said = r"for the folder of that name write s3://b/in/br\[\[\]a\]ck$"
    with pytest.raises(InputError, match=said):
        matches("s3://b/in/br[a]ck", ["br[a]ck"], source.child("in"))
    above, segments = split_pattern("s3://b/in/br[[]a]ck")
    assert above == "s3://b/in"
    assert matches("p", segments, source.child("in")) == ["br[a]ck"]
    store.put("in/br[a]ck/c[1]/.zgroup", b"{}")
    # Wildcards beside the name stay what they are, on whatever level it is.
    for written, then in (
        ("br[a]ck/c[*", "br[[]a]ck/c[*"),
        ("br[[]a]ck/c[1]", "br[[]a]ck/c[[]1]"),
        ("*/c[1]", "*/c[[]1]"),
    ):
        with pytest.raises(InputError) as raised:
            matches(f"s3://b/in/{written}", written.split("/"), source.child("in"))
        assert str(raised.value).endswith(f" write s3://b/in/{then}")


def test_a_folder_with_a_bracket_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "x[1].zarr").mkdir()
    assert is_there(f"{tmp_path}/x[1].zarr")
    assert not is_there("s3://b/x[1].zarr")


def test_several_stores_need_a_word() -> None:
    with pytest.raises(InputError, match=r"2 stores: say how .* --concat DIM"):
        Joining().check(2, named=False)
    Joining().check(1, named=False)
    Joining().check(2, named=True)
    Joining(merge=True).check(2, named=False)


@pytest.mark.parametrize(
    "url", ["s3://key:hunter2@b/*.zarr", "https://b/x?X-Amz-Signature=hunter2"]
)
def test_secrets_are_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        find_stores([url, "s3://b/y"])
    assert "hunter2" not in str(caught.value)


def test_the_folders_above_stores() -> None:
    urls = ["s3://a/x/1.zarr", "s3://a/x/2.zarr", "s3://b/3.zarr", "s3://c"]
    assert folders_above(urls) == ["s3://a/x", "s3://b", "s3://c"]
    assert folders_above(["/data/x/1.zarr", "/data/y"]) == ["/data"]
    assert folders_above(["s3://a/x/1.zarr"]) == ["s3://a/x"]
