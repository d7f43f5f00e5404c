"""Links in OUT lead no write and no delete out of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

import parchunk
from parchunk.cli.main import run
from parchunk.errors import OutputError
from parchunk.out.opening import open_output

#: What a link takes the place of, below OUT.
PLACES = [
    "t",
    "t/refs.0.parq",
    ".zmetadata",
    ".parchunk",
    ".parchunk/plan.json",
    ".parchunk/receipts",
    ".parchunk/receipts/t",
    ".parchunk/receipts/t/0.json",
    "g",
    "g/u",
]
COMMANDS = {
    "resume": ["build", "SRC", "OUT", "--region", "2"],
    "overwrite": ["build", "SRC", "OUT", "--region", "2", "--overwrite"],
    "another": ["build", "SRC", "OUT", "--region", "4", "--overwrite"],
    "update": ["update", "OUT", "--regions", "0"],
}
Tree = Callable[[Path], dict[str, str]]


def write(source: Path, length: int) -> None:
    group = zarr.open_group(source, mode="a", zarr_format=2)
    for name in ("t", "g/u"):
        if name not in group:
            group.require_group("g")
            array = group.create_array(name, shape=(length,), chunks=(1,), dtype="i4")
        else:
            array = group[name]
            array.resize((length,))
        array[:] = np.arange(1, length + 1)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", PLACES)
def test_links_are_refused_by_name(
    place: str, command: str, tmp_path: Path, tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, outside = tmp_path / "store", tmp_path / "out", tmp_path / "outside"
    write(source, 8)
    parchunk.build(parchunk.plan(str(source), region=2), str(out))
    if command == "update":
        write(source, 12)
    if command == "resume":
        for receipt in (out / ".parchunk/receipts").rglob("1.json"):
            receipt.unlink()
    # What was there is elsewhere now, with something of somebody's beside it.
    linked = out / place
    shutil.move(linked, outside)
    linked.symlink_to(outside)
    if outside.is_dir():
        (outside / "0.json").touch()
        (outside / "refs.7.parq").touch()
        (outside / "tmp").mkdir(exist_ok=True)
        (outside / "tmp/mine").touch()
    before = tree(outside)
    arguments = [
        {"SRC": str(source), "OUT": str(out)}.get(word, word) for word in COMMANDS[command]
    ]
    code = run(arguments)
    said = capsys.readouterr().err
    assert tree(outside) == before
    # A resumed build writes nothing where there is nothing to do.
    if code == 0:
        assert command == "resume"
        return
    assert code == 2
    assert f"{linked} is a link" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("place", ["objects", "objects/g", "known"])
def test_links_are_refused_before_anything_is_touched(
    place: str, tmp_path: Path, tree: Tree
) -> None:
    """Those of what an update writes after its receipts are gone, too."""
    source, out, outside = tmp_path / "store", tmp_path / "out", tmp_path / "outside"
    write(source, 8)
    parchunk.build(parchunk.plan(str(source), region=2, identity="time"), str(out))
    write(source, 12)
    linked = out / ".parchunk" / place
    if linked.exists():
        shutil.move(linked, outside)
    else:
        outside.mkdir()
    linked.symlink_to(outside)
    before = tree(out)
    with pytest.raises(OutputError, match=f"/{place} is a link"):
        parchunk.update(str(out))
    assert tree(out) == before


@pytest.mark.parametrize("place", [".parchunk", ".parchunk/tmp", ".parchunk/lease.json"])
def test_links_of_a_folder_that_seems_empty(place: str, tmp_path: Path, tree: Tree) -> None:
    write(tmp_path / "store", 4)
    outside, linked = tmp_path / "outside", tmp_path / "out" / place
    linked.parent.mkdir(parents=True)
    (outside / "tmp").mkdir(parents=True)
    (outside / "tmp/mine").touch()
    linked.symlink_to(outside)
    before = tree(outside)
    with pytest.raises(parchunk.ParchunkError):
        parchunk.build(parchunk.plan(str(tmp_path / "store")), str(tmp_path / "out"))
    assert tree(outside) == before


def test_every_write_and_delete_looks(tmp_path: Path, tree: Tree) -> None:
    output = open_output(str(tmp_path / "out"))
    output.prepare()
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below/file").write_bytes(b"mine")
    (tmp_path / "out/a").symlink_to(outside)
    before = tree(outside)
    for act in (
        lambda: output.put("a/below/file", b""),
        lambda: output.put("a", b""),
        lambda: output.put_if("a/new", b"", None),
        lambda: output.delete("a/below/file"),
        lambda: output.delete("a"),
        lambda: output.clear(["b", "a/below/file"]),
    ):
        with pytest.raises(OutputError, match="/a is a link"):
            act()
    assert tree(outside) == before


def test_out_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "store", 4)
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert run(["build", str(tmp_path / "store"), str(tmp_path / "out")]) == 0
    assert run(["build", str(tmp_path / "store"), str(tmp_path / "out"), "--overwrite"]) == 0
    assert (tmp_path / "real/.zmetadata").is_file()
