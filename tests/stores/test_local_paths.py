"""Paths and URLs of this machine: what is named is what is meant, or refused."""

import re
import shutil
from pathlib import Path

import pytest
import zarr
from obstore.store import MemoryStore

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.stores.local_paths import path_of
from parchunk.stores.options import PROVIDERS


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:/bucket/out", "write s3://bucket/out (or ./ before it"),
        ("S3:bucket/out", "write s3://bucket/out"),
        ("file:/d/out", "write file:///d/out"),
        ("https:/host/s.zarr", "write https://host/s.zarr"),
        ("s3a:/b/x", "write s3a://b/x"),
        ("GCS:/b/x", "write gcs://b/x"),
        ("s3:/b/x?versionId=1", "write s3://b/x?versionId=1 "),
        ("abfss:/c@a.dfs.core.windows.net/x", "write abfss://c@a.dfs.core.windows.net/x "),
        ("file:x", "write x, or file:///PATH"),
        ("file:", "write file:///PATH "),
        ("s3:", "write s3://BUCKET/PATH"),
        ("s3:/?x", "write s3://BUCKET/PATH"),
        ("az:/", "write az://BUCKET/PATH"),
        ("http:", "write http://HOST/PATH"),
        ("file://d/out", "names the machine 'd': write file:///PATH"),
        ("file:///d/out?v=1", "write %3F for it"),
        ("file:///d/out#1", "write %23 for it"),
    ],
)
def test_what_would_be_another_place_is_refused(url: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        path_of(url)


@pytest.mark.parametrize("scheme", [*PROVIDERS, "file", "http", "https"])
def test_every_scheme_that_is_opened_is_one_that_may_lose_a_slash(scheme: str) -> None:
    with pytest.raises(InputError, match="two slashes follow the scheme"):
        path_of(f"{scheme}:/b/x")


BROKEN = [
    "file://me:hunter22@host/x",
    "file://a@b:hunter22@host/x",
    "file://host/x?token=hunter22",
    "https:/me:hunter22@host/x",
    "https:/hunter22@host/x",
    "https:me:hunter22@host/x",
    "https:\\\\me:hunter22@host/x",
    "https:/host/x?token=hunter22",
    "s3:/me:hunter22@b/*.zarr",
    "gcs:/me:hunter22@b/x",
    "htps:/me:hunter22@b/x",
    "//me:hunter22@host/x",
    "s3//me:hunter22@b/x",
    "me:hunter22@host/x",
    " https://me:hunter22@host/x",
]


@pytest.mark.parametrize("url", BROKEN)
def test_no_secret_of_a_broken_url_is_repeated(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does a folder of its name come to be."""
    monkeypatch.chdir(tmp_path)
    zarr.create_array("s.zarr", shape=(2,), chunks=(1,), dtype="i4")[:] = 1
    calls = [
        lambda: parchunk.plan(url),
        lambda: parchunk.plan(["s.zarr", url], stack="run"),
        lambda: parchunk.build("s.zarr", url),
        lambda: parchunk.status(url),
        lambda: parchunk.open_dataset(url),
    ]
    for call in calls:
        with pytest.raises(InputError) as raised:
            call()
        assert "hunter22" not in str(raised.value)
    for words in (["plan", url], ["build", "s.zarr", url, "--json"], ["status", url]):
        assert run(words) == 2
    said = capsys.readouterr()
    assert "hunter22" not in said.out + said.err
    assert [path.name for path in tmp_path.iterdir()] == ["s.zarr"]


def test_a_path_that_was_a_url_is_told_to_be_given_as_text() -> None:
    with pytest.raises(
        InputError, match="as text, as a Path keeps one: write https://HOST"
    ) as said:
        parchunk.plan(Path("https://me:hunter22@host/x"))
    assert "hunter22" not in str(said.value)


@pytest.mark.parametrize("url", ["s3:/me:hunter22@b/x", "me:hunter22@host", "//me:hunter22@host"])
def test_references_carry_no_secret_of_a_broken_url(url: str) -> None:
    with pytest.raises(InputError, match="carries credentials") as raised:
        parchunk.Source(MemoryStore(), "", url)
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///d/a%20b%23c%3Fd", "/d/a b#c?d"),
        ("file://localhost/d", "/d"),
        ("/d/a#b?c%20", "/d/a#b?c%20"),
        ("/d/s3:/x", "/d/s3:/x"),
        ("/d/me:you@x", "/d/me:you@x"),
        ("/me:you@x", "/me:you@x"),
        ("/d//run@12:30", "/d/run@12:30"),
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
    assert run(["audit", "file:out", "--no-progress"]) == 2
    (path,) = re.findall(r"write (\S+), or", capsys.readouterr().err)
    assert run(["audit", path, "--no-progress"]) == 0
    shutil.rmtree(tmp_path / "out")
    assert run(["build", "s.zarr", "./s3:/out", "--no-progress"]) == 0
    assert (tmp_path / "s3:/out/.zmetadata").exists()
