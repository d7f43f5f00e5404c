"""The examples for array jobs and engines: run as their schedulers would run them."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

import parchunk
from parchunk.cli.main import run

EXAMPLES = Path(__file__).parents[2] / "examples"
SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def source(tmp_path: Path) -> str:
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    for name in ("air", "sea"):
        group.create_array(
            name, shape=(12, 4), chunks=(1, 2), dtype="f4", dimension_names=("t", "x")
        )[:] = 1.0
    return str(tmp_path / "s.zarr")


def assert_published(out: Path) -> None:
    state = parchunk.status(str(out))
    assert state.finished
    assert sum(array.present for array in state.arrays) == 48


def test_slurm(source: str, tmp_path: Path) -> None:
    """Under bash, with what SLURM sets; a job that comes again has nothing left to do."""
    command = tmp_path / "bin/parchunk"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m parchunk "$@"\n')
    command.chmod(0o755)
    script = EXAMPLES / "slurm_array.sh"
    asked = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --array=1-20" in asked
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(SRC),
        "SLURM_ARRAY_TASK_COUNT": "2",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": "2",
    }
    said = []
    for number in (2, 1):
        done = subprocess.run(
            ["bash", script, source, tmp_path / "refs", "--region", "3"],
            env=environment | {"SLURM_ARRAY_TASK_ID": str(number)},
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert not said[0].count("open it")
    assert said[1].count("open it")
    assert_published(tmp_path / "refs")


def test_kubernetes(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's command and arguments, by each index that the Job has."""
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    (container,) = spec["template"]["spec"]["containers"]
    program, *words = container["command"] + container["args"]
    assert program == "parchunk"
    assert f"auto/{spec['completions']}" in words
    places = {"s3://bucket/store.zarr": source, "s3://bucket/refs.parquet": str(tmp_path / "refs")}
    assert set(places) <= set(words)
    words = [places.get(word, word) for word in words]
    for index in reversed(range(spec["completions"])):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        assert run(words) == 0
    assert_published(tmp_path / "refs")


@pytest.mark.slow
# what engines leave open is theirs
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("engine", ["processes", "ray", "lithops"])
def test_engines(
    engine: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if engine != "processes" and importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    example = runpy.run_path(str(EXAMPLES / "build_on_engines.py"))
    example["main"](engine, source, str(tmp_path / "refs"), parts=2)
    assert "48 of 48 chunks referenced" in capsys.readouterr().out
    assert_published(tmp_path / "refs")
