"""What an audit says to do where a source lost something: each command that it names is taken."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run


def store(path: Path, begin: int, length: int, width: int = 6, fields: str = "vw") -> None:
    units = {"units": "days since 2000-01-01"}
    arrays = {name: Made(np.ones((length, width), "f4"), ("time", "x"), (1, 3)) for name in fields}
    write(path, arrays | {"time": Made(np.arange(begin, begin + length), ("time",), None, units)})


def commands(out: Path) -> list[str]:
    """Return the updates that an audit names, each once; there is one in all of it, or in none."""
    findings = parchunk.audit(out, against_source=True).findings
    said = [found.remedy for found in findings if found.severity != "notice"]
    # No loss is for whoever has not thought of it.
    assert all(one.startswith("restore ") for one in said if "OUT --allow" in one)
    found = [
        re.findall(r"parchunk (update OUT(?: --\w[\w-]*(?: [^\s,:;-]+)?)*)", one) for one in said
    ]
    assert all(found) or not any(found), found
    return sorted({one for some in found for one in some})


def updated(out: Path, command: str) -> int:
    return run([str(out) if word == "OUT" else word for word in shlex.split(command)])


def gone(*paths: str) -> Callable[[Path], None]:
    def delete(folder: Path) -> None:
        for path in paths:
            shutil.rmtree(folder / path)

    return delete


def shorter(*paths: str, to: tuple[int, ...] = (2, 6)) -> Callable[[Path], None]:
    def resize(folder: Path) -> None:
        for path in paths:
            array = zarr.open_array(folder / path, mode="a")
            array.resize(to[: array.ndim])

    return resize


def both(*doing: Callable[[Path], None]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        for one in doing:
            one(folder)

    return do


def written_again(folder: Path) -> None:
    (folder / "a/w/0.0").write_bytes(b"of another size")


LOST: dict[str, tuple[str, Callable[[Path], None]]] = {
    "shorter": ("a", shorter("a/v", "a/w", "a/time")),
    "shorter, and another changed": ("a", both(shorter("a/v"), written_again)),
    "gone": ("a", gone("a/w")),
    "gone and shorter": ("a", both(gone("a/w"), shorter("a/v"))),
    "gone from all": ("ab", gone("a/w", "b/w")),
    "gone from one": ("ab outer", gone("a/w")),
    "gone from one that is shorter": ("ab outer", both(gone("b/w"), shorter("b/v", "b/time"))),
    "narrower": ("ab", shorter("a/v", "b/v", to=(3, 3))),
    "the last is shorter": ("ab", shorter("b/v", "b/w", "b/time")),
    "the last is shorter, all is inline": ("ab inline", shorter("b/time")),
}


@pytest.mark.parametrize("case", LOST)
def test_each_update_that_is_named_is_taken(case: str, tmp_path: Path) -> None:
    (names, *how), lose = LOST[case][0].split(), LOST[case][1]
    fields = "" if "inline" in how else "vw"
    for at, name in enumerate(names):
        store(tmp_path / name, 3 * at, 3, fields=fields)
    given = [str(tmp_path / name) for name in names]
    joined = {"concat": "time", "join": "outer" if "outer" in how else "exact"}
    plan = parchunk.plan(given, **joined) if names[1:] else parchunk.plan(given[0])
    parchunk.build(plan, tmp_path / "out")
    lose(tmp_path)
    said = commands(tmp_path / "out")
    assert said
    for number, command in enumerate(said):
        shutil.copytree(tmp_path / "out", tmp_path / f"out {number}")
        assert updated(tmp_path / f"out {number}", command) == 0, command
    for _ in range(4):  # after one of them another may be what is left
        if said:
            assert updated(tmp_path / "out", said[0]) == 0
            said = commands(tmp_path / "out")
    assert run(["audit", str(tmp_path / "out"), "--against-source"]) == 0


def test_no_update_is_named_where_none_is_made(tmp_path: Path) -> None:
    """A store that became shorter before others moves all that is behind it."""
    for at, name in enumerate("ab"):
        store(tmp_path / name, 3 * at, 3)
    plan = parchunk.plan([str(tmp_path / name) for name in "ab"], concat="time")
    parchunk.build(plan, tmp_path / "out")
    shorter("a/v", "a/w", "a/time")(tmp_path)
    assert commands(tmp_path / "out") == []
    found = parchunk.audit(tmp_path / "out", against_source=True).findings[0]
    assert found.kind == "source-metadata"
    assert found.message.endswith("/a has 2 elements, 3 before")
    for options in ([], ["--allow-shrink"]):
        assert run(["update", str(tmp_path / "out"), *options]) == 2
    out = str(tmp_path / "out")
    given = [str(tmp_path / name) for name in "ab"]
    assert run(["build", *given, out, "--concat", "time", "--overwrite", "--no-progress"]) == 0
    assert run(["audit", out, "--against-source"]) == 0
