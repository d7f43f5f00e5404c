"""What an audit says to do, done to the letter, leads to a complete audit."""

import json
import shutil
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr
from tests.promises.damage import DAMAGE, OF_DAMAGE, edit, follow, write

import parchunk
from parchunk.auditing.findings import Finding
from parchunk.building import staging
from parchunk.cli.main import run
from parchunk.out import switching
from parchunk.out.holder import Holder
from parchunk.out.lease import held
from parchunk.out.opening import open_output
from parchunk.out.output import LEASE, PREPARED_FOR, PREPARED_PLAN, PREPARED_ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write(tmp_path / "store", 8)
    return tmp_path / "store"


@pytest.fixture
def out(source: Path, tmp_path: Path) -> Path:
    plan = parchunk.plan(str(source), split="time", region=2)
    parchunk.build(plan, str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("against", [False, True], ids=["alone", "against the source"])
def test_each_remedy_works(kind: str, against: bool, out: Path, source: Path) -> None:
    DAMAGE[kind](out, source)
    if kind.startswith("chunk") and not against:
        parchunk.update(str(out), regions=[0, 1, 2, 3])
    code, seen = 1, set[str]()
    for _ in range(4):  # what is repaired may show more
        report = parchunk.audit(str(out), against_source=against)
        findings = [found for found in report.findings if found.severity != "notice"]
        if not findings:
            code = run(["audit", str(out), *(["--against-source"] if against else [])])
            break
        seen |= {found.kind for found in findings}
        for found in findings:
            follow(found, out, lambda: write(source, 12 if kind == "grown" else 8))
    assert code == 0, [(found.message, found.remedy) for found in findings]
    assert run(["status", str(out)]) == 0
    here = f"{kind}, against the source" if against else kind
    assert {one for one, where in OF_DAMAGE.items() if where == here} <= seen


class _KilledError(Exception):
    pass


class Ending(Executor):
    """Ends a build or an update after its first task."""

    def __init__(self) -> None:
        self.tasks = 0

    def submit(self, call: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        self.tasks += 1
        if self.tasks > 1:
            raise _KilledError
        done: Future[Any] = Future()
        done.set_result(call(*arguments, **keywords))
        return done


@pytest.mark.parametrize("grown", [True, False])
def test_an_update_that_was_cut_short_is_no_damage(
    grown: bool, out: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if grown:
        write(source, 20)
    with pytest.raises(_KilledError):
        parchunk.update(str(out), regions=[0, 1], executor=Ending(), workers=4)
    assert run(["status", str(out)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "an update was cut short" in said
    assert f"run parchunk update {out}" in said
    assert "readers see the references as they were before" in said
    assert run(["status", str(out), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["published"]
    assert not shown["finished"]
    report = parchunk.audit(str(out))
    assert {found.severity for found in report.findings} == {"gap"}
    assert {found.kind for found in report.findings} == {"unfinished"}
    assert all("parchunk update OUT" in found.remedy for found in report.findings)
    assert run(["audit", str(out)]) == 1
    assert "damage" not in capsys.readouterr().out
    assert run(["update", str(out)]) == 0
    assert run(["status", str(out)]) == 0
    assert run(["audit", str(out)]) == 0


def chunk_otherwise(source: Path) -> None:
    """Write an array anew in other chunks: what is there is replaced by the next update."""
    array = zarr.create_array(
        source / "g/whole", shape=(4,), chunks=(2,), dtype="i4", zarr_format=2, overwrite=True
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["x"]
    array[:] = 1


def kill(*_: object) -> None:
    raise _KilledError


@pytest.mark.parametrize("command", ["update", "relocate"])
def test_one_that_was_cut_short_when_it_had_said_what_it_was_asked(
    command: str,
    out: Path,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has prepared nothing yet of what is to take the place of what is published."""
    moved = source.with_name("moved")
    shutil.copytree(source, moved)
    if command == "update":
        chunk_otherwise(source)
    with monkeypatch.context() as patched:
        patched.setattr(staging, "save_plan", kill)
        with pytest.raises(_KilledError):
            parchunk.update(str(out)) if command == "update" else parchunk.relocate(str(out), moved)
    assert (out / PREPARED_FOR).exists()
    assert not (out / PREPARED_PLAN).exists()
    capsys.readouterr()
    assert run(["status", str(out)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert ("a relocation" if command == "relocate" else "an update") + " was cut short" in said
    [found] = parchunk.audit(str(out)).findings
    assert found.kind == "unfinished"
    assert f"parchunk {command}" in found.remedy
    assert run([command, str(out), *([str(moved)] if command == "relocate" else [])]) == 0
    assert run(["status", str(out)]) == 0
    assert run(["audit", str(out)]) == 0


def test_one_that_was_cut_short_when_all_was_in_place(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk_otherwise(source)
    with monkeypatch.context() as patched:
        patched.setattr(switching, "discard_prepared", kill)
        with pytest.raises(_KilledError):
            parchunk.update(str(out))
    assert (out / PREPARED_FOR).exists()
    assert run(["status", str(out)]) == 0
    assert run(["audit", str(out)]) == 0
    assert run(["update", str(out)]) == 0
    assert not (out / PREPARED_FOR).exists()


@pytest.mark.parametrize("command", ["update", "build"])
def test_a_root_that_came_when_another_was_in_place(
    command: str, out: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a store may carry out a write whose client was killed: nothing is replaced by it."""
    root = (out / ".zmetadata").read_bytes()
    write(source, 12)
    assert run(["update", str(out)]) == 0
    new = (out / ".zmetadata").read_bytes()
    prepared = out / PREPARED_ROOT
    prepared.parent.mkdir(parents=True)
    prepared.write_bytes(root)
    assert run(["audit", str(out)]) == 2
    assert "is being replaced" in capsys.readouterr().err
    again = ["build", str(source), str(out), "--split", "time", "--region", "2"]
    assert run(["update", str(out), "--json"] if command == "update" else [*again, "--json"]) == 0
    # An update lists whole arrays; nothing else was forgotten.
    built = json.loads(capsys.readouterr().out)["partitions_built"]
    assert built == (1 if command == "update" else 0)
    assert not prepared.exists()
    assert (out / ".zmetadata").read_bytes() == new
    assert run(["audit", str(out)]) == 0


def test_a_root_that_came_while_another_is_prepared(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that one was killed when nothing of it was there, it would be published as it is."""
    array = zarr.open_group(source).create_array(
        "t", shape=(8,), chunks=(2,), dtype="i4", overwrite=True
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    array[:] = 1
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.switch", kill)
        with pytest.raises(_KilledError):
            parchunk.update(str(out))
    prepared = out / PREPARED_ROOT
    late = prepared.read_bytes()
    prepared.unlink()
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.replacing.carry_out", kill)
        with pytest.raises(_KilledError):
            parchunk.update(str(out), regions=[1])
    prepared.write_bytes(late)
    root = (out / ".zmetadata").read_bytes()
    receipts = sorted((out / ".parchunk/receipts").rglob("*.json"))
    switching.finish_switch(open_output(str(out)), lambda: None)
    assert not prepared.exists()
    assert (out / ".zmetadata").read_bytes() == root
    assert sorted((out / ".parchunk/receipts").rglob("*.json")) == receipts
    assert run(["update", str(out)]) == 0
    assert run(["audit", str(out), "--against-source"]) == 0


def test_an_update_that_is_running_is_waited_for(
    out: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(source, 20)
    with pytest.raises(_KilledError):
        parchunk.update(str(out), executor=Ending(), workers=4)
    output = open_output(str(out))
    with held(output):
        mine = Holder.decode(output.get(LEASE) or b"")
    assert mine is not None
    other = replace(mine, host="elsewhere", expires=time.time() + 60, conditional=False)
    assert output.put_if(LEASE, other.encode(), None)
    assert run(["status", str(out)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "an update is running" in said
    assert f"wait for process {other.pid} on elsewhere" in said
    assert "ignores conditional writes" in said
    report = parchunk.audit(str(out))
    assert {found.kind for found in report.findings} == {"unfinished"}
    assert all("on elsewhere" in found.remedy for found in report.findings)


def test_a_build_that_was_cut_short(source: Path, tmp_path: Path) -> None:
    plan = parchunk.plan(str(source), split="time", region=2)
    with pytest.raises(_KilledError):
        parchunk.build(plan, str(tmp_path / "out"), executor=Ending(), workers=4)
    report = parchunk.audit(str(tmp_path / "out"))
    assert {found.kind for found in report.findings} == {"unfinished"}
    assert {found.remedy for found in report.findings} == {"run the same build again: it resumes"}
    assert run(["status", str(tmp_path / "out")]) == 1


def audited(out: Path, *options: str) -> dict[str, Finding]:
    """Return what an audit finds, by kind; notices are no findings here."""
    assert run(["audit", str(out), *options]) == 1
    report = parchunk.audit(
        str(out),
        against_source="--against-source" in options,
        icechunk=options[1] if options[0] == "--icechunk" else None,
    )
    return {found.kind: found for found in report.findings if found.severity != "notice"}


@pytest.mark.parametrize("grew", [True, False])
def test_other_metadata(grew: bool, out: Path, source: Path) -> None:
    """An update takes it in, whatever it is."""
    if grew:
        array = zarr.open_array(source / "t", mode="a")
        array.resize((12,))
        array[8:] = 9
    else:
        edit(source / "t/.zarray", fill_value=7)
    found = audited(out, "--against-source")["source-metadata"]
    assert found.remedy == "parchunk update OUT"
    assert run(["update", str(out)]) == 0
    assert run(["audit", str(out), "--against-source"]) == 0


def test_an_array_that_is_gone(out: Path, source: Path) -> None:
    """What is said of its chunks, and of the metadata, leads there, too."""
    shutil.rmtree(source / "g" / "whole")
    found = audited(out, "--against-source")
    for kind in ("gone-array", "gone-chunks", "source-metadata"):
        assert found[kind].remedy.endswith("run parchunk update OUT --allow-gone"), kind
    assert run(["update", str(out), "--allow-gone"]) == 0
    assert run(["audit", str(out), "--against-source"]) == 0


def test_an_array_that_became_shorter(out: Path, source: Path) -> None:
    zarr.open_array(source / "t", mode="a").resize((4,))
    found = audited(out, "--against-source")["source-metadata"]
    assert found.remedy.endswith("run parchunk update OUT --allow-shrink")
    assert run(["update", str(out), "--allow-shrink"]) == 0
    assert run(["audit", str(out), "--against-source"]) == 0


def test_a_repository_of_what_was(out: Path, source: Path, tmp_path: Path) -> None:
    pytest.importorskip("icechunk")
    repo = str(tmp_path / "repo")
    assert run(["to-icechunk", str(out), repo]) == 0
    assert run(["audit", str(out), "--icechunk", repo]) == 0
    (source / "t/3").unlink()
    assert run(["update", str(out), "--regions", "1"]) == 0
    write(source, 12)
    assert run(["update", str(out)]) == 0
    found = audited(out, "--icechunk", repo)["repository"]
    assert "run parchunk to-icechunk again" in found.remedy
    assert run(["to-icechunk", str(out), repo]) == 0
    assert run(["audit", str(out), "--icechunk", repo]) == 0


def test_an_array_that_is_gone_and_stays_in_a_repository(
    out: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of others' arrays nothing is said."""
    pytest.importorskip("icechunk")
    repo = str(tmp_path / "repo")
    assert not parchunk.to_icechunk(str(out), repo).notes
    opened = parchunk.open_icechunk(repo)
    session = opened.writable_session("main")
    zarr.open_group(session.store).create_array("theirs", shape=(), dtype="i4")
    session.commit("by others")
    shutil.rmtree(source / "g" / "whole")
    assert run(["update", str(out), "--allow-gone"]) == 0
    (note,) = parchunk.to_icechunk(str(out), repo).notes
    (found,) = parchunk.audit(str(out), icechunk=repo).findings
    assert (found.kind, found.array, found.severity) == ("repository", "g/whole", "notice")
    assert run(["audit", str(out), "--icechunk", repo]) == 0
    assert "g/whole is on branch main" in capsys.readouterr().out
    code = found.remedy.partition("run: ")[2]
    assert note.startswith("g/whole is on branch main")
    assert note.endswith(code)
    exec(code, {"repo": opened})
    assert not parchunk.audit(str(out), icechunk=repo).findings
    assert not parchunk.to_icechunk(str(out), repo).notes
    left = zarr.open_group(opened.readonly_session("main").store, mode="r")
    assert "theirs" in left
    assert "g/whole" not in left


def test_damage_of_more_files_than_are_named(tmp_path: Path) -> None:
    source, out = tmp_path / "store", tmp_path / "out"
    write(source, 108)
    given = [str(source), str(out), "--split", "time", "--region", "108", "--record-size", "1"]
    assert run(["build", *given, "--no-progress"]) == 0
    for number in range(105):
        (out / f"t/refs.{number}.parq").write_bytes(b"no")
    report = parchunk.audit(str(out))
    rest = [found for found in report.findings if "further findings" in found.message]
    assert {found.count for found in rest} == {5}
    assert all(found.remedy.startswith("build again with --overwrite") for found in rest)
    assert run(["audit", str(out)]) == 1
    assert run(["build", *given, "--no-progress", "--overwrite"]) == 0
    assert run(["audit", str(out)]) == 0


@pytest.mark.parametrize(
    "kind", [kind for kind in DAMAGE if not kind.startswith(("chunk", "grown"))]
)
def test_a_repair_writes_what_is_damaged_and_nothing_else(
    kind: str, out: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for what belongs to nothing, which a person may want to look at: it is left."""
    before = {path: path.read_bytes() for path in out.rglob("refs.*.parq")}
    root = (out / ".zmetadata").read_bytes()
    DAMAGE[kind](out, source)
    times = {path: path.stat().st_mtime_ns for path in before if path.exists()}
    damaged = parchunk.audit(str(out)).damaged
    capsys.readouterr()
    assert run(["update", str(out), "--repair", "--json"]) == 0
    due = {*damaged, ("t", 1)} if kind == "receipt gone" else set(damaged)
    assert json.loads(capsys.readouterr().out)["partitions_built"] == len(due) <= 1
    left = [found for found in parchunk.audit(str(out)).findings if found.severity != "notice"]
    assert {found.kind for found in left} <= {"extra-file", "bad-receipt"}
    assert bool(left) == (kind in ("file too many", "receipt of no partition"))
    assert {path: path.read_bytes() for path in before} == before
    assert (out / ".zmetadata").read_bytes() == root
    # Regions of two rows are a record file each; the whole array is two.
    files = {out / name / f"refs.{region or 0}.parq" for name, region in due}
    files |= {path.with_name("refs.1.parq") for path in files if path.parent.name == "whole"}
    for path, time_ in times.items():
        assert (path.stat().st_mtime_ns == time_) == (path not in files)
