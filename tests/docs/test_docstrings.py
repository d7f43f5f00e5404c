"""`help` tells what every parameter of a public function, and every value of a result, is."""

import dataclasses
import inspect
import re

import pytest

import parchunk

FUNCTIONS = [name for name in parchunk.__all__ if inspect.isfunction(getattr(parchunk, name))]
RESULTS = ["AuditReport", "BuildResult", "Finding", "ImportResult", "Progress", "Status"]


def words(told: object) -> set[str]:
    return set(re.findall(r"\w+", inspect.getdoc(told) or ""))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_told(name: str) -> None:
    function = getattr(parchunk, name)
    assert inspect.signature(function).parameters.keys() <= words(function)


@pytest.mark.parametrize("name", RESULTS)
def test_every_value_of_a_result_is_told(name: str) -> None:
    result = getattr(parchunk, name)
    told = {word for kind in result.__mro__[:-1] for word in words(kind)}
    assert {field.name for field in dataclasses.fields(result)} <= told
