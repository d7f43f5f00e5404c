"""The command line: help, JSON, exit codes, one line for what is wrong, nothing touched."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.cli.main import COMMANDS, run
from parchunk.cli.progress import progress_shown

Tree = Callable[[Path], dict[str, str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "s.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    for name in ("air", "g/rain"):
        root.create_array(
            name, shape=(20, 4), chunks=(2, 2), dtype="i4", dimension_names=["time", "x"]
        )[...] = 1
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    for option in ("--help", "-h"):
        code, out, err = call(capsys, *command, option)
        assert code == 0
        assert "Usage: parchunk" in out
        assert err == ""
    if command:
        assert "--json" in out
    assert call(capsys)[0] == 0


def test_version_names_those_of_the_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--version")
    assert (code, err) == (0, "")
    first, *libraries = out.splitlines()
    assert first == f"parchunk {parchunk.__version__}"
    said = dict(line.split() for line in libraries)
    assert said["Python"] == platform.python_version()
    for library in ("obstore", "pyarrow", "zarr", "duckdb"):
        assert said[library] == importlib.metadata.version(library)


LEFT_BEHIND = """
import threading
import duckdb
from parchunk.cli import main

begun = threading.Event()

def ask():
    connection = duckdb.connect()
    while True:
        connection.sql("SELECT * FROM range(1000)").fetchall()
        begun.set()

for _ in range(6):
    threading.Thread(target=ask, daemon=True).start()
begun.wait()
main()
"""
GOES_ON = """
import threading
from parchunk.cli import main

threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    main(["--version"])
except SystemExit as ended:
    raise SystemExit(7 + ended.code)
"""


IMPORTED = """
import sys
from parchunk.__main__ import main
import parchunk.cli.main

print(*({"numpy", "pyarrow", "obstore", "duckdb", "zarr", "parchunk.public"} & {*sys.modules}))
import parchunk
assert parchunk.audit.__module__ == "parchunk.auditing.run" and not hasattr(parchunk, "other")
"""
INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "parchunk.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from parchunk.__main__ import main

main()
"""


def test_ctrl_c_is_minded_before_libraries_are_imported() -> None:
    for code, ended in ((IMPORTED, 0), (INTERRUPTED, 130)):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=250)
        assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (ended, b"", b"")


def test_threads_that_are_left_behind_do_not_abort_the_process(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LEFT_BEHIND, "plan", str(tmp_path / "no")],
        capture_output=True,
        timeout=250,
    )
    assert ran.returncode == 2
    assert ran.stderr.count(b"\n") == 1


def test_who_calls_the_command_and_goes_on_ends_with_a_code_of_its_own() -> None:
    ran = subprocess.run([sys.executable, "-c", GOES_ON], capture_output=True, timeout=250)
    assert ran.returncode == 7


def test_of_very_many_arrays_the_status_shows_those_that_lack_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    for name in range(41):
        root.create_array(f"a{name:02}", shape=(2,), chunks=(1,), dtype="i1")[...] = 1
    (tmp_path / "s/a40/1").unlink()
    assert call(capsys, "build", tmp_path / "s", tmp_path / "out")[0] == 0
    code, shown, _ = call(capsys, "status", tmp_path / "out")
    rows = [line for line in shown.splitlines() if " of 1 " in line]
    assert (code, len(rows), rows[0].split()[0]) == (0, 40, "a40")
    assert "and 1 more array: --json lists all" in shown
    assert "chunks: 81 present, 1 missing" in shown


def test_plan_build_status(
    capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path, tree: Tree
) -> None:
    out = tmp_path / "refs"
    before = tree(source)
    code, shown, err = call(capsys, "plan", source, "--region", 4)
    assert (code, err) == (0, "")
    assert "40 chunks" in shown
    code, shown, _ = call(capsys, "plan", source, "--region", 4, "--json")
    document = json.loads(shown)
    assert document["region_length"] == 4
    assert document["forecast"]["partitions"] == 10
    assert not out.exists()
    code, shown, err = call(capsys, "status", out)
    assert code == 2
    code, shown, err = call(capsys, "build", source, out, "--region", 4, "--no-progress")
    assert (code, err) == (0, "")
    assert "40 of 40 chunks present" in shown
    assert "parchunk.open_dataset(" in shown
    code, shown, _ = call(capsys, "build", source, out, "--region", 4, "--json")
    document = json.loads(shown)
    assert (document["partitions"], document["partitions_built"]) == (10, 0)
    assert (document["present"], document["missing"]) == (40, 0)
    code, shown, _ = call(capsys, "status", out, "--json")
    assert code == 0
    assert json.loads(shown)["published"] is True
    (out / ".zmetadata").unlink()
    code, shown, _ = call(capsys, "status", out)
    assert code == 1
    assert "unfinished" in shown
    assert tree(source) == before


@pytest.mark.slow
def test_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, shown, _ = call(capsys, "demo", tmp_path / "demo", "--no-progress")
    assert code == 0
    assert "temperature: 10,368,000 values equal" in shown


BAD = {
    "no such store": (["{tmp}/nothing", "{out}"], "nothing"),
    "a file": (["{src}/zarr.json", "{out}"], "zarr.json"),
    "an empty folder": (["{tmp}/empty", "{out}"], "empty"),
    "no such group": (["{src}", "{out}", "--group", "nope"], "nope"),
    "a group above": (["{src}", "{out}", "--group", "../x"], ".."),
    "no such dimension": (["{src}", "{out}", "--split", "depth"], "time, x"),
    "no such axis": (["{src}", "{out}", "--split", "9"], "axis 9"),
    "region 0": (["{src}", "{out}", "--region", "0"], "--region is 0"),
    "region -1": (["{src}", "{out}", "--region", "-1"], "--region is -1"),
    "region 3": (["{src}", "{out}", "--region", "3"], "use 2 or 4"),
    "region x": (["{src}", "{out}", "--region", "x"], "--region"),
    "record size 0": (["{src}", "{out}", "--record-size", "0"], "--record-size is 0"),
    "memory 0": (["{src}", "{out}", "--memory", "0"], "--memory"),
    "memory 1": (["{src}", "{out}", "--memory", "1"], "MiB or more"),
    "memory 1, workers 2": (
        ["{src}", "{out}", "--memory", "1", "--workers", "2"],
        "in each of 2 processes",
    ),
    "memory x": (["{src}", "{out}", "--memory", "lots"], "lots"),
    "concurrency 0": (["{src}", "{out}", "--concurrency", "0"], "--concurrency"),
    "workers 0": (["{src}", "{out}", "--workers", "0"], "--workers"),
    "http": (["https://example.org/s.zarr", "{out}"], "cannot be listed"),
    "scheme": (["ftp://example.org/s.zarr", "{out}"], "ftp"),
    "no bucket": (["s3://", "{out}"], "bucket"),
    "secrets": (["s3://key:hush@bucket/s", "{out}"], "credentials"),
    "local option": (["{src}", "{out}", "--store-option", "region=x"], "region"),
    "unknown option": (["s3://b/s", "{out}", "--store-option", "regoin=x"], "regoin"),
    "no value": (["s3://b/s", "{out}", "--store-option", "region"], "=VALUE"),
    "include": (["{src}", "{out}", "--include", "none*"], "none*"),
    "OUT a file": (["{src}", "{tmp}/file"], "file"),
    "OUT below a file": (["{src}", "{tmp}/file/refs"], "/file is a file: OUT must"),
    "OUT in SRC": (["{src}", "{src}/refs"], "inside SRC"),
    "OUT in SRC by a link": (["{src}", "{tmp}/link/refs"], "inside SRC"),
    "OUT is SRC": (["{src}", "{src}"], "SRC"),
    "OUT around SRC": (["{src}", "{tmp}"], "around SRC"),
    "OUT holds something": (["{src}", "{tmp}/theirs"], "did not write"),
    "OUT holds something, --overwrite": (["{src}", "{tmp}/theirs", "--overwrite"], "did not"),
    "OUT a bucket": (["{src}", "s3://bucket"], "whole bucket"),
    "broken JSON": (["{tmp}/broken", "{out}"], "broken"),
    "chunks of 0": (["{tmp}/zero", "{out}"], "zero/v"),
    "negative shape": (["{tmp}/negative", "{out}"], "negative/v"),
    "ranks differ": (["{tmp}/ranks", "{out}"], "ranks/v"),
    "too many chunks": (["{tmp}/huge", "{out}"], "huge/v"),
    "name above": (["{tmp}/above", "{out}"], ".."),
    "no OUT": (["{src}"], "OUT"),
    "nothing": ([], "Missing argument 'OUT': see parchunk build --help"),
    "unknown flag": (["{src}", "{out}", "--frobnicate"], "--frobnicate"),
}


def lie(path: Path, shape: list[Any], chunks: list[Any]) -> None:
    (path / "v").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    document = {
        "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<f4", "compressor": None,
        "fill_value": 0, "filters": None, "order": "C",
    }  # fmt: skip
    (path / "v" / ".zarray").write_text(json.dumps(document))


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_line_and_touches_nothing(
    capsys: pytest.CaptureFixture[str],
    source: Path,
    tmp_path: Path,
    tree: Tree,
    case: str,
    as_json: bool,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    (tmp_path / "link").symlink_to(source)
    lie(tmp_path / "zero", [4, 4], [0, 2])
    lie(tmp_path / "negative", [-4, 4], [2, 2])
    lie(tmp_path / "ranks", [4, 4], [2])
    lie(tmp_path / "huge", [2**62, 2**62], [1, 1])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_text("{not JSON")
    (tmp_path / "above").mkdir()
    entries = {".zgroup": {"zarr_format": 2}, "../../evil/.zarray": {"zarr_format": 2}}
    (tmp_path / "above" / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "above" / ".zmetadata").write_text(json.dumps({"metadata": entries}))
    before = tree(tmp_path)
    arguments, words = BAD[case]
    places = {"src": source, "out": tmp_path / "refs", "tmp": tmp_path}
    given = [argument.format(**places) for argument in arguments]
    code, out, err = call(capsys, "build", *given, *(["--json"] if as_json else []))
    assert code == 2
    assert err.startswith("parchunk: ")
    assert err.count("\n") == 1
    assert words in err
    assert "hush" not in err
    assert "Traceback" not in err
    assert json.loads(out)["error"] in err if as_json else out == ""
    assert tree(tmp_path) == before


def test_names_that_no_file_can_have_and_links_that_go_round_are_one_line(
    capsys: pytest.CaptureFixture[str],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long, loop, out = "n" * 300, tmp_path / "loop", tmp_path / "refs"
    loop.symlink_to("loop")
    parchunk.build(str(source), out)
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.rglob("*")}
    for given, words in (
        (["plan", f"g={long}"], "cannot read "),
        (["plan", f"{source}/{long}*"], "matches no folder"),
        (["plan", source, "--inventory", long], f"--inventory {long} cannot be read: File name"),
        (["audit", out, "--no-progress", "--report", f"{long}/x"], "too long"),
        (["audit", out, "--no-progress", "--report", loop], "levels of symbolic links"),
        (["audit", source, "--keep", loop], "loop is a link to what is not there"),
        (["sql", loop, "SELECT 1"], "levels of symbolic links"),
        (["sql", out, "SELECT 1", "--to", f"{long}/x"], "too long"),
        (["demo", long], "too long: name another folder"),
        (["demo", loop], "loop"),
    ):
        code, _, err = call(capsys, *given)
        assert (code, err.count("\n")) == (2, 1), given
        assert words in err
    assert {*tmp_path.rglob("*")} == before


def test_another_plan_over_the_same_out(
    capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path, tree: Tree
) -> None:
    out = tmp_path / "refs"
    assert call(capsys, "build", source, out, "--region", 4)[0] == 0
    before = tree(tmp_path)
    assert call(capsys, "build", source, out, "--region", 4, "--inline-threshold", 0)[0] == 0
    for options, words in (
        (["--region", 10], "region length 4 there, 10 now"),
        (["--region", 4, "--include", "air"], "--include"),
        (["--region", 4, "--group", "g"], "group"),
        (["--region", 4, "--inline-threshold", 100], "inline threshold"),
    ):
        code, _, err = call(capsys, "build", source, out, *options)
        assert code == 2
        assert words in err
        assert "--overwrite" in err
        assert err.count("\n") == 1
        assert tree(tmp_path) == before
    (out / ".parchunk" / "plan.json").write_text("{")
    code, _, err = call(capsys, "build", source, out, "--region", 4)
    assert code == 2
    assert "plan.json is not JSON" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        for given in ([source, closed / "refs"], [closed, tmp_path / "refs"]):
            code, _, err = call(capsys, "build", *given)
            assert code == 2
            assert err.count("\n") == 1
            assert "closed" in err
    finally:
        closed.chmod(0o700)


def test_no_permission_and_no_bucket_on_s3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = zarr_store([("v", (4,), (1,), ("x",))])
    faults = [Fault("403", times=None, on="GET")]
    with serve(store, faults=faults, process=False) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        options += ["--store-option", "skip_signature=true"]
        code, _, err = call(capsys, "build", "s3://formula", tmp_path / "refs", *options)
        assert code == 2
        assert "permission denied" in err
        assert err.count("\n") == 1
    assert not (tmp_path / "refs").exists()


def test_lines_off_the_terminal(
    capsys: pytest.CaptureFixture[str],
    source: Path,
    tmp_path: Path,
) -> None:
    with progress_shown(False, "building", every=0.0) as show:
        parchunk.build(parchunk.plan(str(source), region=4), tmp_path / "refs", progress=show)
    assert "10 of 10 partitions" in capsys.readouterr().err.splitlines()[-1]
    code, _, err = call(capsys, "build", source, tmp_path / "quiet", "--no-progress")
    assert (code, err) == (0, "")
