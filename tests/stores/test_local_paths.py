"""Paths and URLs of this machine: what is named is what is meant, or refused."""

import re
import shutil
from pathlib import Path

import pytest
import zarr

from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.stores.local_paths import path_of


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:/bucket/out", "write s3://bucket/out (or ./s3:/bucket/out"),
        ("S3:bucket/out", "write s3://bucket/out"),
        ("file:/d/out", "write file:///d/out"),
        ("https:/host/s.zarr", "write https://host/s.zarr"),
        ("file://d/out", "names the machine 'd': write file:///PATH"),
        ("file:///d/out?v=1", "write %3F for it"),
        ("file:///d/out#1", "write %23 for it"),
    ],
)
def test_what_would_be_another_place_is_refused(url: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        path_of(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///d/a%20b%23c%3Fd", "/d/a b#c?d"),
        ("file://localhost/d", "/d"),
        ("/d/a#b?c%20", "/d/a#b?c%20"),
        ("/d/s3:/x", "/d/s3:/x"),
        ("/d/", "/d"),
    ],
)
def test_what_is_named(url: str, path: str) -> None:
    assert path_of(url) == Path(path)


def test_an_out_of_which_a_slash_was_lost_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is said to write is taken."""
    monkeypatch.chdir(tmp_path)
    zarr.create_array("s.zarr", shape=(2,), chunks=(1,), dtype="i4")[:] = 1
    assert run(["build", "s.zarr", f"file:{tmp_path}/out", "--no-progress"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.zarr"]
    (url,) = re.findall(r"write (\S+) \(or", capsys.readouterr().err)
    assert run(["build", "s.zarr", url, "--no-progress"]) == 0
    shutil.rmtree(tmp_path / "out")
    assert run(["build", "s.zarr", "./s3:/out", "--no-progress"]) == 0
    assert (tmp_path / "s3:/out/.zmetadata").exists()
