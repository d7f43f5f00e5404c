"""The example notebook, cell by cell, as a notebook runs it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import parchunk

NOTEBOOK = Path(__file__).parents[2] / "examples" / "audit_a_store.ipynb"


def run(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; return what it displays: the value of its last line, where that is one."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_every_cell_runs_and_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert document["nbformat"] == 4
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [run("".join(cell["source"]), names) for cell in cells]
    report = next(value for value in shown if isinstance(value, parchunk.AuditReport))
    assert report.missing == sum(map(len, names["lost"].values()))
    assert "rain: chunks 40-46 along time" in report._repr_html_()
    assert "temperature: 5 single chunks missing" in report._repr_html_()
    assert next(v for v in shown if isinstance(v, bytes)).startswith(b"\x89PNG")
    assert ("rain", "2024-01-04", "rain/c/3/0/0") in shown[-3]
    assert (names["folder"] / "audit.html").read_text().startswith("<!DOCTYPE html>")
    assert repr(shown[-1]).endswith("published, 7 of 7 partitions are done>")
