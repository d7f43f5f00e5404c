"""What a store calls its dimensions reaches terminals and pages as text, never as a command."""

import json
from pathlib import Path

import pytest

from parchunk.cli.main import run
from parchunk.showing.printable import printable

HOSTILE = "\x1b]0;owned\x07\x1b[31m\0\x9b1m\u202e"


def test_control_characters_are_escaped() -> None:
    assert printable("a\tb\n\x1b[31m\x9b\u202e") == "a\tb\n\\x1b[31m\\x9b\\u202e"
    assert printable("é 💾 [red]") == "é 💾 [red]"


def test_every_command_shows_hostile_names_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "t").mkdir(parents=True)
    (source / ".zgroup").write_text('{"zarr_format": 2}')
    document = {"zarr_format": 2, "shape": [4], "chunks": [1], "dtype": "<i4", "order": "C"}
    document |= {"fill_value": 0, "filters": None, "compressor": None}
    (source / "t/.zarray").write_text(json.dumps(document))
    (source / "t/.zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": [HOSTILE]}))
    (source / "t/1").write_bytes(b"1234")
    said = []
    for arguments, code in [
        (["plan", source], 0),
        (["build", source, out], 0),
        (["status", out], 0),
        (["audit", out, "--report", tmp_path / "page.html"], 1),
        (["sql", out, "SELECT dimension FROM regions"], 0),
        (["plan", source, "--split", f"no{HOSTILE}"], 2),
    ]:
        assert run([str(argument) for argument in arguments]) == code
        said += capsys.readouterr()
    said.append((tmp_path / "page.html").read_text())
    assert all("\\x1b[31m" in shown for shown in ("".join(said[:-1]), said[-1]))
    assert not set(HOSTILE) & set("\0\x07\x1b\x9b\u202e") & set("".join(said))
