"""The spelling of plans and roots is the standard library's."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parchunk.out.indented import indented

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_it_is_what_json_dumps(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=1)


def test_in_less_memory() -> None:
    value = {f"a{number}": {"shape": [8, 12], "dtype": "<f4"} for number in range(2_000)}

    def peak(spell: Callable[[Any], str]) -> int:
        tracemalloc.start()
        try:
            spell(value)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(indented) < peak(lambda found: json.dumps(found, indent=1)) / 2
