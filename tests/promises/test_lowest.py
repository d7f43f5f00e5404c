"""`make test-lowest` installs the lowest versions that pyproject.toml promises, and no others."""

import importlib.metadata
import os
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
#: There is no server of theirs to test against: what they do is fsspec's to promise.
UNTESTED = {"gcsfs", "adlfs"}


def promised() -> dict[str, Version]:
    """The lower bound of each thing that parchunk, or one of its extras, depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {}
    lines = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(line) for some in lines for line in some):
        (bound,) = requirement.specifier
        assert bound.operator == ">=", f"{requirement} has no lower bound alone"
        bounds[requirement.name] = Version(bound.version)
    return bounds


def constrained() -> dict[str, Version]:
    """The version of each constraint; all are of one version."""
    found = {}
    for line in (ROOT / "tests/lowest.txt").read_text().splitlines():
        if not line.startswith("#"):
            (bound,) = Requirement(line).specifier
            assert bound.operator == "=="
            found[Requirement(line).name] = Version(bound.version)
    return found


def test_the_constraints_are_the_bounds() -> None:
    bounds = {name: bound for name, bound in promised().items() if name not in UNTESTED}
    assert constrained() == bounds


@pytest.mark.skipif("PARCHUNK_LOWEST" not in os.environ, reason="not run by make test-lowest")
def test_the_constraints_are_what_is_installed() -> None:
    wanted = constrained()
    assert {name: Version(importlib.metadata.version(name)) for name in wanted} == wanted


def test_extras_that_are_not_tested_are_still_there() -> None:
    assert set(promised()) >= UNTESTED
