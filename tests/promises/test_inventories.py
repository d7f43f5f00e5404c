"""What is built from inventories: resumed, updated, audited; dated, and nothing left behind."""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import zarr
from instruments.inventories import FORMATS, TAKEN, objects_in

import parchunk
from parchunk.cli.main import run
from parchunk.inventories.workspace import Workspace


@pytest.fixture
def store(tmp_path: Path) -> Path:
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    array = group.create_array("t", shape=(20,), chunks=(1,), dtype="i4")
    array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    array[:18] = np.arange(1, 19)
    return tmp_path / "s.zarr"


def taken(store: Path, day: int, name: str = "CSV") -> Path:
    """Return an inventory of what the store holds now, as taken on a day of 2030."""
    folder = store.parent / f"inventory-{day}"
    folder.mkdir()
    file = FORMATS[name](folder, objects_in(store, "s.zarr/"), "bucket")
    stamp = datetime(2030, 1, day, tzinfo=UTC).timestamp()
    os.utime(file, (stamp, stamp))
    return file


def cli(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def read(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.parq")}


def test_an_update_takes_a_newer_inventory_in(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = taken(store, 1)
    parchunk.build(parchunk.plan(store, split="time", region=5, inventory=first), out)
    status = parchunk.status(out)
    assert status.inventory == "2030-01-01T00:00:00Z"
    array = zarr.open_group(store, mode="r+")["t"]
    array.resize((30,))
    array[18:28] = 7
    made = parchunk.update(out, inventory=taken(store, 2))
    assert (made.present, made.missing, made.requests) == (28, 2, 0)
    # Regions of which the older one showed all chunks are as of that one, still.
    assert parchunk.status(out).inventory == "2030-01-01T00:00:00Z"
    assert {receipt.inventory for receipt in made.receipts} == {
        "2030-01-01T00:00:00Z",
        "2030-01-02T00:00:00Z",
    }
    fresh = parchunk.build(parchunk.plan(store, split="time", region=5), tmp_path / "fresh")
    assert fresh.missing == 2
    assert read(out) == read(tmp_path / "fresh")


def test_an_older_inventory_is_refused(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    older, newer = taken(store, 1), taken(store, 2)
    parchunk.build(parchunk.plan(store, inventory=newer), out)
    before = read(out)
    with pytest.raises(parchunk.InputError, match="is older than the inventory of 2030-01-02T00"):
        parchunk.update(out, inventory=older)
    with pytest.raises(parchunk.InputError, match="is older than the inventory of 2030-01-02T00"):
        parchunk.audit(out, against_source=True, inventory=older)
    assert read(out) == before
    assert parchunk.update(out, inventory=newer).missing == 2


def test_one_older_than_a_chunk_that_was_listed_is_refused(store: Path, tmp_path: Path) -> None:
    parchunk.build(store, tmp_path / "out")
    manifest = taken(store, 1, "S3 CSV")
    assert datetime.now(UTC) > TAKEN
    newest = max(path.stat().st_mtime for path in store.rglob("*"))
    future = round((newest + 86_400) * 1000)
    document = json.loads(manifest.read_text())
    for stamp, works in ((round((newest - 86_400) * 1000), False), (future, True)):
        manifest.write_text(json.dumps(document | {"creationTimestamp": str(stamp)}))
        if works:
            assert parchunk.update(tmp_path / "out", inventory=manifest).missing == 2
        else:
            with pytest.raises(parchunk.InputError, match="older than a chunk that was written at"):
                parchunk.update(tmp_path / "out", inventory=manifest)


def test_a_build_goes_on_with_the_same_inventory_only(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = taken(store, 1)
    plan = parchunk.plan(store, split="time", region=5, inventory=first)
    parchunk.build(plan, out)
    (out / ".zmetadata").unlink()
    (out / ".parchunk/receipts/t/1.json").unlink()
    zarr.open_group(store, mode="r+")["t"][18] = 7
    newer = parchunk.plan(store, split="time", region=5, inventory=taken(store, 2))
    match = "the inventory of 2030-01-01T00:00:00Z there, the inventory of 2030-01-02T00:00:00Z now"
    with pytest.raises(parchunk.InputError, match=match):
        parchunk.build(newer, out)
    with pytest.raises(parchunk.InputError, match="there, a listing now"):
        parchunk.build(parchunk.plan(store, split="time", region=5), out)
    os.utime(first)  # what it holds tells, and not its time
    made = parchunk.build(parchunk.plan(store, split="time", region=5, inventory=first), out)
    assert (made.built, made.missing) == (1, 2)


def test_an_update_may_list_again_what_an_inventory_showed(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(store, split="time", region=5, inventory=taken(store, 1)), out)
    zarr.open_group(store, mode="r+")["t"][18] = 7
    made = parchunk.update(out)
    assert (made.missing, made.plan.inventory) == (1, None)
    assert [receipt.inventory for receipt in made.receipts].count(None) == 1


def test_an_audit_says_that_times_were_not_compared(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out", tmp_path / "table.csv"
    parchunk.build(parchunk.plan(store, inventory=taken(store, 1)), out)
    rows = [f"{one.key},{one.size}" for one in objects_in(store, "s.zarr/")]
    table.write_text("\n".join(["key,size", *rows, ""]))
    stamp = datetime(2030, 1, 2, tzinfo=UTC).timestamp()
    os.utime(table, (stamp, stamp))
    report = parchunk.audit(out, against_source=True, inventory=table)
    (found,) = (one for one in report.findings if one.kind == "untimed")
    assert "times not compared: the inventory has none of 18 objects" in found.message
    assert "changed-chunks" not in {one.kind for one in report.findings}
    assert report.comparison is not None
    (why,) = (note for note in report.comparison.notes if "it has no time of" in note)
    assert f"no time of {len(rows)} objects" in why
    assert cli("audit", out, "--against-source", "--inventory", table) == 1
    assert f"note: {why}" in " ".join(capsys.readouterr().out.split())
    parchunk.update(out, inventory=table)
    after = parchunk.audit(out, against_source=True, inventory=table)
    assert {one.severity for one in after.findings} <= {"gap", "notice"}


def test_an_audit_says_of_when_chunks_are(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(store, inventory=taken(store, 1)), out)
    found = {one.kind: one for one in parchunk.audit(out).findings}
    assert "as of the inventory of 2030-01-01T00:00:00Z" in found["as-of-inventory"].message
    assert "unverified" not in found
    zarr.open_group(store, mode="r+")["t"][18] = 7
    second = taken(store, 2)
    for how in ({}, {"inventory": second}):
        report = parchunk.audit(out, against_source=True, **how)
        kinds = {one.kind: one for one in report.findings}
        assert "18" in kinds["new-chunks"].message
    with pytest.raises(parchunk.InputError, match="is for --against-source"):
        parchunk.audit(out, inventory=second)
    parchunk.update(out, inventory=second)
    assert "new-chunks" not in {
        one.kind for one in parchunk.audit(out, against_source=True, inventory=second).findings
    }


def test_the_command_line(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "out", taken(store, 1)
    assert cli("plan", store, "--inventory", file) == 0
    assert "the inventory of 2030-01-01T00:00:00Z has 22 objects" in capsys.readouterr().out
    assert cli("build", store, out, "--inventory", file, "--no-progress") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "no LIST requests: listed by inventory (of 2030-01-01T00:00:00Z)" in shown
    assert cli("status", out) == 0
    assert "as of the inventory of 2030-01-01T00:00:00Z" in capsys.readouterr().out
    assert cli("build", store, out, "--inventory", file, "--json") == 0
    assert json.loads(capsys.readouterr().out)["inventory"]["objects"] == 22
    assert cli("update", out, "--inventory", file, "--no-progress") == 0
    assert cli("audit", out, "--against-source", "--inventory", file, "--no-progress") == 1
    assert cli("build", store, tmp_path / "o", "--inventory", tmp_path / "none") == 2
    assert "there is no such file" in capsys.readouterr().err


def workspaces() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("parchunk-inventory-*"))


def test_nothing_is_left_in_the_temporary_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plan = parchunk.plan(store, inventory=taken(store, 1))
    assert len(workspaces()) == 1
    parchunk.build(plan, tmp_path / "out", workers=2)
    del plan
    gc.collect()
    assert not workspaces()


def test_what_a_killed_process_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys, time; from parchunk.inventories.workspace import Workspace; "
        "w = Workspace(); print(w.path, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = Workspace()
    assert left.exists()  # its owner lives
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    again = Workspace()
    assert not left.exists()
    assert mine.path.exists()
    again.close()
    mine.close()
    assert not workspaces()


def test_many_stores_share_one_inventory(tmp_path: Path) -> None:
    for month in (1, 2):
        group = zarr.open_group(tmp_path / f"b/m{month}.zarr", mode="w", zarr_format=3)
        array = group.create_array(
            "v", shape=(4, 2), chunks=(1, 1), dtype="i4", dimension_names=("time", "x")
        )
        array[:] = month
    folder = tmp_path / "inventory"
    folder.mkdir()
    file = FORMATS["list-objects-v2"](folder, objects_in(tmp_path / "b", "b/"), "bucket")
    pattern = str(tmp_path / "b/*.zarr")
    how = {"concat": "time", "split": "time", "region": 4}
    made = parchunk.build(parchunk.plan(pattern, inventory=file, **how), tmp_path / "out")
    parchunk.build(parchunk.plan(pattern, **how), tmp_path / "listed")
    assert (made.present, made.missing) == (16, 0)
    assert {receipt.inventory for receipt in made.receipts} != {None}
    assert read(tmp_path / "out") == read(tmp_path / "listed")
    report = parchunk.audit(tmp_path / "out", against_source=True, inventory=file)
    assert report.complete
    zarr.open_group(tmp_path / "b/m2.zarr", mode="r+")["v"].resize((6, 2))
    newer = folder / "newer"
    newer.mkdir()
    grown = FORMATS["list-objects-v2"](newer, objects_in(tmp_path / "b", "b/"), "bucket")
    assert parchunk.update(tmp_path / "out", inventory=grown).missing == 4
