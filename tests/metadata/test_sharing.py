"""Metadata that is kept once: equal and shared where it is spelled alike, apart where it is not."""

import json
import sys

import pytest

from parchunk.errors import MetadataError
from parchunk.metadata import sharing
from parchunk.metadata.document import parse_document
from parchunk.metadata.nodes import parse_array, read_v3_node
from parchunk.metadata.sharing import shared, shared_value
from parchunk.metadata.spec import ArraySpec


def v3(name: str, long_name: str, fill: object = 0) -> ArraySpec:
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 6],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {"long_name": long_name},
    }
    return parse_array(read_v3_node(name, json.dumps(document).encode()))


def test_arrays_that_are_alike_share_what_they_say() -> None:
    one, other, third = v3("a", "x"), v3("b", "x"), v3("c", "y")
    assert one.document is other.document is shared(one.document)
    assert one.attributes is other.attributes
    assert one.keys is other.keys is third.keys
    assert one.shape is third.shape
    assert one.document != third.document
    assert one.document["codecs"] is third.document["codecs"]
    assert sys.getsizeof(one) < 150
    for spec in (one, other, third):
        back = ArraySpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert back == spec
        assert back.document is spec.document


def test_what_is_only_nearly_alike_is_told_apart() -> None:
    fills = [0, 0.0, -0.0, False, None, "0", 1, True]
    specs = [v3("a", "x", fill) for fill in fills]
    assert [json.dumps(spec.document["fill_value"]) for spec in specs] == list(
        map(json.dumps, fills)
    )
    for one in ({"a": [1]}, {"a": [True]}, {"a": [1.0]}, {"b": {"a": 1}}, {"b": {"a": 1.0}}):
        assert json.dumps(shared(one)) == json.dumps(one)
    for value in ((2.0,), (2,), (1,), (True,)):
        assert repr(shared_value(value)) == repr(value)


def test_no_more_is_remembered_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MOST", 5)
    monkeypatch.setattr(sharing, "_documents", {})
    monkeypatch.setattr(sharing, "_returned", {})
    monkeypatch.setattr(sharing, "_values", {})
    for number in range(40):
        assert shared({"a": [number]}) == {"a": [number]}
        assert shared_value((number, number)) == (number, number)
        assert len(sharing._documents) <= 6
        assert len(sharing._returned) <= 6
        assert len(sharing._values) <= 6


def test_documents_that_are_consolidated_are_kept_once_where_they_are_alike() -> None:
    zarray = {"zarr_format": 2, "shape": [4], "fill_value": "é" * 100}
    whole = {"metadata": {f"a{n}/.zarray": zarray for n in range(50)}, "zarr_format": [1, True]}
    whole["metadata"]["a1/.zarray"] = {**zarray, "shape": [4.0]}
    for document in (whole, {"consolidated_metadata": whole, "metadata": []}):
        for is_ascii in (True, False):
            data = json.dumps(document, ensure_ascii=is_ascii).encode()
            read = parse_document(data)
            assert json.dumps(read) == json.dumps(json.loads(data))
            entries = read.get("consolidated_metadata", read)["metadata"]
            assert entries["a0/.zarray"] is entries["a49/.zarray"]
    for broken in (data[:-1], data + b"x", data.replace(b"true", b"truth")):
        with pytest.raises(MetadataError, match="is not JSON") as refused:
            parse_document(broken)
        with pytest.raises(ValueError) as said:
            json.loads(broken)
        assert str(said.value)[:50] in str(refused.value)


def test_a_document_is_known_by_what_it_is_whatever_else_came(monkeypatch) -> None:
    for name in ("_documents", "_returned", "_values"):
        monkeypatch.setattr(sharing, name, {})
    monkeypatch.setattr(sharing, "_MOST", 5)
    document = shared({"a": [1]})
    for number in range(9):
        shared_value((number,))
    assert shared({"a": [1]}) is document
    monkeypatch.setattr(sharing.json, "dumps", None)  # it is not spelled again
    assert shared(document) is document
