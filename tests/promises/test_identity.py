"""What is kept of each object, ``--identity``: written, carried, audited, and never wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
import zarr
from obstore.store import LocalStore
from tests.promises.identities import KINDS, OBJECTS, anew, build, changed, kept, write, write_all

import parchunk
from parchunk.cli.main import run
from parchunk.errors import OutputError
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and references of it for each kind of identity."""
    return write_all(tmp_path_factory.mktemp("identity"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_without_identity_nothing_is_other(made: Path) -> None:
    plan = json.loads((made / "none/.parchunk/plan.json").read_text())
    assert "identity" not in plan
    assert not (made / "none" / OBJECTS).exists()
    receipt = json.loads((made / "none/.parchunk/receipts/t/0.json").read_text())
    assert all(len(file) == 5 for file in receipt["record_files"])
    for kind in KINDS[1:]:
        for path in (made / kind).rglob("refs.*.parq"):
            name = path.relative_to(made / kind)
            if name.parts[0] != ".parchunk":
                assert path.read_bytes() == (made / "none" / name).read_bytes()
        assert (made / kind / ".zmetadata").read_bytes() == (made / "none/.zmetadata").read_bytes()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_rows_say_what_the_store_says(made: Path, kind: str) -> None:
    said = {one["path"]: one for page in LocalStore(str(made / "store")).list() for one in page}
    column = {"time": "last_modified", "etag": "etag"}[kind]
    rows = (
        parchunk.connect(str(made / kind))
        .sql(f"SELECT chunk_key, present, {column} FROM refs ORDER BY ALL")
        .fetchall()
    )
    assert len(rows) == 12 + 12 + 1
    for key, present, value in rows:
        if not present:
            assert value is None
        elif kind == "etag":
            assert value == said[key]["e_tag"].strip('"')
        else:
            assert value == said[key]["last_modified"].replace(tzinfo=None)


@pytest.mark.parametrize("gone", ["refs.0.parq", "*.parq"])
def test_chunks_whose_object_file_is_gone_have_no_null(
    made: Path, tmp_path: Path, gone: str
) -> None:
    out = shutil.copytree(made / "time", tmp_path / "out")
    for path in (out / OBJECTS / "t").glob(gone):
        path.unlink()
    lost = "SELECT last_modified FROM refs WHERE array_name = 't' AND region = 0"
    with parchunk.connect(str(out)) as connection:
        with pytest.raises(duckdb.Error, match=r"objects/t/refs\.0\.parq is gone: parchunk audit"):
            connection.sql(lost).fetchall()
        others = connection.sql("SELECT last_modified FROM refs WHERE array_name = 's' AND present")
        assert None not in others.fetchall()
        assert connection.sql("SELECT count(*) FROM refs WHERE present").fetchall() == [(21,)]
    parchunk.update(str(out), repair=parchunk.audit(str(out)).damaged)
    with parchunk.connect(str(out)) as connection:
        assert connection.sql(f"{lost} AND last_modified IS NULL").fetchall() == []


@pytest.mark.parametrize("kind", KINDS[1:])
def test_views_count_the_same(made: Path, kind: str) -> None:
    for query in (
        "SELECT * FROM missing ORDER BY ALL",
        "SELECT * EXCLUDE (path) FROM coverage ORDER BY ALL",
    ):
        query = query.replace(" EXCLUDE (path)", "")
        one, other = (
            parchunk.connect(str(made / which)).sql(query).fetchall() for which in ("none", kind)
        )
        assert one == other


def backdated(path: Path) -> None:
    """As `anew`, with a time before that of all: a copy that kept its time."""
    anew(path)
    os.utime(path, ns=(10**18, 10**18))


DRIFT: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "same size": (anew, {"none": "changed-chunks", "": "rewritten-chunks"}),
    "same size, older": (backdated, {"none": "", "": "rewritten-chunks"}),
    "other size": (lambda path: path.write_bytes(b"longer" * 9), {"": "changed-chunks"}),
    "gone": (lambda path: path.unlink(), {"": "gone-chunks"}),
}


def test_drift_is_named_and_taken_in(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", kind)
    assert not changed(parchunk.audit(str(out), against_source=True))
    before = (out / "t/refs.0.parq").read_bytes()
    for change, expected in DRIFT.values():
        change(source / "t/c/2/1")
        report = parchunk.audit(str(out), against_source=True)
        wanted = expected.get(kind, expected[""])
        assert changed(report) == ({wanted: {("t", 1)}} if wanted else {})
        found = [one for one in report.findings if one.kind == wanted]
        assert all(one.key == "t/c/2/1" and "--regions 1" in one.remedy for one in found)
        parchunk.update(str(out), regions=1)
        assert not changed(parchunk.audit(str(out), against_source=True))
        assert (out / "t/refs.0.parq").read_bytes() == before, "region 0 was left as it was"
    assert kept(out) == kept(build(source, tmp_path / "fresh", kind))


def test_what_came_is_kept(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", kind)
    zarr.open_group(source)["t"][10:] = 7
    assert ("t", 2) in changed(parchunk.audit(str(out), against_source=True))["new-chunks"]
    parchunk.update(str(out))
    assert kept(out) == kept(build(source, tmp_path / "fresh", kind))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_shards_written_anew_are_named(kind: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", kind)
    array = zarr.open_group(source)["s"]
    array[4:8] = np.asarray(array[4:8]) + 1
    shard = source / "s/c/1/0"
    now = shard.stat().st_mtime_ns + 5_000_000_000
    os.utime(shard, ns=(now, now))
    report = parchunk.audit(str(out), against_source=True)
    assert changed(report) == {"rewritten-chunks": {("s", 1)}}
    parchunk.update(str(out), regions=1)
    assert not changed(parchunk.audit(str(out), against_source=True))


@pytest.mark.parametrize(("kind", "damage"), [("time", "gone"), ("etag", "altered")])
def test_object_files_are_audited_and_repaired(kind: str, damage: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", kind)
    before, path = kept(out), out / OBJECTS / "t/refs.1.parq"
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1])
    report = parchunk.audit(str(out))
    found = [one for one in report.findings if one.severity == "damage"]
    kinds = {"gone": "missing-file", "altered": "wrong-digest"}
    assert [(one.kind, one.array, one.region) for one in found] == [(kinds[damage], "t", 1)]
    assert f"{OBJECTS}/t/refs.1.parq" in found[0].message
    assert list(report.damaged) == [("t", 1)]
    assert run(["update", str(out), "--repair"]) in (0, 1)
    assert kept(out) == before
    assert not [one for one in parchunk.audit(str(out)).findings if one.severity == "damage"]


@pytest.mark.parametrize(
    ("kind", "how"),
    [("time", "wider"), ("etag", "wider"), ("etag", "longer"), ("etag", "narrower")],
)
def test_identities_are_carried_with_their_rows(kind: str, how: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", kind)
    group = zarr.open_group(source)
    for name in ("t", "s"):
        group[name].resize({"longer": (20, 4), "wider": (12, 8), "narrower": (12, 2)}[how])
    if how == "longer":
        group["time"].resize((20,))
    group["t"][-4:, -2:] = 9
    result = parchunk.update(str(out), allow_shrink=True)
    assert result.plan.identity == kind
    # Arrays that became wider are renumbered, and only what came is listed.
    fresh = build(source, tmp_path / "fresh", kind, region=result.plan.region_length)
    assert kept(out) == kept(fresh)
    assert not changed(parchunk.audit(str(out), against_source=True))


def test_what_was_rewritten_before_rows_were_renumbered_is_found(tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", "time")
    backdated(source / "t/c/2/1")
    zarr.open_group(source)["t"].resize((12, 8))
    result = parchunk.update(str(out), gaps=False)
    assert (result.plan.by_name["t"].spec.shape, result.plan.identity) == ((12, 8), "time")
    report = parchunk.audit(str(out), against_source=True)
    assert {one.key for one in report.findings if one.kind == "rewritten-chunks"} == {"t/c/2/1"}


def test_an_object_of_the_epoch_has_a_time_as_others_have(tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    chunks = [source / "t/c/2/1", source / "s/c/1/0"]
    for chunk in chunks:
        os.utime(chunk, (0, 0))
    out = build(source, tmp_path / "out", "time")
    assert not changed(parchunk.audit(str(out), against_source=True))
    for chunk in chunks:
        backdated(chunk)
    report = parchunk.audit(str(out), against_source=True)
    assert changed(report) == {"rewritten-chunks": {("t", 1), ("s", 1)}}


def test_another_identity_is_another_plan(made: Path, tmp_path: Path) -> None:
    out = build(made / "store", tmp_path / "out", "time")
    with pytest.raises(parchunk.InputError, match="--identity time there, etag now"):
        build(made / "store", out, "etag")
    plan = parchunk.plan(str(made / "store"), split="time", region=4, record_size=4)
    parchunk.build(plan, str(out), overwrite=True)
    assert not kept(out)


def test_tasks_keep_the_same(made: Path, tmp_path: Path) -> None:
    how = {"split": "time", "region": 4, "record_size": 4, "identity": "etag"}
    plan = parchunk.plan(str(made / "store"), **how)
    for task in parchunk.tasks(plan, str(tmp_path / "tasks"), parts=3):
        parchunk.run_task(pickle.loads(pickle.dumps(task)))
    parchunk.publish(str(tmp_path / "tasks"))
    assert kept(tmp_path / "tasks") == kept(made / "etag")
    assert pickle.loads(pickle.dumps(plan.source)).identity == "etag", "as processes have it"


def test_relocation_drops_them_by_name(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = build(made / "store", tmp_path / "out", "etag")
    copy = write(tmp_path / "copy")
    assert run(["relocate", str(out), str(copy)]) == 0
    assert "entity tag is not kept any more" in capsys.readouterr().out
    assert not kept(out)
    assert json.loads((out / ".parchunk/plan.json").read_text()).get("identity") is None
    assert parchunk.audit(str(out), against_source=True).exit_code == 1  # gaps, as before
    assert not changed(parchunk.audit(str(out), against_source=True))


@pytest.mark.parametrize("kind", ["etag"])
def test_joined_stores_keep_each_object(kind: str, tmp_path: Path) -> None:
    for at in range(3):
        write(tmp_path / f"{at}.zarr")
        group = zarr.open_group(tmp_path / f"{at}.zarr")
        group["time"][:] = np.arange(12) + 12 * at
    paths = [str(tmp_path / f"{at}.zarr") for at in range(3)]
    # Record files of 16 rows hold rows of two stores.
    plan = parchunk.plan(paths[:2], concat="time", identity=kind, record_size=16, exclude="s")
    parchunk.build(plan, str(tmp_path / "out"))
    parchunk.update(str(tmp_path / "out"), paths[2])
    fresh = parchunk.plan(paths, concat="time", identity=kind, record_size=16, exclude="s")
    parchunk.build(fresh, str(tmp_path / "fresh"))
    assert kept(tmp_path / "out") == kept(tmp_path / "fresh")
    assert not changed(parchunk.audit(str(tmp_path / "out"), against_source=True))
    anew(tmp_path / "1.zarr/t/c/2/1")
    report = parchunk.audit(str(tmp_path / "out"), against_source=True)
    assert set(changed(report)) == {"rewritten-chunks"}
    parchunk.update(str(tmp_path / "out"), arrays="t")
    assert not changed(parchunk.audit(str(tmp_path / "out"), against_source=True))


class Dying(LocalOutput):
    """An OUT in which something is not written: there the build is cut short."""

    ends_at = ""

    def put(self, path: str, data: bytes | memoryview) -> None:
        if path == self.ends_at:
            raise OutputError(f"cut short at {path}")
        super().put(path, data)


def dying(out: Path, ends_at: str) -> Dying:
    output = Dying(open_output(str(out)).location)
    output.ends_at = ends_at
    return output


@pytest.mark.parametrize("kind", ["etag"])
@pytest.mark.parametrize(
    "ends_at", [f"{OBJECTS}/t/refs.1.parq", "t/refs.1.parq", ".parchunk/receipts/t/1.json"]
)
def test_cut_short_anywhere_it_is_finished(
    made: Path, kind: str, ends_at: str, tmp_path: Path
) -> None:
    source, out = made / "store", tmp_path / "out"
    plan = parchunk.plan(str(source), split="time", region=4, record_size=4, identity=kind)
    with pytest.raises(OutputError, match="cut short"):
        parchunk.build(plan, dying(out, ends_at))
    assert not (out / ".parchunk/receipts/t/1.json").exists()
    parchunk.build(plan, str(out))
    assert kept(out) == kept(made / kind)


@pytest.mark.parametrize("ends_at", ["t/refs.1.parq", ".parchunk/receipts/t/1.json"])
def test_an_update_cut_short_vouches_for_nothing(ends_at: str, tmp_path: Path) -> None:
    source = write(tmp_path / "store")
    out = build(source, tmp_path / "out", "etag")
    anew(source / "t/c/2/1")
    with pytest.raises(OutputError, match="cut short"):
        parchunk.update(dying(out, ends_at), regions=1)
    assert not (out / ".parchunk/receipts/t/1.json").exists()
    assert "unfinished" in {one.kind for one in parchunk.audit(str(out)).findings}
    parchunk.update(str(out))
    assert kept(out) == kept(build(source, tmp_path / "fresh", "etag"))
    assert not changed(parchunk.audit(str(out), against_source=True))


def test_an_unknown_kind_is_refused(made: Path) -> None:
    with pytest.raises(parchunk.InputError, match="give one of none, time, etag"):
        parchunk.plan(str(made / "store"), identity="md5")


def test_plan_forecasts_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = {}
    for kind in KINDS:
        assert run(["plan", str(made / "store"), "--identity", kind, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)["forecast"]
        held[kind] = shown["vector_bytes"]
        assert shown.get("identity_bytes_held_a_chunk") == {"time": 8, "etag": 48}.get(kind)
    assert held == {"none": held["none"], "time": 2 * held["none"], "etag": 7 * held["none"]}
    assert run(["plan", str(made / "store"), "--identity", "etag"]) == 0
    assert "identity: etag, 48 bytes a chunk in memory" in capsys.readouterr().out
