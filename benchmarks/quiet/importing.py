"""Imports into Icechunk in a history: the branch holds what OUT does, or stays what it was."""

from __future__ import annotations

from typing import Any

import numpy as np

import parchunk
from benchmarks.quiet.course import Course, Wrong
from benchmarks.quiet.truth import Held


def import_now(one: Course) -> None:
    """Import what OUT is of, which agrees with its source, and compare all values."""
    repository, truth = one.repository, one.truth()
    if repository is None:
        return
    repository.begin()
    before = repository.snapshot()
    code, said = one.run(one.manner.of("to-icechunk", one.manner.out, *repository.command()))
    if code == 2:
        if repository.snapshot() != before:
            raise Wrong("an import that was refused has moved the branch")
        remedy = said["error"].partition("open it in Python as repo and run: ")[2]
        if remedy:
            exec(remedy, {"repo": parchunk.open_icechunk(str(repository.path))})
        else:
            repository.number += one.dice.random() < 0.5
        return
    try:
        values = repository.values()
    except Exception as error:
        if "modified" in str(error) or "changed" in str(error):  # since it was referenced
            one.counts["imports of what was rewritten"] += 1
            return
        raise
    compare(values, repository.wanted(truth, one.shape.axis), truth)
    one.counts["imports compared"] += 1
    code, said = one.run(one.manner.of("audit", one.manner.out, "--icechunk", str(repository.path)))
    odd = [found["message"] for found in said.get("findings", ()) if found["kind"] == "repository"]
    if odd and repository.before is None and not {*values} - {*truth}:
        raise Wrong(f"an audit finds other than was imported: {odd[:3]}")


def compare(values: dict[str, Any], wanted: dict[str, Any], truth: dict[str, Held]) -> None:
    """Refuse other values than are wanted of any array."""
    for name in truth:
        if name not in values:
            raise Wrong(f"the repository has no {name}")
        if not np.array_equal(values[name], wanted[name]):
            shapes = values[name].shape, wanted[name].shape
            raise Wrong(f"the repository has other values of {name} ({shapes[0]}, {shapes[1]})")
