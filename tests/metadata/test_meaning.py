"""Respelled documents mean what they did; where the meaning differs it is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metadata.odd_documents import LITTLE, PLAIN_V2, PLAIN_V3, SAME_V3, after, document, named

from parchunk.metadata.meaning import (
    array_differences,
    differences,
    hierarchy_digest,
    same_meaning,
)
from parchunk.metadata.nodes import parse_group, v2_node, v3_node
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.metadata.v2 import parse_v2_array
from parchunk.metadata.v3 import parse_v3_array

pytestmark = [
    pytest.mark.filterwarnings("ignore:The data type"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]

ONE = [["a", "<i4"]]
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}

#: Changes of a plain v2 document, and other changes that mean the same.
SAME_V2: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"dimension_separator": "."}),
    ({}, {"dimension_separator": "/"}),  # one dimension: there is nothing to separate
    ({}, {"filters": []}),
    ({"filters": "(absent)"}, {}),
    ({"compressor": "(absent)"}, {}),
    ({"fill_value": 0}, {"fill_value": 0.0}),
    ({"fill_value": "0.0"}, {"fill_value": 0.0}),
    ({"fill_value": math.nan}, {"fill_value": "NaN"}),
    ({"dtype": "|u1", "fill_value": 0}, {"dtype": "u1", "fill_value": 0}),
    ({"dtype": ">S1", "fill_value": ""}, {"dtype": "|S1", "fill_value": 0}),
    ({"dtype": "|b1", "fill_value": 0}, {"dtype": "|b1", "fill_value": False}),
    (
        {"dtype": [["a", "<i4"]], "fill_value": 0},
        {"dtype": [["a", "<i4"]], "fill_value": "AAAAAA=="},
    ),
    ({"compressor": BLOSC}, {"compressor": BLOSC | {"blocksize": 0}}),
    ({"compressor": {"id": "zlib"}}, {"compressor": {"id": "zlib", "level": 1}}),
    ({"chunks": 5}, {}),
    ({"extra": 1}, {}),
]

#: Changes of a plain document that mean something else, and the field that is to be named.
OTHER_V2: list[tuple[dict[str, Any], str]] = [
    ({"shape": [11]}, "shape [10], now [11]"),
    ({"chunks": [4]}, "chunks [5], now [4]"),
    ({"dtype": ">f4"}, 'dtype "<f4", now ">f4"'),
    ({"fill_value": 1}, "fill_value 0.0, now 1.0"),
    ({"fill_value": -0.0}, "fill_value 0.0, now -0.0"),
    ({"fill_value": None}, "fill_value 0.0, now null"),
    ({"fill_value": "NaN"}, 'fill_value 0.0, now "NaN"'),
    ({"compressor": {"id": "zlib", "level": 1}}, "compressor null, now"),
    ({"filters": [{"id": "shuffle", "elementsize": 4}]}, "filters null, now"),
    ({"order": "F"}, 'order "C", now "F"'),
]

OTHER_V3: list[tuple[dict[str, Any], str]] = [
    ({"fill_value": 1}, "fill_value 0.0, now 1.0"),
    ({"fill_value": "0x7fc00001"}, "fill_value 0.0, now"),
    ({"data_type": "float64"}, "data_type"),
    (after(named("gzip", level=1)), "codecs"),
    ({"codecs": [named("bytes", endian="big")]}, "codecs"),
    ({"dimension_names": ["x"]}, 'dimension_names [null], now ["x"]'),
    (
        {"chunk_key_encoding": named("default", separator=".")},
        'chunk keys ["c", "/"], now ["c", "."]',
    ),
    ({"attributes": {"units": "K"}}, 'attributes units not there, now "K"'),
]


def v2(changes: dict[str, Any], attributes: dict[str, Any] | None = None) -> ArraySpec:
    return parse_v2_array("a", document(PLAIN_V2, changes), attributes or {})


def v3(changes: dict[str, Any]) -> ArraySpec:
    return parse_v3_array("a", document(PLAIN_V3, changes))


def digest(array: ArraySpec) -> str:
    return hierarchy_digest(Hierarchy((array,), ()))


def means(one: ArraySpec, other: ArraySpec) -> bool:
    return same_meaning(Hierarchy((one,), ()), Hierarchy((other,), ()))


def name(value: Any) -> str:
    return json.dumps(value, default=str)[:60]


@pytest.mark.parametrize("pair", SAME_V2, ids=name)
def test_v2_documents_that_mean_the_same(pair: Any) -> None:
    one, other = map(v2, pair)
    assert array_differences(one, other) == []
    assert digest(one) == digest(other)
    assert means(one, other)


@pytest.mark.parametrize("pair", SAME_V3, ids=name)
def test_v3_documents_that_mean_the_same(pair: Any) -> None:
    if "order" in json.dumps(pair[0]) or (
        "blosc" in json.dumps(pair[0]) and "shuffle" not in json.dumps(pair[0])
    ):
        return  # the same bytes, but not the same words about how to write them
    one, other = map(v3, pair)
    assert array_differences(one, other) == []
    assert digest(one) == digest(other)
    assert means(one, other)


@pytest.mark.parametrize(("changes", "said"), OTHER_V2, ids=name)
def test_other_v2_documents_are_named(changes: dict[str, Any], said: str) -> None:
    one, other = v2({}), v2(changes)
    assert any(line.startswith(said) for line in array_differences(one, other))
    assert digest(one) != digest(other)
    assert not means(one, other)


@pytest.mark.parametrize(("changes", "said"), OTHER_V3, ids=name)
def test_other_v3_documents_are_named(changes: dict[str, Any], said: str) -> None:
    one, other = v3({}), v3(changes)
    assert any(line.startswith(said) for line in array_differences(one, other))
    assert digest(one) != digest(other)
    assert not means(one, other)


def test_of_long_values_that_is_shown_in_which_they_differ() -> None:
    zstd = {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
    (said,) = array_differences(v3({"codecs": [LITTLE]}), v3({"codecs": [LITTLE, zstd]}))
    before, now = said.removeprefix("codecs ").split(", now ")
    assert before.startswith("...")
    assert "zstd" in now
    assert max(len(before), len(now)) <= 60


def test_fields_that_may_differ() -> None:
    one, other = v2({}, {"u": 1}), v2({"shape": [20]}, {"u": 2, "v": 1})
    assert array_differences(one, other, ("shape", "attributes")) == []
    assert array_differences(one, other, ("shape",)) == [
        "attributes u 1, now 2",
        "attributes v not there, now 1",
    ]


def test_two_dimensions_have_a_separator() -> None:
    square = {"shape": [4, 4], "chunks": [2, 2]}
    assert digest(v2(square)) == digest(v2(square | {"dimension_separator": "."}))
    assert digest(v2(square)) != digest(v2(square | {"dimension_separator": "/"}))


def test_formats_differ() -> None:
    assert "zarr_format 2, now 3" in array_differences(v2({}), v3({}))


def test_attributes_are_compared_as_json_knows_them() -> None:
    assert digest(v2({}, {"a": 1, "b": [2.0]})) == digest(v2({}, {"b": [2], "a": 1.0}))
    for other in ({"a": True}, {"a": "1"}, {"a": 1.5}, {"a": None}, {}):
        assert digest(v2({}, {"a": 1})) != digest(v2({}, other))
    assert digest(v2({}, {"a": math.nan})) == digest(v2({}, {"a": math.nan}))


def test_what_zarr_python_cannot_read_is_compared_as_it_is_written() -> None:
    odd = {"compressor": {"id": "nope"}}
    assert array_differences(v2(odd), v2(odd)) == []
    assert array_differences(v2(odd), v2({"compressor": {"id": "nope", "x": 1}}))


def test_hierarchies() -> None:
    groups = (parse_group(v2_node("", {".zgroup": {"zarr_format": 2}})),)  # type: ignore[arg-type]
    titled = {".zgroup": {"zarr_format": 2}, ".zattrs": {"title": "x"}}
    other = (parse_group(v2_node("", titled)),)  # type: ignore[arg-type]
    one = Hierarchy((v2({}),), groups)
    assert differences(one, one) == []
    assert differences(one, Hierarchy((), groups)) == ["array a is gone"]
    assert differences(Hierarchy((), groups), one) == ["array a came"]
    assert differences(one, Hierarchy((v2({"fill_value": 2}),), groups)) == [
        "array a: fill_value 0.0, now 2.0"
    ]
    assert differences(one, Hierarchy((v2({}),), other)) == [
        'group /: attributes title not there, now "x"'
    ]


def test_groups_however_their_attributes_are_spelled() -> None:
    plain = {"zarr_format": 3, "node_type": "group"}
    found = {
        hierarchy_digest(Hierarchy((), (parse_group(v3_node("", plain | changes)),)))
        for changes in ({}, {"attributes": {}}, {"attributes": None})
    }
    assert len(found) == 1


def test_documents_that_are_spelled_alike_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand arrays most are."""
    group = parse_group(v2_node("", {".zgroup": {"zarr_format": 2}}))  # type: ignore[arg-type]
    one = Hierarchy((v2({}, {"a": math.nan}),), (group,))
    monkeypatch.setattr("parchunk.metadata.meaning.hierarchy_digest", lambda found: str(id(found)))
    assert same_meaning(one, Hierarchy((v2({}, {"a": math.nan}),), (group,)))
    for other in (
        Hierarchy((v2({}, {"a": 1}),), (group,)),
        Hierarchy((), (group,)),
        Hierarchy(one.arrays, ()),
        Hierarchy(one.arrays, (group,), skipped=(("b", "asked"),)),
    ):
        assert not same_meaning(one, other)


@settings(deadline=None, max_examples=100)
@given(
    st.floats(width=32) | st.integers(-(2**24), 2**24),
    st.floats(width=32) | st.integers(-(2**24), 2**24),
)
def test_fill_values_are_the_same_where_their_bits_are(one: float, other: float) -> None:
    def bits(value: float) -> str:
        return "nan" if math.isnan(value) else float(value).hex()

    same = digest(v3({"fill_value": one})) == digest(v3({"fill_value": other}))
    assert same == (bits(one) == bits(other))
    assert LITTLE in v3({}).document["codecs"]
