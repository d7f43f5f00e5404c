"""Documents that are read back an entry at a time, against `json.loads`."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parchunk.metadata.gathering import gathered
from parchunk.metadata.spreading import Each, Pairs, listed, spread

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "é", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)
PATHS = [("a",), ("b", "a"), ("é",)]


def text_of(_: Any, value: Any) -> str:
    return json.dumps(value)


def taken(document: Any) -> Any:
    """Return what `gathered` does, of a document that was read whole."""
    for *above, last in PATHS:
        held = document
        for name in above:
            held = held.get(name) if isinstance(held, dict) else None
        found = held.get(last) if isinstance(held, dict) else None
        if isinstance(found, dict):
            held[last] = {name: text_of(name, value) for name, value in found.items()}
        elif isinstance(found, list):
            held[last] = [text_of(0, value) for value in found]
    return document


@given(
    JSON,
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(1, 12),
)
@example({"a": [12345, 1.5e10], "b": {"a": {"x": [True]}}}, None, True, "utf-8", 1)
@example(-0.0, None, True, "utf-8", 3)
@example({"a": [1.5e-20, 1e300]}, None, True, "utf-8", 3)
def test_entries_are_what_the_library_reads(
    document: Any, indent: int | None, is_ascii: bool, encoding: str, window: int
) -> None:
    data = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode(encoding)
    found = gathered(data, dict.fromkeys(PATHS, text_of), window)
    assert json.dumps(found) == json.dumps(taken(json.loads(data)))


@given(JSON, st.data())
def test_what_is_broken_is_refused_as_the_library_refuses_it(
    document: Any, drawn: st.DataObject
) -> None:
    text = json.dumps({"a": document, "b": {"a": [document]}})
    at = drawn.draw(st.integers(0, len(text)))
    other = drawn.draw(st.sampled_from(["", ",", "]", "}", '"', ":", "1", " ", "{", "["]))
    data = (text[:at] + other + text[at + drawn.draw(st.integers(0, 2)) :]).encode()
    found = wanted = "refused"
    with contextlib.suppress(ValueError):
        wanted = json.dumps(taken(json.loads(data)))
    with contextlib.suppress(ValueError):
        found = json.dumps(gathered(data, dict.fromkeys(PATHS, text_of), 7))
    assert found == wanted


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_entries_that_are_made_one_at_a_time_are_spelled_as_those_of_a_list(
    count: int, levels: int
) -> None:
    def entry(number: int) -> dict[str, int]:
        return {"n": number}

    values = range(count)
    lazily = {"a": Each(entry, values), "b": Pairs((f"x{n}", entry(n)) for n in values)}
    whole = {"a": listed(entry, values), "b": {f"x{n}": entry(n) for n in values}}
    assert spread(lazily, levels) == spread(whole, levels)
