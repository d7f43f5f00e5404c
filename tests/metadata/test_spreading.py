"""Documents a line an entry, against `json.dumps`."""

import hashlib
import json
from typing import Any

import pytest

from parchunk.metadata.spec import canonical, canonical_digest
from parchunk.metadata.spreading import dumped, is_spread, spread

DOCUMENTS: list[Any] = [
    {},
    [],
    None,
    {"a": {}, "b": [], "é\n": {"x": [1, {"deep": [None, 1.5]}], "y": "ü"}, "": [[], [0, 1], {}]},
    {"metadata": {f"a{n}/.zarray": {"shape": [n], "fill_value": float("inf")} for n in range(3)}},
]


@pytest.mark.parametrize("levels", range(5))
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_spread_reads_back_the_same(document: Any, levels: int) -> None:
    text = spread(document, levels).decode()
    assert json.dumps(json.loads(text)) == json.dumps(document)  # the order of keys, too


@pytest.mark.parametrize("size", [1, 20, 1 << 16])
@pytest.mark.parametrize("levels", range(4))
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_dumped_in_pieces_is_what_json_dumps_gives(
    document: Any, levels: int, size: int
) -> None:
    pieces = list(dumped(document, levels, size))
    assert "".join(pieces) == json.dumps(document)
    assert len(pieces) > 1 or size > 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_bytes_are_spread_that_are_no_shorter_longer_or_other(document: Any) -> None:
    data = spread(document, 2)
    assert is_spread(data, document, 2)
    others = [data[:-1], data + b" ", data[1:], b"", data.replace(b"a", b"b")]
    assert not any(is_spread(other, document, 2) for other in others if other != data)


def test_an_entry_is_a_line() -> None:
    text = spread({"metadata": {"a": {"shape": [1, 2]}, "b": {}}, "record_size": 3}, 2).decode()
    assert text.splitlines() == [
        "{",
        ' "metadata": {',
        '  "a": {"shape": [1, 2]},',
        '  "b": {}',
        " },",
        ' "record_size": 3',
        "}",
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_digests_are_of_the_one_spelling_of_a_document(document: Any) -> None:
    assert canonical_digest(document) == hashlib.sha256(canonical(document).encode()).hexdigest()
