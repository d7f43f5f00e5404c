"""The examples, run as a user would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart(tmp_path: Path) -> None:
    assert "200 of 200 chunks referenced in 4 regions" in run(EXAMPLES / "quickstart.py", tmp_path)


@pytest.mark.slow
def test_build_on_dask(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    store = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    store.create_array("t", shape=(12, 4), chunks=(1, 2), dtype="f4", dimension_names=("t", "x"))[
        :
    ] = 1.0
    said = run(EXAMPLES / "build_on_dask.py", tmp_path / "s.zarr", tmp_path / "refs")
    assert "24 of 24 chunks referenced" in said
    assert "complete: every expected chunk is referenced" in said


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def test_many_stores(tmp_path: Path, where: str, request: pytest.FixtureRequest) -> None:
    place, environment = str(tmp_path), {}
    if where == "bucket":
        bucket = request.getfixturevalue("bucket")
        place = f"s3://{bucket.name}/reanalysis"
        environment = {
            "AWS_ENDPOINT_URL": bucket.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    said = run(EXAMPLES / "many_stores.py", place, **environment)
    assert "61 of 61 chunks of 2 stores" in said
    assert "92 of 92 chunks after the update" in said
    assert "281.5 K, 282.5 K, 283.5 K" in said
    assert "rain is not complete: 2024-01-01 12:00" in said
    assert "0 chunks missing of 2 initialisations" in said
