"""Files, modules and commands that the documents name are there."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from parchunk.out.output import BY_ARRAY, CLAIMS, OF_OUT

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def named(text: str) -> Iterator[str]:
    """Yield what a text names: paths of the repository."""
    yield from re.findall(
        r"(?<![\w/.])((?:src|tests|docs|examples|benchmarks|instruments)/[\w/]+\.\w+)\b", text
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document: Path) -> None:
    wrong = [path for path in named(document.read_text()) if not (ROOT / path).exists()]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_all_that_lies_in_out_is_told() -> None:
    told = re.findall(r"^OUT/(\S+)", (ROOT / "docs/layout.md").read_text(), re.MULTILINE)
    for path in (*OF_OUT, *BY_ARRAY, CLAIMS):
        assert any(f"{line}/".startswith(f"{path}/") for line in told), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_programs_exist(document: Path) -> None:
    for module in re.findall(r"python -m (benchmarks\.\w+)", document.read_text()):
        assert importlib.util.find_spec(module), module


def test_dotted_names_exist() -> None:
    """Those of `parchunk.some.thing`, in documents and in docstrings."""
    wrong = [
        (str(document.relative_to(ROOT)), dotted)
        for document in (*DOCUMENTS, *SOURCES)
        for dotted in set(re.findall(r"`(parchunk(?:\.\w+)+)", document.read_text()))
        if not _is_there(dotted)
    ]
    assert wrong == []


def _is_there(dotted: str) -> bool:
    """Whether a dotted name is a module's, or of something in one."""
    try:
        importlib.import_module(dotted)
    except ImportError:
        module, _, name = dotted.rpartition(".")
        return _has(module, name)
    return True


def _has(module: str, name: str) -> bool:
    """Whether a module, or a class in one, has a name."""
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        above, _, owner = module.rpartition(".")
        try:
            owned = getattr(importlib.import_module(above), owner, None)
        except ImportError:
            return False
        return hasattr(owned, name) or name in getattr(owned, "__annotations__", {})


def test_names_that_are_not_there_are_found() -> None:
    assert list(named("see `tests/no_such/test_thing.py` and src/parchunk/cli")) == [
        "tests/no_such/test_thing.py"
    ]
    assert not _has("parchunk.keys.encoding", "NoSuchThing")
    assert _has("parchunk.keys.encoding.KeyEncoding", "tail")


def test_the_table_of_rooms_names_what_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    found = re.findall(r"`([a-z_]+/[a-z_]+\.py)`, `([\w.]+)`", text)
    assert len(found) > 12
    wrong = [
        (path, name)
        for path, name in found
        if not (ROOT / "src/parchunk" / path).exists()
        or not re.search(
            rf"(?:def|class) {name.split('.')[-1]}\b", (ROOT / "src/parchunk" / path).read_text()
        )
    ]
    assert wrong == []
