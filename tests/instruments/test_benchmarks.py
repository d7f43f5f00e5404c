"""``python -m benchmarks`` lists the programs, and runs one under a line of versions."""

import importlib.util
import sys

import pytest
from benchmarks.__main__ import main, programs

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
