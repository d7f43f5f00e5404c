"""Documents a line an entry, against `json.dumps`."""

import hashlib
import json
from typing import Any

import pytest

from parchunk.metadata.spec import canonical, canonical_digest
from parchunk.metadata.spreading import spread

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
