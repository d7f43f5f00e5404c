"""The examples run as a user runs them, with warnings as errors."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "needs", "said"),
    [
        ("store_to_icechunk", "icechunk", "11 commits, 960 references"),
        ("append_with_virtualizarr", "virtualizarr", "12 regions appended"),
    ],
)
def test_example(name, needs, said, tmp_path):
    if not find_spec(needs):
        pytest.skip(f"the extra {needs!r} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(EXAMPLES / f"{name}.py"), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
