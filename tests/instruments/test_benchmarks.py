"""``python -m benchmarks`` lists the programs, and runs one under a line of versions."""

import importlib.util
import random
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.__main__ import main, programs
from benchmarks.crash_places import Folder
from benchmarks.crashes import kill_all

import parchunk


def test_each_program_is_listed_with_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    found = programs()
    assert {"requests", "scale", "versus_virtualizarr"} <= set(found)
    for name, line in found.items():
        assert importlib.util.find_spec(f"benchmarks.{name}")
        assert f"{name} " in shown
        assert line in shown
        assert line.endswith(".")
    assert "icechunk_runs" not in found, "it is imported, and runs nothing"


def test_one_is_run_with_its_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    # As in a process of its own: other tests import it, and Python warns of running it again.
    monkeypatch.delitem(sys.modules, "benchmarks.fleet", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["fleet", "--help"])
    assert ended.value.code == 0
    heading, usage, *_ = capsys.readouterr().out.splitlines()
    assert f"parchunk {parchunk.__version__}, Python {sys.version.split()[0]}" in heading
    assert "--workers" in usage


def test_one_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sacle"]) == 2
    assert "no benchmark sacle: there are audit, " in capsys.readouterr().err


def test_too_few_kills_for_all_steps_are_refused_before_any_and_what_is_named_is_enough() -> None:
    def check(wanted: Any, place: Any, folder: Any, at: Any = None, moments: Any = ()) -> str:
        killed.append("a moment" if at is None else at.name)
        folder.mkdir()
        return killed[-1]

    killed: list[str] = []
    wanted = SimpleNamespace(steps=list("aabcdefg"))
    job: Any = SimpleNamespace(undisturbed=lambda *_: wanted, check=check)
    with pytest.raises(SystemExit, match="too few for 7 steps: give 10 or more, or 0"):
        kill_all(job, Folder, 8, random.Random(0))
    assert killed == []
    assert kill_all(job, Folder, 10, random.Random(0)).keys() == {*"abcdefg", "a moment"}
