"""README's ten minutes: its commands and its snippets, letter by letter, against an S3 server."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.s3_server import new_bucket

from parchunk.cli.main import run

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = re.search(r"^## Ten minutes on S3\n.*?^## ", README, re.M | re.S)[0]

pytestmark = pytest.mark.s3


def blocks(language: str) -> list[str]:
    """The section's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.M | re.S)


#: What the snippets come to, one after the other.
COMPARE = "assert (dataset['t2m'].values.ravel() == range(1, 25)).all(); dataset.close()"


def test_ten_minutes(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "ten",
        "AWS_SECRET_ACCESS_KEY": "minutes",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    group = zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=3)
    group.create_array(
        "t2m", shape=(6, 4), chunks=(1, 2), dtype="f4", dimension_names=["time", "x"]
    )[...] = np.arange(24, dtype="f4").reshape(6, 4) + 1
    new_bucket(s3_endpoint, "bucket").upload(tmp_path / "store.zarr", "store.zarr")

    (commands,) = blocks("sh")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "parchunk"
        assert run(arguments) == 0, capsys.readouterr().err
    # As a script: s3fs keeps sessions open until the process ends.
    snippets = blocks("python")
    assert len(snippets) == 2
    script = "\n".join(f"{snippet}\n{COMPARE}" for snippet in snippets)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
