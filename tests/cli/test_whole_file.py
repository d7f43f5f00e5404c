"""Files that take another's place when they are whole, and what is left where one is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parchunk.cli.whole_file import replacing

KILLED = """
import os, sys
from pathlib import Path
from parchunk.cli.whole_file import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")
def test_what_a_killed_process_left_of_a_file_goes_with_the_next_one(tmp_path: Path) -> None:
    to = tmp_path / "x.csv"
    to.write_text("before")
    subprocess.run([sys.executable, "-c", KILLED, str(to)], check=False)
    (left,) = set(tmp_path.iterdir()) - {to}
    assert (to.read_text(), left.read_text()) == ("before", "half")
    marked, pid, rest = left.name.removeprefix("parchunk-").split("-", 2)
    elsewhere = tmp_path / f"parchunk-{marked[::-1]}-{pid}-{rest}"  # another machine, or boot
    unknown = tmp_path / f"parchunk-{'0' * 32}.part"
    folder = tmp_path / f"parchunk-{marked}-{pid}-0-{'0' * 32}.part"
    elsewhere.touch()
    unknown.touch()
    folder.mkdir()
    with replacing(tmp_path / "other.csv") as part:
        part.touch()
    assert left.exists(), "of another file"
    with replacing(to) as alive:
        alive.touch()
        assert not left.exists()
        with replacing(to) as part:
            part.write_text("whole")
        assert alive.exists(), "of a process that may still write it"
    assert {path.name for path in tmp_path.iterdir()} == {
        "other.csv", "x.csv", elsewhere.name, unknown.name, folder.name,
    }  # fmt: skip
