"""The nightly audit of examples/, night after night, as cron and CI run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
import zarr

ROOT = Path(__file__).parents[2]
POLICY = """
[arrays.t]
empty = ["time=2001-01-03:2001-01-03"]
"""


def write(store: Path, steps: int) -> None:
    root = zarr.open_group(store, mode="a", zarr_format=3)
    for name in ("t", "time"):
        if name not in root:
            root.create_array(
                name, shape=(1,), chunks=(1 if name == "t" else 99,), dtype="i4",
                dimension_names=("time",), attributes={"units": "days since 2001-01-01"},
            )  # fmt: skip
        array = root[name]
        assert isinstance(array, zarr.Array)
        array.resize((steps,))
        array[...] = np.arange(steps) + (name == "t")


def night(folder: Path, **more: str) -> tuple[int, dict[str, Any], str]:
    """Run the script; return its exit code, the audit that it keeps, and what it says."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    script = commands / "parchunk"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m parchunk "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    ran = subprocess.run(
        ["sh", str(ROOT / "examples/nightly_audit.sh"), "s.zarr", "nightly.toml", "last night"],
        cwd=folder,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=250,
    )
    kept = folder / "last night/audit.json"
    return (
        ran.returncode,
        json.loads(kept.read_text()) if kept.exists() else {},
        ran.stdout + ran.stderr,
    )


def test_nights(tmp_path: Path) -> None:
    write(tmp_path / "s.zarr", 5)
    (tmp_path / "nightly.toml").write_text(POLICY)
    (tmp_path / "s.zarr/t/c/2").unlink()
    code, first, said = night(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    assert (code, first["excused"], said) == (0, 1, ""), "and cron mails nothing"
    assert "✓ Complete" in (tmp_path / "summary").read_text(encoding="utf-8")
    assert "since" not in first
    write(tmp_path / "s.zarr", 7)
    (tmp_path / "s.zarr/t/c/2").unlink()
    (tmp_path / "s.zarr/t/c/5").unlink()
    code, second, said = night(tmp_path)
    assert (code, second["since"]["audited"]) == (1, first["audited"])
    assert "| new | t: chunk 5 along time, i.e. 2001-01-06: missing |" in said
    (new,) = second["since"]["arrays"][0]["new_gaps"]
    assert new["labels"] == "2001-01-06"
    assert ElementTree.parse(tmp_path / "last night/audit.xml").getroot().get("failures") == "1"
    code, second, said = night(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    assert (code, said) == (1, ""), "which its summary has"
    (tmp_path / "nightly.toml").write_text("expct = 1")
    code, kept, said = night(tmp_path)
    assert (code, kept) == (2, second)
    assert "expct is nothing that a policy says" in said
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/parchunk.py").write_text("import nothing_of_this_name")
    code, kept, said = night(tmp_path, PYTHONPATH=str(tmp_path / "broken"))
    assert (code, kept) == (2, second)
    assert "nothing_of_this_name" in said


def test_the_page_runs_it_so() -> None:
    page = (ROOT / "docs/audit.md").read_text()
    (job,) = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    steps = yaml.safe_load(job)["jobs"]["audit"]["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert runs[-1] == "sh nightly_audit.sh s3://bucket/store.zarr nightly.toml last"
    assert {step["with"]["path"] for step in steps if "with" in step} == {"last"}
