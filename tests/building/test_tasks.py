"""Tasks, run anywhere, in any order, twice and killed, write what one build does."""

import json
import pickle
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made import write_three_arrays

import parchunk
from parchunk.building.tasks import do_task
from parchunk.errors import HeldError
from parchunk.out import claims
from parchunk.out.claims import Claim, claimed, read_claims
from parchunk.out.holder import Holder
from parchunk.out.lease import held
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import CLAIMS, LEASE
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt
from parchunk.out.receipts_at_once import write_receipt_once
from parchunk.reading.status import read_status


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tasks") / "s.zarr"
    write_three_arrays(path)
    (path / "v" / "c" / "9" / "note.txt").write_text("stray")
    return path


@pytest.fixture(scope="module")
def wanted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wanted") / "refs"
    parchunk.build(plan_of(source), out)
    return out


def plan_of(source: Path) -> parchunk.Plan:
    return parchunk.plan(source, region=4, record_size=2)


def test_a_task_is_small_and_says_what_it_is_of(source: Path, tmp_path: Path) -> None:
    tasks = parchunk.tasks(plan_of(source), tmp_path / "refs", parts=4)
    assert [str(task) for task in tasks] == [
        "crs, v region 0",
        "v regions 1-2",
        "v regions 3-4",
        "w regions 0-4",
    ]
    assert [(task.number, task.of) for task in tasks] == [(n, 4) for n in (1, 2, 3, 4)]
    assert all(len(pickle.dumps(task)) < 2_000 for task in tasks)
    assert not (tmp_path / "refs" / ".zmetadata").exists()


@settings(max_examples=4)
@given(data=st.data())
def test_in_any_order_killed_and_doubled(
    source: Path, wanted: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    check_drawn(source, wanted, folder, random.Random(data.draw(st.integers(0, 1 << 30))))


def check_drawn(source: Path, wanted: Path, folder: Path, dice: random.Random) -> None:
    """Run the tasks of a plan in a drawn order, some twice, some killed, some side by side."""
    plan, out = plan_of(source), folder / "refs"
    tasks = parchunk.tasks(plan, out, parts=dice.randint(1, 6))
    todo = tasks + dice.choices(tasks, k=3)
    dice.shuffle(todo)
    while todo:
        together = [todo.pop() for _ in range(min(dice.randint(1, 3), len(todo)))]
        with ThreadPoolExecutor(len(together)) as pool:
            ends = [pool.submit(run_or_die, task, dice.random()) for task in together]
        todo += [task for task, end in zip(together, ends, strict=True) if not end.result()]
        if dice.random() < 0.3:
            tasks = parchunk.tasks(plan, out)  # somebody begins anew, and has what is left
            todo = [*todo, *tasks]
    result = parchunk.publish(out)
    assert (result.expected, result.missing, result.strays) == (261, 1, 1)
    assert pictured(out) == pictured(wanted)
    assert read_status(open_output(out)).finished
    shutil.rmtree(folder)


def run_or_die(task: parchunk.Task, chance: float) -> bool:
    """Run a task, and say whether it came to its end; a file of it may fail, as by a full disk."""
    dice = random.Random(chance)

    class Dying(LocalOutput):
        def put(self, path: str, data: Any) -> None:
            late = dice.random() < 0.5
            if late:
                super().put(path, data)
            if "claims" not in path and dice.random() < chance / 8:
                raise parchunk.OutputError("the disk is full")
            if not late:
                super().put(path, data)

    try:
        do_task(task, output=Dying(task.out))
    except parchunk.OutputError as error:
        assert "the disk is full" in str(error)  # noqa: PT017
        return False
    return True


def pictured(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".parchunk" not in path.parts
    }


def test_publishing_says_what_is_missing(source: Path, wanted: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs"
    first, *others = parchunk.tasks(plan_of(source), out, parts=4)
    for task in others:
        assert parchunk.run_task(task).built == task.stop - task.start
    with pytest.raises(parchunk.InputError, match=r"2 partitions \(crs; v, region 0\) have no rec"):
        parchunk.publish(out)
    assert not (out / ".zmetadata").exists()
    assert parchunk.run_task(first).built == 2
    again = parchunk.run_task(first)
    assert again.built == 0
    assert len(again.receipts) == 2
    with ThreadPoolExecutor(3) as pool:  # all of them find the last receipt
        results = [end.result() for end in [pool.submit(parchunk.publish, out) for _ in range(3)]]
    assert {result.present for result in results} == {260}
    assert pictured(out) == pictured(wanted)
    assert not (out / ".parchunk" / "claims").exists()


def test_a_plain_build_finishes_what_tasks_began(
    source: Path, wanted: Path, tmp_path: Path
) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    tasks = parchunk.tasks(plan, out, parts=4)
    parchunk.run_task(tasks[2])
    assert parchunk.build(plan, out).built == 11 - 2
    assert pictured(out) == pictured(wanted)
    assert parchunk.tasks(plan, out) == []
    assert parchunk.run_task(tasks[0]).built == 0


def test_an_update_after_tasks(source: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "s.zarr", tmp_path / "refs"
    shutil.copytree(source, path)
    old = parchunk.tasks(plan_of(path), out, parts=2)
    for task in old:
        parchunk.run_task(task)
    parchunk.publish(out)
    for name in ("v", "w"):
        zarr.open_group(path, mode="r+")[name].resize((24, 10 if name == "v" else 3))
    expected = []

    class Late(LocalOutput):
        def put(self, path: str, data: Any) -> None:
            if path.startswith(CLAIMS) and not expected:  # after a first look, before the claim
                expected.append(parchunk.update(out).expected)
            super().put(path, data)

    for output in (Late(old[0].out), None):
        with pytest.raises(parchunk.InputError, match=r"another plan than .* is of"):
            do_task(old[0], output=output)
    assert expected == [261 + 4 * 13]


def test_the_source_changes_before_it_is_published(source: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "s.zarr", tmp_path / "refs"
    shutil.copytree(source, path)
    for task in parchunk.tasks(plan_of(path), out, parts=2):
        parchunk.run_task(task)
    zarr.open_group(path, mode="r+")["v"].resize((24, 10))
    with pytest.raises(parchunk.SourceChangedError, match="nothing was published"):
        parchunk.publish(out)
    with pytest.raises(parchunk.InputError, match="another plan"):
        parchunk.tasks(plan_of(path), out)
    made = parchunk.tasks(plan_of(path), out, overwrite=True)
    assert sum(task.stop - task.start for task in made) == 12


def test_tasks_and_builds_keep_each_other_away(source: Path, tmp_path: Path) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    tasks, output = parchunk.tasks(plan, out, parts=2), open_output(out)
    with claimed(output, "v region 3", 1):
        for function in (parchunk.build, parchunk.tasks):
            with pytest.raises(HeldError, match=r"tasks are at work in it \(v region 3 by process"):
                function(plan, out, overwrite=True)
        with pytest.raises(HeldError, match="tasks are at work"):
            parchunk.build(plan, out)
        with pytest.raises(HeldError, match="tasks are at work"):
            parchunk.update(out)
        assert parchunk.run_task(tasks[0]).built  # tasks do not
    with held(output), pytest.raises(HeldError, match="is being built by another process"):
        parchunk.run_task(tasks[1])
    assert read_claims(output) == []
    dead = replace(Holder.of_this_process(), started="0", expires=time.time() + 60)
    output.put(Claim(dead, "v region 3", 1).path, Claim(dead, "v region 3", 1).encode())
    assert parchunk.build(plan, out).built  # its process is known to be dead


def test_a_task_ends_when_out_becomes_anothers(source: Path, tmp_path: Path) -> None:
    """As of a machine that was stopped until its claim had run out, and then goes on."""
    out = tmp_path / "refs"
    parchunk.tasks(plan_of(source), out, parts=1)
    output = open_output(out)
    claim = claims.Claimed(output, "v region 3", 1, expiry=0.05, renewal=60)
    claim.take()
    time.sleep(0.1)
    claim.check()  # nobody came
    time.sleep(0.1)
    with held(output):
        claim._kept.lasts_until(0.0)
        with pytest.raises(HeldError, match="v region 3: OUT is being built by another process"):
            claim.check()
    claim.release()
    other = claims.Claimed(output, "v region 3", 1, expiry=0.05, renewal=60)
    other.take()
    time.sleep(0.1)
    parchunk.build(parchunk.plan(source, region=5), out, overwrite=True)
    with pytest.raises(HeldError, match="the plan of OUT was replaced"):
        other.check()
    other.release()
    under = claims.Claimed(output, "v region 3", 1, under="a lease that is gone")
    with pytest.raises(HeldError, match="the build that it is a task of has ended"):
        under.take()
    under.release()
    assert read_claims(output) == []


def test_two_that_did_not_write_the_same(source: Path, wanted: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs"
    shutil.copytree(wanted, out)
    plan, output = plan_of(source), open_output(out)
    partition = plan.by_name["v"].partition(2, plan.record_size)
    receipt = read_receipts(output, plan)[partition.key]
    write_receipt_once(output, partition, replace(receipt, requests=99))  # the same, dearer
    assert read_receipts(output, plan)[partition.key] == receipt
    files = (replace(receipt.record_files[0], present=1, digest="00"), *receipt.record_files[1:])
    with pytest.raises(parchunk.OutputError, match=r"v, region 2 was done twice .*00 with 1 here"):
        write_receipt_once(output, partition, replace(receipt, record_files=files))
    assert partition.key not in read_receipts(output, plan)
    path = out / ".parchunk" / "receipts" / "v" / "2.json"
    for useless in (b"{", json.dumps({**receipt.to_json(), "fingerprint": "old"}).encode()):
        path.write_bytes(useless)
        write_receipt_once(output, partition, receipt)
        assert Receipt.from_json(json.loads(path.read_bytes())) == receipt


def test_what_another_has_done_meanwhile_is_left_alone(
    source: Path, wanted: Path, tmp_path: Path
) -> None:
    """Two did it at once, and the source had changed when the second one listed it."""
    path, out = tmp_path / "s.zarr", tmp_path / "refs"
    shutil.copytree(source, path)
    plan = plan_of(path)
    (task,) = parchunk.tasks(plan, out, parts=1)
    listed = threading.Event()

    class Late(LocalOutput):
        def paths(self, below: str = "") -> list[str]:
            found = super().paths(below)
            if below.endswith("receipts"):  # it has seen that nothing is done; now it is
                parchunk.run_task(task)
                (path / "v" / "c" / "5" / "5").unlink(missing_ok=True)
                listed.set()
            return found

    late = do_task(task, output=Late(task.out))
    assert listed.is_set()
    assert late.built == 0
    assert len(late.receipts) == 11
    result = parchunk.publish(out)
    assert result.missing == 1
    assert not [f for f in parchunk.audit(out).findings if f.severity == "damage"]


def test_a_lease_that_is_held_for_a_moment_is_waited_for(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = plan_of(source), tmp_path / "refs"
    parchunk.tasks(plan, out)
    output = open_output(out)
    waited = []
    with held(output, purpose="publish") as lease:

        def pause() -> None:
            waited.append(lease.id)
            lease.release()

        monkeypatch.setattr("parchunk.out.lease.pause", pause)
        with held(output, purpose="plan", wait=200) as second:
            assert [second.id] != waited == [lease.id]
    assert output.get(LEASE) is None
