"""Chunks of which nothing says when they were written: sizes are compared, and it is said."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.http_server import served
from instruments.inventories import objects_in
from tests.examples import examples

import parchunk
from parchunk.auditing.changes import Comparison
from parchunk.cli.main import run
from parchunk.inventories.reading import sort_objects
from parchunk.inventories.roots import Root

STEPS = 12
#: What obstore says of a server that gives no time.
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
#: When chunks were written, when some were written again, and when inventories were taken.
BUILT, AGAIN, TAKEN = (datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3))


def stamp(paths: Iterable[Path], when: datetime) -> None:
    for path in paths:
        os.utime(path, (when.timestamp(), when.timestamp()))


def written(folder: Path, **how: Any) -> Path:
    store = folder / "s.zarr"
    root = zarr.open_group(store, mode="w", zarr_format=3)
    how = {"chunks": (1,), "compressors": None, **how}
    array = root.create_array("t", shape=(STEPS,), dtype="i4", dimension_names=("time",), **how)
    array[:] = np.arange(1, STEPS + 1)
    stamp((path for path in store.rglob("*") if path.is_file()), BUILT)
    return store


def table(store: Path, timed: Iterable[int] = (), times: bool = True) -> pa.Table:
    """Return what the store has, with the times of some chunks of ``t``, by their numbers."""
    rows = objects_in(store, "s.zarr/")
    shown = {f"s.zarr/t/c/{number}" for number in timed}
    found = {"key": [row.key for row in rows], "size": [row.size for row in rows]}
    if times:
        column = [row.modified if row.key in shown else None for row in rows]
        found["last_modified"] = pa.array(column, pa.timestamp("us", tz="UTC"))
    return pa.table(found)


def as_inventory(store: Path, rows: pa.Table, taken: datetime = TAKEN) -> parchunk.Source:
    opened = parchunk.Source.open(str(store))
    return parchunk.Source(
        opened.store, opened.prefix, opened.url, objects=rows, objects_taken=taken
    )


def compared(out: Path, source: parchunk.Source | Path) -> tuple[parchunk.AuditReport, Comparison]:
    report = parchunk.audit(out, against_source=True, source=source)
    assert report.comparison is not None
    return report, report.comparison


def write_again(store: Path, name: str, values: np.ndarray[Any, Any]) -> None:
    (store / "t/c" / name).write_bytes(values.astype("<i4").tobytes())
    stamp([store / "t/c" / name], AGAIN)


def test_one_without_times_is_compared_by_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out, file = written(tmp_path), tmp_path / "out", tmp_path / "list.csv"
    parchunk.build(store, out)
    rows = objects_in(store, "s.zarr/")
    file.write_text("\n".join(["key,size", *(f"{row.key},{row.size}" for row in rows), ""]))
    stamp([file], TAKEN)
    asked = ["audit", str(out), "--against-source", "--inventory", str(file)]
    assert run(asked) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "times not compared: the inventory has none of 12 objects" in shown
    assert run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["against_source"]["untimed"], found["against_source"]["changed"]) == (12, 0)
    assert [one["kind"] for one in found["findings"]] == ["untimed"]
    assert found["findings"][0]["count"] == 12
    made = parchunk.update(out, inventory=file)
    assert (made.built, made.present) == (0, 12)  # as any update: nothing is due


def test_sizes_that_differ_are_changes_and_what_is_new_or_gone(tmp_path: Path) -> None:
    store, out = written(tmp_path), tmp_path / "out"
    (store / "t/c/11").unlink()
    parchunk.build(store, out)
    write_again(store, "3", np.arange(2))
    write_again(store, "11", np.arange(1))
    (store / "t/c/7").unlink()
    report, found = compared(out, as_inventory(store, table(store)))
    kinds = {one.kind: one.count for one in report.findings if one.severity == "change"}
    assert kinds == {"changed-chunks": 1, "new-chunks": 1, "gone-chunks": 1}
    assert found.untimed == 9


@settings(max_examples=examples(6), deadline=None)
@given(st.data())
def test_some_have_times(data: st.DataObject) -> None:
    subsets = st.sets(st.integers(0, STEPS - 1))
    gaps, timed, again = data.draw(subsets), data.draw(subsets), data.draw(subsets)
    sized = data.draw(st.sets(st.sampled_from(sorted(again)))) if again else set()
    threshold = data.draw(st.sampled_from([0, 100]), label="chunks are inlined")
    with TemporaryDirectory() as folder:
        store, out = written(Path(folder)), Path(folder) / "out"
        for number in gaps:
            (store / f"t/c/{number}").unlink()
        plan = parchunk.plan(store, split="time", region=5, inline_threshold=threshold)
        parchunk.build(plan, out)
        for number in again:
            write_again(store, str(number), np.full(1 + (number in sized), 90))
        report, found = compared(out, as_inventory(store, table(store, timed)))
        there = set(range(STEPS)) - gaps
        same = there & again - sized
        # Where bytes are inlined they are read again, and tell without a time.
        anew = same if threshold else same & timed
        keys = {
            name: {int(key[4:]) for one in found.regions for key in one.keys(getattr(one, name))}
            for name in ("new", "gone", "resized", "rewritten", "overrun")
        }
        assert keys == {
            "new": again & gaps,
            "gone": set(),
            "resized": there & sized,
            "rewritten": anew,
            "overrun": set(),
        }
        assert not any(one.contradicted for one in found.regions)
        assert found.untimed == len(there - timed - sized - anew)
        assert {one.severity for one in report.findings} <= {"change", "gap", "notice"}


@pytest.mark.parametrize("shown", [False, True])
def test_indexes_of_shards_tell_what_has_no_time(tmp_path: Path, shown: bool) -> None:
    """Of a shard without inner chunks the index says that it has none, and later that it has."""
    store, out = written(tmp_path, shards=(4,)), tmp_path / "out"
    array = zarr.open_array(store / "t", mode="r+")
    array.update_attributes({})
    (empty, whole, last) = ((store / f"t/c/{at}").read_bytes() for at in range(3))
    index = np.frombuffer(empty[-68:-4], "<u8").reshape(4, 2).copy()
    assert index[0].tolist() == [0, 4]
    array[:4] = 0  # fill values, of which no chunk is written
    assert not (store / "t/c/0").exists()
    import google_crc32c

    none = np.full((4, 2), 2**64 - 1, "<u8").tobytes()
    (store / "t/c/0").write_bytes(none + google_crc32c.value(none).to_bytes(4, "little"))
    stamp([*store.glob("t/c/*")], BUILT)
    parchunk.build(store, out)
    report, found = compared(out, as_inventory(store, table(store)))
    assert {one.severity for one in report.findings} <= {"gap", "notice"}
    assert (found.untimed, found.regions) == (3, ())
    (store / "t/c/0").write_bytes(empty)  # has inner chunks now
    swapped = np.frombuffer(whole[-68:-4], "<u8").reshape(4, 2)[::-1].tobytes()
    check = google_crc32c.value(swapped).to_bytes(4, "little")
    (store / "t/c/1").write_bytes(whole[:-68] + swapped + check)  # are elsewhere in it now
    stamp([store / "t/c/0", store / "t/c/1"], AGAIN)
    report, found = compared(out, as_inventory(store, table(store, range(3) if shown else ())))
    (region,) = found.regions
    assert (region.new.tolist(), region.rewritten.tolist()) == ([0], [1])
    assert not region.contradicted
    assert found.untimed == (0 if shown else 1)
    (store / "t/c/2").write_bytes(last[:10])  # ends before the references into it
    stamp([store / "t/c/2"], AGAIN)
    report, found = compared(out, as_inventory(store, table(store)))
    (region,) = found.regions
    assert (region.resized.tolist(), region.overrun.tolist()) == ([2], [])
    assert report.counts["damage"] == 0


def test_references_of_one_without_times_are_as_of_it(tmp_path: Path) -> None:
    """The other way round: what was written since the inventory was taken is told by its time."""
    store, out = written(tmp_path), tmp_path / "out"
    rows = table(store, times=False)
    source = as_inventory(store, rows, datetime(2020, 1, 1, 12, tzinfo=UTC))
    parchunk.build(parchunk.plan(source, split="time", region=4), out)
    assert compared(out, source)[1].untimed == 0  # no chunk can be younger than it is
    report, found = compared(out, store)
    assert (found.untimed, found.regions) == (0, ())
    assert report.complete
    write_again(store, "5", np.full(1, 90))
    _, found = compared(out, store)
    (region,) = found.regions
    assert (region.region, region.rewritten.tolist()) == (1, [5])
    # An update takes neither all of it for written again, nor that: none does.
    made = parchunk.update(out, inventory=inventory_file(tmp_path, table(store, times=False)))
    assert (made.built, made.present) == (0, 12)
    made = parchunk.update(out, regions=1)
    assert made.built == 1
    assert compared(out, store)[1].regions == ()


def inventory_file(folder: Path, rows: pa.Table) -> Path:
    import pyarrow.parquet as pq

    file = folder / "rows.parquet"
    pq.write_table(rows, file)
    stamp([file], TAKEN)
    return file


def test_it_is_the_same_whenever_it_was_copied(tmp_path: Path) -> None:
    """Without times the rows say nothing of a date, and a build that was cut short goes on."""
    store, out = written(tmp_path), tmp_path / "out"
    file = inventory_file(tmp_path, table(store, times=False))
    plan = parchunk.plan(store, split="time", region=4, inventory=file)
    parchunk.build(plan, out)
    (out / ".zmetadata").unlink()
    (out / ".parchunk/receipts/t/1.json").unlink()
    stamp([file], datetime(2020, 1, 4, tzinfo=UTC))
    plan = parchunk.plan(store, split="time", region=4, inventory=file)
    made = parchunk.build(plan, out)
    assert made.built == 1
    # As of when it was first looked at: what was written since has changed.
    assert {receipt.inventory for receipt in made.receipts} == {"2020-01-03T00:00:00Z"}
    assert {receipt.last_modified for receipt in made.receipts} == {int(TAKEN.timestamp()) * 10**6}


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ""])
def test_what_tools_write_for_no_time_is_none(tmp_path: Path, never: str) -> None:
    """rclone says the first of year 1, or of 1970, of objects of which the server says no time."""
    store, out, file = written(tmp_path), tmp_path / "out", tmp_path / "list.json"
    parchunk.build(store, out)
    rows = [
        {"Path": row.key, "Size": row.size, "ModTime": never}
        for row in objects_in(store, "s.zarr/")
    ]
    file.write_text(json.dumps(rows))
    report = parchunk.audit(out, against_source=True, inventory=file)
    assert [(one.kind, one.count) for one in report.findings] == [("untimed", 12)]


def test_a_row_with_a_time_counts_before_one_without(tmp_path: Path) -> None:
    store = written(tmp_path)
    some = table(store, range(0, STEPS, 2))
    both = pa.concat_tables([table(store), some, table(store)])
    objects = as_inventory(store, both).objects
    assert objects.digest == as_inventory(store, some).objects.digest
    assert f"{2 * len(some)} rows are in it twice" in objects.notes[0]
    other = some.set_column(
        2, "last_modified", pa.array([AGAIN] * len(some), some["last_modified"].type)
    )
    with pytest.raises(parchunk.InputError, match="comes twice, with two modifieds"):
        as_inventory(store, pa.concat_tables([both, other]))


def test_what_was_changed_is_not_called_mended(tmp_path: Path) -> None:
    store, out, last = written(tmp_path), tmp_path / "out", tmp_path / "last.json"
    parchunk.build(store, out)
    write_again(store, "5", np.full(1, 90))
    report, _ = compared(out, store)
    last.write_text(json.dumps(report.to_json()))
    source = as_inventory(store, table(store))
    report = parchunk.audit(out, against_source=True, source=source, since=last)
    assert report.since is not None
    assert [one.kind for one in report.since.mended] == []
    assert [one.kind for one in report.since.unjudged] == ["changed-chunks"]


def test_a_server_need_not_say_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, out = written(tmp_path), tmp_path / "out"
    (tmp_path / "www").mkdir()
    shutil.move(store, tmp_path / "www/s.zarr")
    with served(tmp_path / "www") as server:
        parchunk.build(parchunk.plan(f"{server.url}/s.zarr/t", probe=True), out)
        monkeypatch.setattr("instruments.http_server.formatdate", lambda *_, **__: EPOCH)
        report = parchunk.audit(out, against_source=True, probe=True)
    (found,) = report.findings
    assert (found.kind, found.severity, found.count) == ("untimed", "notice", 12)
    assert "the server has none" in found.message


@pytest.mark.parametrize("identity", ["none", "etag"])
def test_a_note_says_that_sizes_alone_are_compared_where_they_are(identity: str) -> None:
    table = pa.table({"key": [".zgroup", "a"], "size": [1, 2], "etag": ["x", "y"]})
    notes = sort_objects(table, Root("s3://b"), 512 << 20, identity=identity).notes
    assert ("sizes alone" in notes[0]) == (identity == "none")
