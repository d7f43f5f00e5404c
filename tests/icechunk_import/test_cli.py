"""``parchunk to-icechunk`` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numcodecs
import pytest
import zarr

import parchunk
from parchunk import extras
from parchunk.cli.main import run
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.repository import open_or_create
from parchunk.stores.opening import Location


def test_it_imports_resumes_and_says_when_all_is_in(grow, build, tmp_path, capsys):
    out = build(grow(8), split="time", region=4)
    repo = str(tmp_path / "repo")
    assert run(["to-icechunk", out, repo, "--regions", "1"]) == 1
    shown = capsys.readouterr()
    assert "2 commits, " in shown.out
    assert "1 of 2 regions are in" in shown.out
    assert run(["to-icechunk", out, repo]) == 0
    shown = capsys.readouterr()
    assert "1 commit, 20 references" in shown.out
    code = shown.out.rpartition("open it: ")[2]
    scope: dict[str, object] = {}
    exec(f"import parchunk, xarray; ds = {code}", scope)
    assert scope["ds"]["air"].shape == (8, 4, 6)  # type: ignore[index]
    assert run(["to-icechunk", out, repo]) == 0
    assert "everything is in already; nothing to commit" in capsys.readouterr().out


def test_json(grow, build, tmp_path, capsys):
    out = build(grow(8), split="time", region=4)
    assert run(["to-icechunk", out, str(tmp_path / "repo"), "--json", "--publish"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["published"]
    assert [commit["region"] for commit in told["commits"]] == [None, 0, 1]
    assert run(["to-icechunk", out, str(tmp_path / "repo"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["commits"] == []


@pytest.mark.parametrize("given", ["x", "3-1", "1,,2", "-4", "1-"])
def test_bad_regions_are_named(given, grow, build, tmp_path, capsys):
    out = build(grow(4), split="time", region=4)
    assert run(["to-icechunk", out, str(tmp_path / "repo"), f"--regions={given}"]) == 2
    assert "write e.g. 0-9,15" in capsys.readouterr().err


def test_errors_are_one_line_without_secrets(grow, build, tmp_path, capsys):
    out = build(grow(4), split="time", region=4)
    for arguments in (
        [str(tmp_path / "none"), str(tmp_path / "repo")],
        [out, str(tmp_path / "repo"), "--branch", ""],
        [out, "ftp://x/y"],
        [out, "https://x/y"],
        [out, "s3://bucket"],
        [out, "s3://bucket/x", "--repo-option", "secret=HUSH"],
        [out, "az://bucket/x"],
        [out, "s3://user:HUSH@bucket/x"],
    ):
        assert_one_line(arguments, capsys)


@pytest.mark.parametrize(
    ("repo", "said"),
    [("source/repo", "inside SRC"), ("out/repo", "inside OUT"), ("out/air/repo", "inside OUT")],
)
def test_a_repository_lies_apart_from_what_it_is_made_of(
    repo, said, grow, build, tree, tmp_path, capsys
):
    out = build(grow(4), split="time", region=4)
    before = tree(tmp_path)
    assert run(["to-icechunk", out, str(tmp_path / repo)]) == 2
    assert f"{said} {tmp_path}" in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("repo", "said"),
    [("file", "no Icechunk repo"), ("file/repo", "Not a directory"), ("n" * 300, "name too long")],
)
def test_a_repository_whose_folder_cannot_be_made_is_one_line(
    repo, said, grow, build, tmp_path, capsys
):
    """Icechunk panics there."""
    (tmp_path / "file").touch()
    out = build(grow(2), split="time", region=2)
    there = str(tmp_path / repo)
    assert said in assert_one_line([out, there], capsys)
    assert "no Icechunk repo" in assert_one_line([out, there, "--append", "time"], capsys)


def test_a_folder_that_may_not_be_listed_is_no_repositorys(grow):
    """Icechunk finds none in it; whether it is empty nobody can tell."""
    plan = parchunk.plan(grow(2))
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o311)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # permissions do not bind root
            with pytest.raises(parchunk.OutputError, match=r"cannot list .*ermission.*another RE"):
                open_or_create(name, plan, Container.of(plan.location), Location("/out"))
        finally:
            os.seteuid(user)
            Path(name).chmod(0o755)


@pytest.mark.slow  # icechunk tries again for half a minute
def test_an_unreachable_repository_is_one_line(grow, build, capsys):
    options = ("endpoint=http://127.0.0.1:9", "access_key_id=a", "secret_access_key=HUSH")
    given = [word for option in options for word in ("--repo-option", option)]
    assert_one_line([build(grow(4), split="time", region=4), "s3://bucket/repo", *given], capsys)


def assert_one_line(arguments, capsys):
    assert run(["to-icechunk", *arguments]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.strip().splitlines()) == 1, shown.err
    assert shown.err.startswith("parchunk: ")
    assert "Traceback" not in shown.err
    assert "HUSH" not in shown.err + shown.out
    return shown.err


def test_without_the_extra_it_is_named(grow, build, tmp_path, monkeypatch, capsys):
    out = build(grow(4), split="time", region=4)
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "icechunk" else find_spec(name)
    )
    assert run(["to-icechunk", out, str(tmp_path / "repo")]) == 2
    said = "parchunk: icechunk is not installed: pip install 'parchunk[icechunk]'\n"
    assert capsys.readouterr().err == said
    assert not Path(tmp_path / "repo").exists()


def test_what_only_some_calls_need_is_not_imported_with_the_public_names():
    code = (
        "import sys, parchunk; parchunk.build\n"
        "print({'icechunk', 'zarr', 'duckdb', 'pandas', 'xarray'} & {*sys.modules} or [])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_arrays_are_chosen_by_globs(grow, build, opened, tmp_path, capsys):
    out = build(grow(8), split="time", region=4)
    repo = str(tmp_path / "repo")
    assert run(["to-icechunk", out, repo, "--include", "deep/*", "--include", "t*"]) == 0
    assert sorted(opened(repo)) == ["deep", "time"]
    assert run(["to-icechunk", out, repo, "--exclude", "height", "--exclude", "crs"]) == 0
    assert sorted(opened(repo)) == ["air", "deep", "time"]
    assert opened(repo)["air"][...].tolist() == zarr.open(f"{tmp_path}/source/air")[...].tolist()
    compared = parchunk.icechunk_import.compare_with_repo(out, repo)
    assert compared.equal
    assert compared.left_out == ("crs", "height")
    capsys.readouterr()
    assert run(["to-icechunk", out, repo, "--exclude", "nothing"]) == 2
    assert "--exclude nothing matches no array of the references" in capsys.readouterr().err
    assert run(["to-icechunk", out, repo, "--exclude", "*"]) == 2
    assert "leave no array" in capsys.readouterr().err


def test_where_there_is_no_repository_none_is_begun(build, grow, tmp_path, capsys):
    out, repo = build(grow(8)), str(tmp_path / "repo")
    assert run(["audit", out, "--icechunk", repo]) == 2
    assert run(["audit", repo, "--native"]) == 2
    assert capsys.readouterr().err.count(f"cannot open {repo}: no repository is there") == 2
    with pytest.raises(parchunk.InputError, match="no repository is there"):
        parchunk.open_icechunk(repo)
    assert not Path(repo).exists()


def test_an_import_that_left_out_what_has_no_form_in_icechunk_is_audited(build, tmp_path, capsys):
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    root.create_array("good", shape=(3,), chunks=(1,), dtype="i4", fill_value=0)[...] = 5
    root.create_array(
        "bad", shape=(3,), chunks=(1,), dtype=">i4", filters=[numcodecs.Delta(">i4")]
    )[...] = 5  # fmt: skip
    out, repo = build(tmp_path / "source"), str(tmp_path / "repo")
    assert run(["to-icechunk", out, repo, "--skip-unsupported"]) == 0
    capsys.readouterr()
    assert run(["audit", out, "--icechunk", repo]) == 0
    assert "bad is not compared: it was left out of branch main" in capsys.readouterr().out
    (tmp_path / "source/good/1").unlink()
    assert run(["update", out, "--arrays", "good", "--no-progress"]) == 0
    assert run(["audit", out, "--icechunk", repo, "--max-missing", "100"]) == 1
    assert "good, region 0: branch main of the repository differs" in capsys.readouterr().out


def test_what_icechunk_cannot_hold_is_left_out_as_the_message_says(build, opened, tmp_path, capsys):
    root = zarr.open_group(tmp_path / "source", mode="w", zarr_format=2)
    root.create_array("good", shape=(3,), chunks=(1,), dtype="i4", fill_value=0)[...] = 5
    bad = root.create_array("bad", shape=(3,), chunks=(1,), dtype="i4", fill_value=0)
    bad.attrs["limit"] = float("nan")
    out, repo = build(tmp_path / "source"), str(tmp_path / "repo")
    assert run(["to-icechunk", out, repo]) == 2
    assert "bad" in capsys.readouterr().err
    assert run(["to-icechunk", out, repo, "--skip-unsupported", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("left out: bad: ")
    assert sorted(opened(repo)) == ["good"]
    assert run(["to-icechunk", out, repo, "--include", "bad", "--skip-unsupported"]) == 2
    assert "--skip-unsupported leaves no array: bad: " in capsys.readouterr().err
