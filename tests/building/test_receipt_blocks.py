"""Stores of many small arrays: built, killed, updated and moved as if each had a receipt alone."""

from __future__ import annotations

import gc
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.many_small import ARRAYS, Died, Dying, pictured, plan_of, write_arrays

import parchunk
from parchunk.building.tasks import do_task
from parchunk.out import receipt_blocks
from parchunk.out.lease import Lease
from parchunk.out.opening import open_output
from parchunk.out.output import BLOCKS, PLAN, RECEIPTS, ROOT
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_blocks import put_block
from parchunk.out.receipt_files import read_receipts, receipted
from parchunk.out.record_files import digest, record_path
from parchunk.out.remote import RemoteOutput
from parchunk.reading.status import read_status
from parchunk.stores.opening import Location

#: Partitions: nine whole arrays, and nine in two regions.
PARTITIONS = 27


@pytest.fixture(scope="module", autouse=True)
def unhurried() -> Iterator[None]:
    """Blocks are cut by how much they hold, however slow this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipt_blocks, "MOST_SECONDS", 1e6)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("small") / "s.zarr")


@pytest.fixture(scope="module")
def wanted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build writes that gives each partition a receipt of its own, as older ones did."""
    out = tmp_path_factory.mktemp("wanted") / "refs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipt_blocks, "_LEAST", ARRAYS + 1)
        parchunk.build(plan_of(source), out)
    output = open_output(out)
    assert len(output.paths(RECEIPTS)) == PARTITIONS
    assert not output.paths(BLOCKS)
    return out


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt_blocks, "MOST", 5)


def is_sound(out: Path) -> None:
    """Check what every receipt that counts vouches for, and that no part of OUT is published."""
    output = open_output(out)
    if output.get(PLAN) is None:
        return
    for receipt in read_receipts(output, load_plan(output)).values():
        for file in receipt.record_files:
            path = record_path(receipt.array, file.index)
            assert digest(output.get(path) or b"") == file.digest, path


def steps_of(call: Callable[[Dying], Any], out: Path) -> int:
    """Return how many writes and deletes something takes that nobody kills."""
    output = Dying.after(out, 10_000)
    call(output)
    return 10_000 - output.left[0]


def test_it_is_what_single_receipts_say(source: Path, wanted: Path, tmp_path: Path) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    result = parchunk.build(plan, out)
    assert result.built == len(result.receipts) == PARTITIONS
    assert pictured(out) == pictured(wanted)
    output = open_output(out)
    assert not output.paths(RECEIPTS)
    assert len(output.paths(BLOCKS)) == 1
    ours, theirs = (read_receipts(open_output(path), plan) for path in (out, wanted))
    assert list(ours) == list(theirs)
    costs = {"seconds": 0.0, "requests": 0, "requests_least": 0, "listing": None}
    for key, receipt in ours.items():
        assert replace(receipt, **costs) == replace(theirs[key], **costs)
    assert read_status(output).finished
    assert parchunk.build(plan, out).built == 0
    report = parchunk.audit(out)
    assert report.complete
    assert not [found for found in report.findings if found.kind == "bad-receipt"]
    query = "SELECT array_name, region, present FROM receipts ORDER BY ALL"
    rows = parchunk.connect(out).sql(query).fetchall()
    assert rows == parchunk.connect(wanted).sql(query).fetchall()
    assert len(rows) == PARTITIONS
    receipt = ours["g0/a0", None]
    put_block(output, [(0, receipt)])  # as two tasks that did the same at once
    assert parchunk.connect(out).sql(query).fetchall() == rows
    shutil.copytree(wanted / RECEIPTS, out / RECEIPTS)
    assert parchunk.connect(out).sql(query).fetchall() == rows
    assert parchunk.audit(out).complete
    put_block(output, [(0, replace(receipt, record_files=receipt.record_files[:1]))])
    left = [row for row in rows if row[0] != "g0/a0"]
    assert parchunk.connect(out).sql(query).fetchall() == left


def test_nothing_that_is_done_is_held_by_itself(source: Path, tmp_path: Path) -> None:
    # What holds itself goes only when Python looks for that, which is seldom where much is held.
    parchunk.build(plan_of(source), tmp_path / "first")  # imports
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        parchunk.build(plan_of(source), tmp_path / "refs")
        gc.collect()
        held = {type(one).__name__ for one in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not held & {"Job", "Ledger", "Member", "Node", "Owned", "Receipt", "Tally"}


def test_requests_to_out_are_few(source: Path) -> None:
    counts: Counter[str] = Counter()

    class Counting(RemoteOutput):
        def get(self, path: str) -> bytes | None:
            counts["get"] += path.startswith((RECEIPTS, BLOCKS))
            return super().get(path)

        def put(self, path: str, data: bytes | memoryview) -> None:
            counts["put"] += path.startswith((RECEIPTS, BLOCKS))
            super().put(path, data)

    output = Counting(Location("memory://out"), MemoryStore(), "out")
    parchunk.build(plan_of(source), output)
    assert counts == {"put": 1, "get": 0}
    assert read_status(output).finished
    assert parchunk.audit(output).complete
    assert counts["get"] <= 4
    assert parchunk.build(plan_of(source), output).built == 0
    assert (counts["put"], counts["get"] <= 6) == (1, True)


@pytest.mark.usefixtures("small_blocks")
def test_a_build_that_is_killed_anywhere(source: Path, wanted: Path, tmp_path: Path) -> None:
    plan = plan_of(source)
    build = partial(parchunk.build, plan, concurrency=1)
    steps = steps_of(build, tmp_path / "undisturbed")
    seen = set()
    for step in range(1, steps, 9):
        out = tmp_path / f"killed-{step}"
        with pytest.raises(Died):
            build(Dying.after(out, step))
        assert not (out / ROOT).exists()
        is_sound(out)
        done = len(read_receipts(open_output(out), plan))
        seen.add(done)
        assert build(out).built == PARTITIONS - done
        assert pictured(out) == pictured(wanted)
        assert receipted(open_output(out), plan) == {one.key for one in plan.partitions()}
        shutil.rmtree(out)
    assert len(seen) > 2


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("older", [False, True])
def test_an_update_that_is_killed_anywhere(tmp_path: Path, older: bool) -> None:
    """OUT has blocks, or the receipts of an older build."""
    grown = write_arrays(tmp_path / "s.zarr")
    before = tmp_path / "before"
    if older:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(receipt_blocks, "_LEAST", ARRAYS + 1)
            parchunk.build(plan_of(grown), before)
    else:
        parchunk.build(plan_of(grown), before)
    write_arrays(grown, steps=7)
    parchunk.build(plan_of(grown), tmp_path / "fresh")
    fresh = pictured(tmp_path / "fresh")
    shutil.copytree(before, tmp_path / "undisturbed")
    steps = steps_of(parchunk.update, tmp_path / "undisturbed")
    for step in random.Random(steps).sample(range(steps), 3):
        out = tmp_path / f"killed-{step}"
        shutil.copytree(before, out)
        with pytest.raises(Died):
            parchunk.update(Dying.after(out, step))
        is_sound(out)
        if step % 2:
            parchunk.update(out)
        elif load_plan(open_output(out)).fingerprint == plan_of(grown).fingerprint:
            parchunk.build(plan_of(grown), out)
        else:
            continue
        assert pictured(out) == fresh, step
        assert len(list((out / BLOCKS).iterdir())) == 1, "a folder of another plan"
        report = parchunk.audit(out)
        assert not [found for found in report.findings if found.severity == "damage"], step
        shutil.rmtree(out)


def test_what_is_kept_is_not_written_where_out_is_somebody_elses_by_now(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that was stopped for a while wrote them as it gave up, and others had listed anew."""

    def lost(lease: Lease) -> None:
        raise parchunk.HeldError("OUT is held by another build")

    monkeypatch.setattr(Lease, "check", lost)
    with pytest.raises(parchunk.HeldError, match="held by another"):
        parchunk.build(plan_of(source), tmp_path / "refs")
    assert not open_output(tmp_path / "refs").paths(BLOCKS)


class Halfway(Dying):
    """An OUT that dies once it has deleted a block whole."""

    def delete(self, path: str) -> None:
        super().delete(path)
        if path.startswith(BLOCKS):
            self.left[0] = 0


@pytest.mark.parametrize("grows", [True, False])
def test_what_is_doubtful_stays_so_whatever_is_killed(tmp_path: Path, grows: bool) -> None:
    """Two blocks differ: where one of them was deleted before the other, that one held."""
    path, out = write_arrays(tmp_path / "s.zarr"), tmp_path / "refs"
    plan = plan_of(path)
    parchunk.build(plan, out)
    output = open_output(out)
    receipt = read_receipts(output, plan)["g1/a1", 0]
    other = replace(receipt.record_files[0], digest="00" * 16)
    put_block(output, [(1, replace(receipt, record_files=(other, *receipt.record_files[1:])))])
    halfway = Halfway.after(out, 10_000)
    if grows:
        write_arrays(path, steps=7)
        with pytest.raises(Died):
            parchunk.update(halfway)
        parchunk.update(out)
    else:
        with pytest.raises(Died):
            parchunk.build(plan, halfway, overwrite=True)
        parchunk.build(plan, out)
    assert parchunk.audit(out).complete


def test_an_update_of_one_array_leaves_the_others(source: Path, tmp_path: Path) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    parchunk.build(plan, out)
    output = open_output(out)
    before = read_receipts(output, plan)
    (out / "g1/a1/refs.1.parq").write_bytes(b"damaged")
    assert parchunk.audit(out).damaged == [("g1/a1", 1)]
    assert parchunk.update(out, repair=[("g1/a1", 1)]).built == 1
    after = read_receipts(output, plan)
    assert {key for key in after if after[key] != before[key]} == {("g1/a1", 1)}
    assert len(output.paths(BLOCKS)) == 2
    assert parchunk.audit(out).complete
    assert parchunk.update(out, arrays=["g0/a3"]).built == 9 + 2  # and coordinates, maybe
    assert len(read_receipts(output, plan)) == PARTITIONS
    assert parchunk.audit(out).complete


def test_a_store_that_moved(source: Path, tmp_path: Path) -> None:
    out, there = tmp_path / "refs", tmp_path / "there.zarr"
    parchunk.build(plan_of(source), out)
    shutil.copytree(source, there)
    for step in (2, 20, 40, 20):
        with pytest.raises(Died):
            parchunk.relocate(Dying.after(out, step), there)
    assert parchunk.relocate(out, there).now.endswith("there.zarr")
    parchunk.build(plan_of(there), tmp_path / "fresh")
    assert pictured(out) == pictured(tmp_path / "fresh")
    output = open_output(out)
    assert not output.paths(RECEIPTS)
    assert len({Path(path).parent for path in output.paths(BLOCKS)}) == 1
    assert parchunk.audit(out).complete


def test_tasks_that_are_cut_otherwise_and_doubled(
    source: Path, wanted: Path, tmp_path: Path
) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    tasks = [*parchunk.tasks(plan, out, parts=3), *parchunk.tasks(plan, out, parts=2)]
    assert parchunk.run_task(tasks[0]).built

    class Late(Dying):
        """Sees what is there when it begins, and nothing that others do after that."""

        def paths(self, below: str = "") -> list[str]:
            return [] if below.startswith(BLOCKS) and not self.late else super().paths(below)

        late = False

    late = Late.after(out, 10_000)
    assert do_task(tasks[3], output=late).built == tasks[3].stop - tasks[3].start
    for task in tasks:
        parchunk.run_task(task)
    output = open_output(out)
    assert not output.paths(RECEIPTS)
    assert parchunk.publish(out).expected == 63
    assert pictured(out) == pictured(wanted)
    lines = [path for path in output.paths(BLOCKS) for _ in (out / path).read_text().splitlines()]
    assert len(lines) > PARTITIONS  # two said the same
    assert len(read_receipts(output, plan)) == PARTITIONS
    assert parchunk.audit(out).complete


def test_tasks_that_did_not_write_the_same(source: Path, wanted: Path, tmp_path: Path) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    (task,) = parchunk.tasks(plan, out, parts=1)
    output = open_output(out)
    receipt = read_receipts(open_output(wanted), plan)["g0/a0", None]
    other = replace(receipt.record_files[0], digest="00" * 16)

    class Beside(Dying):
        """Another puts his block right before this one does."""

        def put(self, path: str, data: Any) -> None:
            if path.startswith(BLOCKS):
                files = (other, *receipt.record_files[1:])
                put_block(output, [(0, replace(receipt, record_files=files))])
            super().put(path, data)

    with pytest.raises(parchunk.OutputError, match="g0/a0 was done twice at once, and not alike"):
        do_task(task, output=Beside.after(out, 10_000))
    with pytest.raises(parchunk.InputError, match=r"1 partitions \(g0/a0\) have no receipt"):
        parchunk.publish(out)
    assert parchunk.run_task(task).built == 1
    parchunk.publish(out)
    assert pictured(out) == pictured(wanted)
