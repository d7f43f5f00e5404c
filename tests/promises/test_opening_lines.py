"""The lines `open it: ...` that commands print, run as they are printed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from parchunk.cli.main import run

pytestmark = pytest.mark.s3


@pytest.fixture
def url(bucket: Any, tmp_path: Path) -> str:
    """A store in the bucket, whose server only options name."""
    array = zarr.create_array(
        tmp_path / 'it"s.zarr/v', shape=(6,), chunks=(2,), dtype="i4", dimension_names=("x",)
    )
    array[...] = np.arange(1, 7)
    zarr.open_group(tmp_path / 'it"s.zarr', mode="a", zarr_format=3)
    bucket.upload(tmp_path / 'it"s.zarr', 'data/it"s.zarr')
    return f's3://{bucket.name}/data/it"s.zarr'


def opened(said: str) -> Any:
    """Return what the printed line opens."""
    scope: dict[str, Any] = {}
    exec(f"import parchunk, xarray; found = {said.rpartition('open it: ')[2]}", scope)
    return scope["found"]


def given(option: str, values: dict[str, str]) -> list[str]:
    return [text for key, value in values.items() for text in (option, f"{key}={value}")]


def test_references_and_a_repository_at_a_server_of_their_own(
    url: str, bucket: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("s3fs")
    pytest.importorskip("icechunk")
    anonymous = {"endpoint": bucket.endpoint, "region": "us-east-1", "skip_signature": "true"}
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    out, repo = f"s3://{bucket.name}/refs", f"s3://{bucket.name}/repo"
    to_out = given("--output-option", anonymous)
    build = ["build", url, out, *given("--store-option", anonymous), *to_out]
    assert run([*build, "--no-progress"]) == 0
    said = capsys.readouterr().out
    assert f'"endpoint": "{bucket.endpoint}"' in said
    with opened(said) as dataset:
        assert dataset.v.values.tolist() == [1, 2, 3, 4, 5, 6]
    command = ["to-icechunk", out, repo, *to_out, *given("--repo-option", anonymous)]
    assert run([*command, "--no-progress"]) == 0
    with opened(capsys.readouterr().out) as dataset:
        assert dataset.v.values.tolist() == [1, 2, 3, 4, 5, 6]


def test_secrets_are_dots(
    url: str, bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"access_key_id": "AKIAtold", "secret_access_key": "never-told"}
    options = given("--store-option", {**bucket.options, **secret})
    assert run(["build", url, str(tmp_path / "out"), *options, "--no-progress"]) == 0
    shown = capsys.readouterr()
    line = shown.out.rpartition("open it: ")[2]
    assert '"access_key_id": "..."' in line
    assert '"secret_access_key": "..."' in line
    assert f'"endpoint": "{bucket.endpoint}"' in line
    assert "told" not in shown.out + shown.err


def test_stores_below_a_bucket_are_named(
    url: str, bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.zarr", "b.zarr", "no store"):
        bucket.upload(tmp_path / 'it"s.zarr', f"era5/{name}" if name != "no store" else "era5/n/o")
    options = given("--store-option", bucket.options)
    assert run(["plan", f"s3://{bucket.name}/era5", *options]) == 2
    said = capsys.readouterr().err
    assert f"give for example s3://{bucket.name}/era5/a.zarr; the others are b.zarr;" in said
    assert run(["plan", f"s3://{bucket.name}", *options]) == 2
    assert f"give for example s3://{bucket.name}/" in capsys.readouterr().err


def test_references_are_not_named_as_stores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = zarr.open_group(tmp_path / "z.zarr", mode="w")
    root.create_array("v", shape=(2,), chunks=(1,), dtype="i1")[:] = 1
    for out in ("a.refs", "b.refs"):
        assert run(["build", str(tmp_path / "z.zarr"), str(tmp_path / out), "--no-progress"]) == 0
    capsys.readouterr()
    for said in ("z.zarr\n", "y.zarr; the others are z.zarr;"):
        assert run(["plan", str(tmp_path)]) == 2
        assert f"give for example {tmp_path}/{said}" in capsys.readouterr().err
        shutil.copytree(tmp_path / "z.zarr", tmp_path / "y.zarr", dirs_exist_ok=True)
