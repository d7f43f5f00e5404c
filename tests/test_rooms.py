"""The rooms of src/parchunk use each other as docs/architecture.md says, and in no circle."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "parchunk"

#: Which rooms a room may use, beside those of `FOR_ALL`.
MAY_USE: dict[str, str] = {
    "errors": "",
    "wording": "",
    "extras": "",
    "arguments": "showing",
    "showing": "",
    "workers": "",
    "keys": "",
    "inventories": "",
    "stores": "inventories",
    "metadata": "keys stores",
    "planning": "keys metadata stores inventories",
    "cover": "planning metadata keys stores",
    "out": "planning metadata keys stores inventories",
    "listing": "cover metadata keys stores inventories",
    "writing": "listing cover out metadata keys stores",
    "reading": "out planning metadata keys stores inventories",
    "building": "workers writing listing cover out planning metadata keys stores",
    "icechunk_import": "workers reading out planning metadata keys stores",
    "auditing": "workers listing cover reading out planning icechunk_import metadata keys stores",
    "report": "auditing metadata",
    "notebooks": "report auditing building reading icechunk_import out planning metadata stores",
    "virtualizarr": "icechunk_import reading out planning metadata keys stores",
    "cli": " ".join(path.name for path in PACKAGE.iterdir() if path.is_dir()),
}
FOR_ALL = {"errors", "wording", "extras", "arguments", "showing"}
#: What runs the others: these may use the whole package.
DOORS = {"__init__", "__main__", "public"}


def modules() -> dict[str, Path]:
    """Return the modules of the package by dotted name, below ``parchunk``."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__") or "__init__"] = path
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path.read_text())


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the package that a module imports when it is imported itself."""
    typing_only = {
        inner
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in (ast.unparse(line) for line in node.body)
    }
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ImportFrom) or ast.unparse(node) in typing_only:
            continue
        name = node.module or ""
        if name.split(".")[0] != "parchunk":
            continue
        below = name.removeprefix("parchunk").lstrip(".")
        for alias in node.names:
            deeper = f"{below}.{alias.name}".lstrip(".")
            yield deeper if deeper in known else below or "__init__"


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Return which modules each module imports: read when a test asks, not by all who collect."""
    known = modules()
    return {name: set(imports(path, known)) - {name} for name, path in known.items()}


def room(module: str) -> str:
    """Return the room that a module is in."""
    return module.split(".")[0]


def test_the_table_names_every_room_and_no_other(graph: dict[str, set[str]]) -> None:
    assert {room(name) for name in graph} - DOORS == set(MAY_USE)


@pytest.mark.parametrize("name", sorted(MAY_USE))
def test_a_room_uses_only_what_it_may(name: str, graph: dict[str, set[str]]) -> None:
    allowed = {name, *FOR_ALL, *MAY_USE[name].split()}
    wrong = {
        f"{module} uses {used}"
        for module, uses in graph.items()
        if room(module) == name
        for used in uses
        if room(used) not in allowed
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_rooms_use_each_other_in_no_circle(graph: dict[str, set[str]]) -> None:
    tidy: dict[str, set[str]] = {}
    for module, uses in graph.items():
        if module not in DOORS:
            tidy.setdefault(room(module), set()).update(map(room, uses))
    tidy = {name: uses - {name} for name, uses in tidy.items()}
    assert_no_circle(tidy)


def test_files_use_each_other_in_no_circle(graph: dict[str, set[str]]) -> None:
    assert_no_circle(graph)


def assert_no_circle(graph: dict[str, set[str]]) -> None:
    """Fail with the circle's names where there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_circle_would_be_found() -> None:
    with pytest.raises(pytest.fail.Exception, match="a <- b"):
        assert_no_circle({"a": {"b"}, "b": {"a"}})


def test_imports_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "from parchunk import keys\n"
        "from parchunk.keys.numbers import index\n"
        "def later():\n    from parchunk.out import lease\n"
    )
    assert set(imports(path, modules())) == {"keys", "keys.numbers", "out.lease"}


def test_no_module_imports_itself() -> None:
    known = modules()
    wrong = [
        name for name, path in known.items() if name != "__init__" and name in imports(path, known)
    ]
    assert wrong == []


def test_nothing_lies_flat() -> None:
    """`ls src/parchunk` is the table of contents."""
    flat = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert flat == {
        "__init__.py", "__main__.py", "errors.py", "extras.py", "public.py", "py.typed",
        "wording.py",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(MAY_USE))
def test_every_room_says_what_it_is(name: str) -> None:
    if (PACKAGE / name).is_dir():
        assert ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text()))


def test_private_names_stay_in_their_files() -> None:
    wrong = [
        f"{name}: {alias.name}"
        for name, path in modules().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("parchunk")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert wrong == []
