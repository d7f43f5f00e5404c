"""What record files are called: in one place, which all that look for them ask."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

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
