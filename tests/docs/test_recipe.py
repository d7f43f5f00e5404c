"""Package, recipe, citation and list of changes say the same."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import parchunk

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "recipe/recipe.yaml").read_text())
#: conda-forge's names, where they are others.
NAMES = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base"}


def as_conda(lines: list[str]) -> set[str]:
    """Requirements of pip in conda's spelling."""
    found = (Requirement(line) for line in lines)
    return {f"{NAMES.get(one.name, one.name)} {one.specifier}" for one in found}


def test_the_recipe_depends_on_what_the_package_does() -> None:
    python, *run = RECIPE["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]
    assert set(run) == as_conda(PROJECT["dependencies"])
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    assert set(RECIPE["requirements"]["run_constraints"]) == as_conda(extras)


def test_the_recipe_builds_and_starts_as_the_package_does() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert as_conda(build) <= set(RECIPE["requirements"]["host"])
    (entry,) = RECIPE["build"]["python"]["entry_points"]
    assert dict([entry.split(" = ")]) == PROJECT["scripts"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    assert RECIPE["about"]["license"] == PROJECT["license"]


def test_versions_are_one() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert RECIPE["context"]["version"] == parchunk.__version__
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest[1] == parchunk.__version__


def test_the_citation_is_of_this_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert (citation["title"], citation["license"]) == (PROJECT["name"], PROJECT["license"])
    assert citation["abstract"] == PROJECT["description"]
    assert citation["keywords"] == PROJECT["keywords"]
