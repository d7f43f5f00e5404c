"""`parchunk COMMAND | head -1`: a reader that goes early is no finding and no error.

Nor is output that was closed from the first; what cannot be written, and would be read, is one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zarr
from tests.cli.unheard import ended

import parchunk

#: For who expects nothing on stderr: a line comes there, too, when a busy machine takes long.
QUIET = "--no-progress"
PROGRAM = [sys.executable, "-c", "from parchunk.cli import main; main()"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References that are complete, and others that have a gap."""
    folder = tmp_path_factory.mktemp("pipes")
    array = zarr.open_group(folder / "s", mode="w", zarr_format=2).create_array(
        "t", shape=(4,), chunks=(1,), dtype="i4", fill_value=0
    )
    array[...] = range(1, 5)
    plan = parchunk.plan(str(folder / "s"))
    parchunk.build(plan, str(folder / "whole"))
    (folder / "s/t/2").unlink()
    parchunk.build(plan, str(folder / "gap"))
    return folder


def test_the_verdict_is_the_exit_code(folder: Path, tmp_path: Path) -> None:
    whole, gap, none = (str(folder / name) for name in ("whole", "gap", "none"))
    assert ended(tmp_path / "1", ["audit", whole, QUIET]) == (0, "")
    assert ended(tmp_path / "2", ["audit", gap, QUIET]) == (1, "")
    assert ended(tmp_path / "3", ["audit", gap, "--json"]) == (1, "")
    assert ended(tmp_path / "4", ["audit", none, "--json"])[0] == 2


def test_an_interpreter_of_its_own_ends_as_quietly(folder: Path) -> None:
    """Its last flush of streams, too, which forks have not."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [*PROGRAM, "audit", str(folder / "gap"), QUIET]
    try:
        ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=250)
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.parametrize("name", ["whole", "none"])
def test_errors_into_a_closed_pipe_are_errors_still(
    folder: Path, tmp_path: Path, name: str
) -> None:
    found = ended(tmp_path / "run", ["audit", str(folder / name)], errors=True)
    assert found == (2 if name == "none" else 0, "")


def test_other_commands(folder: Path, tmp_path: Path) -> None:
    whole = str(folder / "whole")
    for number, command in enumerate(
        (["status", whole], ["plan", str(folder / "s")], ["--help"], ["sql", "--help"])
    ):
        assert ended(tmp_path / str(number), command) == (0, ""), command
    # A build does its work, whoever listens.
    build = ["build", str(folder / "s"), str(tmp_path / "out"), QUIET]
    assert ended(tmp_path / "build", build) == (0, "")
    assert parchunk.audit(str(tmp_path / "out")).published


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_long_results_are_not_read_to_their_end(folder: Path, tmp_path: Path, form: str) -> None:
    """That of a thousand billion rows would take days."""
    query = "SELECT i FROM range(1_000_000_000_000) AS r(i)"
    if form == "table":
        query += " LIMIT 1000"
    command = ["sql", str(folder / "whole"), query, "--format", form]
    assert ended(tmp_path / "run", command) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_with_head(folder: Path) -> None:
    line = f"set -o pipefail; {sys.executable} -m parchunk.cli status {folder}/whole | head -1"
    if not (Path(parchunk.__file__).parent / "cli/__main__.py").exists():
        line = line.replace("-m parchunk.cli", "-c 'from parchunk.cli import main; main()'")
    ran = subprocess.run(["bash", "-c", line], capture_output=True, timeout=250)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("command", [["status"], ["audit", "--json"]])
def test_what_cannot_be_written_is_an_error_in_one_line(folder: Path, command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*PROGRAM, *command, str(folder / "gap")], stdout=full, stderr=subprocess.PIPE
        )
    assert ran.returncode == 2
    assert ran.stderr.count(b"\n") == 1
    assert b"standard output is not whole (No space left on device)" in ran.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_output_that_was_closed_before(folder: Path, closed: str) -> None:
    line = (
        f"{sys.executable} -c 'from parchunk.cli import main; main()' audit {folder}/gap {QUIET} "
        f"{closed}"
    )
    ran = subprocess.run(["bash", "-c", line], capture_output=True, timeout=250)
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert bool(ran.stdout) == (closed == "2>&-")
