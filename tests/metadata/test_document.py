"""Single documents and names, hostile ones above all: one line each, never a traceback."""

import json
import subprocess
import sys

import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

from parchunk.errors import MetadataError
from parchunk.metadata import document as module
from parchunk.metadata.document import check_depth, parse_document, shorten
from parchunk.metadata.names import name_problem
from parchunk.stores.oversized import Oversized


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"\x80abc", "is not JSON"),
        (b"[1]", r"is not a JSON object but \[1\]"),
        (b"null", "is not a JSON object but None"),
        (b'"' + b"x" * 999 + b'"', "is not a JSON object but xxx"),
        (b'{"a": ' + b"1" * 10_000 + b"}", "is not JSON"),
        (b"[" * 200_000, "is nested deeper"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "is nested deeper"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested deeper"),
    ],
)
def test_broken_documents(data, reason) -> None:
    with pytest.raises(MetadataError, match=reason) as caught:
        parse_document(data)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_documents_too_large_are_not_parsed() -> None:
    assert parse_document(b'{"a":   1}', limit=10) == {"a": 1}
    with pytest.raises(MetadataError, match="has 11 bytes, more than the 10"):
        parse_document(b'{"a":    1}', limit=10)


def test_an_oversized_object_is_refused_by_its_size() -> None:
    found = Oversized.of(2**30)
    assert len(found) == 0
    with pytest.raises(MetadataError, match="has 1,073,741,824 bytes, more than the 67,108,864"):
        parse_document(found)


def test_a_document_of_a_gibibyte_is_not_read(tmp_path) -> None:
    """It is refused by name in little memory, and can be excluded."""
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    root.create_array("a", shape=(4,), chunks=(2,), dtype="f4")
    (tmp_path / "s.zarr/b").mkdir()
    with (tmp_path / "s.zarr/b/.zarray").open("wb") as file:
        file.truncate(2**30)  # sparse: takes no room on disk
    script = (
        "import resource, sys, parchunk.public, zarr.core.metadata.v2\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before = peak()\n"
        "try:\n    parchunk.plan(sys.argv[1])\n"
        "except parchunk.MetadataError as error:\n    print(error)\n"
        "parchunk.plan(sys.argv[1], exclude=['b'])\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s.zarr")],
        check=True,
        capture_output=True,
        text=True,
    )
    said, grown = done.stdout.splitlines()
    assert "b/.zarray: has 1,073,741,824 bytes, more than the 67,108,864 that are read" in said
    assert int(grown) < 100


def test_documents_that_zarr_writes_though_json_has_no_word_for_them() -> None:
    parsed = parse_document(b'{"a": NaN, "b": [Infinity, -Infinity], "c": 1e999}')
    assert str(parsed) == "{'a': nan, 'b': [inf, -inf], 'c': inf}"


def test_depth_is_that_of_the_deepest_branch() -> None:
    def nest(levels: int) -> object:
        value: object = 1
        for _ in range(levels):
            value = [value]
        return value

    check_depth({"flat": [1] * 10_000, "deep": nest(module.MAX_DEPTH - 2)})
    with pytest.raises(MetadataError):
        check_depth({"flat": 1, "deep": nest(module.MAX_DEPTH + 1)})


@given(st.text() | st.binary() | st.lists(st.integers()) | st.floats())
def test_shortened_values_are_one_short_line(value) -> None:
    text = shorten(value)
    assert len(text) <= 60
    assert len(text.splitlines()) <= 1


GOOD = [
    "air",
    "air/c",
    "air_temp",
    "a b#%?",
    "日本",
    "...",
    ".hidden",
    "x.parq",
    "c/0",
    "-",
    "T_mean",
]
BAD = [
    *["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b"],
    *["a\\b", "..\\a", "C:", "0:", "a/é:x", "c:/x", "a/D:x", "a\0b", "a\nb", "a\u2028b", "\x7f"],
    *[".zmetadata", ".zgroup", "a/.zarray", ".zattrs/b", "zarr.json", "a/refs.0.parq"],
    *[".parchunk", ".parchunk/plan.json", "a/.parchunk-x", "x" * 256, "é" * 128, "\ud800"],
]


@pytest.mark.parametrize("name", GOOD)
def test_good_names(name) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_names_that_would_leave_the_output(name) -> None:
    problem = name_problem(name)
    assert problem
    assert len(problem.splitlines()) == 1
    json.dumps(problem).encode()


@given(st.text())
@example("0:")
@example("0:0")
def test_good_names_stay_below_the_output(name) -> None:
    """The oracle is the path arithmetic of both kinds of file system."""
    import ntpath
    import posixpath

    if name_problem(name) is None:
        for path in (posixpath, ntpath):
            joined = path.normpath(path.join("out", name))
            assert joined.replace("\\", "/").startswith("out/")
