"""``status --watch``: receipts and claims in OUT say how far tasks are, from any machine."""

import contextlib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr

import parchunk
from parchunk.cli import watching
from parchunk.cli.main import run
from parchunk.out.advance import Observer
from parchunk.out.claims import Claim, claimed, read_claims
from parchunk.out.holder import Holder
from parchunk.out.lease import held
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import ROOT
from parchunk.showing.pace import Rate


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Return an OUT of four regions, one of which is done."""
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    root.create_array("v", shape=(8, 5), chunks=(1, 1), dtype="u1", dimension_names=["t", "x"])[
        ...
    ] = 7
    plan = parchunk.plan(tmp_path / "s.zarr", region=2)
    first = parchunk.tasks(plan, tmp_path / "refs", parts=4)[0]
    parchunk.run_task(first)
    return tmp_path / "refs"


def test_it_is_watched_until_it_is_published(
    begun: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = open_output(begun)
    ended = replace(Holder.of_this_process("task"), host="elsewhere", expires=time.time() - 1)
    output.put(Claim(ended, "v region 2", 1).path, Claim(ended, "v region 2", 1).encode())

    document, looked = watching._document, threading.Event()

    def noted(*look: Any) -> Any:
        found: Any = document(*look)
        if any(claim["keys_listed"] for claim in found["at_work"]):
            looked.set()
        return found

    monkeypatch.setattr(watching, "_document", noted)

    def finish() -> None:
        with claimed(output, "v region 1", 1) as claim:
            claim.note(0, 12, 1, 0)
            claim._renew()
            looked.wait(200)
        for task in parchunk.tasks(parchunk.plan(tmp_path / "s.zarr", region=2), begun):
            parchunk.run_task(task)
        parchunk.publish(begun)

    thread = threading.Thread(target=finish)
    thread.start()
    assert run(["status", str(begun), "--watch", "--every", "0.1", "--json"]) == 0
    thread.join()
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {look["chunks"] for look in looks} == {40}
    assert [(look["partitions_done"], look["finished"]) for look in looks][-1] == (4, True)
    at_work = [claim for look in looks for claim in look["at_work"]]
    assert {(c["task"], c["keys_listed"]) for c in at_work} >= {("v region 1", 12)}
    assert {claim["host"] for look in looks for claim in look["stale"]} == {"elsewhere"}
    assert looks[-1]["stale"] == []  # publishing forgets them
    assert run(["status", str(begun), "--watch"]) == 0
    assert "4 of 4 partitions, 40 of 40 chunks, published" in capsys.readouterr().out


def test_claims_are_forgotten_before_the_root_is_there(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who watches until it is published sees none that are stale."""
    output = open_output(begun)
    ended = replace(Holder.of_this_process("task"), host="elsewhere", expires=time.time() - 1)
    output.put(Claim(ended, "v region 2", 1).path, Claim(ended, "v region 2", 1).encode())
    for task in parchunk.tasks(parchunk.plan(tmp_path / "s.zarr", region=2), begun):
        parchunk.run_task(task)
    assert read_claims(output)
    put, left = LocalOutput.put, {}

    def watched(self: LocalOutput, path: str, data: bytes) -> None:
        left[path] = read_claims(output)
        put(self, path, data)

    monkeypatch.setattr(LocalOutput, "put", watched)
    parchunk.publish(output)
    assert left[ROOT] == []


def test_who_is_at_work_is_said(begun: Path, capsys: Any) -> None:
    with claimed(open_output(begun), "v region 1", 1):
        assert run(["status", str(begun)]) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert "a build is running: 3 partitions are left" in said
        assert "wait for the tasks that are at work (v region 1 by process" in said
        assert run(["status", str(begun), "--json"]) == 1
        assert "v region 1" in json.loads(capsys.readouterr().out)["tasks_at_work"][0]
    assert run(["status", str(begun)]) == 1
    assert "was cut short" in capsys.readouterr().out


def test_a_task_that_was_taken_up_again_is_not_stale(
    begun: Path, tmp_path: Path, capsys: Any
) -> None:
    output = open_output(begun)
    ended = replace(Holder.of_this_process("task"), host="elsewhere", expires=time.time() - 1)
    killed = [Claim(replace(ended, id=name), name, 1) for name in ("v region 1", "v region 2")]
    for claim in killed:
        output.put(claim.path, claim.encode())
    observer = Observer(output, parchunk.plan(tmp_path / "s.zarr", region=2))
    assert {claim.task for claim in observer.look().stale} == {"v region 1", "v region 2"}
    with claimed(output, "v region 2", 1):
        look = observer.look()
        assert [claim.task for claim in look.claims] == ["v region 2"]
        assert [claim.task for claim in look.stale] == ["v region 1"]
    # One that does what another run had begun forgets that run.
    task = parchunk.tasks(parchunk.plan(tmp_path / "s.zarr", region=2), begun, parts=4)[0]
    run_before = Claim(replace(ended, id="before"), task.name, 1)
    output.put(run_before.path, run_before.encode())
    parchunk.run_task(task)
    assert run_before not in read_claims(output)


def test_the_rate_is_of_the_last_minutes() -> None:
    rate = Rate()
    assert rate.take(0, 100) is None
    assert rate.take(10, 300) == 20
    assert rate.take(400, 300) == 0  # the first look is too long ago
    assert rate.take(410, 700) == pytest.approx(40)
    assert rate.take(420, 0) is None  # an update made all of it due again


def test_how_long_it_takes_is_said_of_what_somebody_does(
    begun: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = open_output(begun)
    tasks = parchunk.tasks(parchunk.plan(tmp_path / "s.zarr", region=2), begun, parts=3)
    looks = iter(
        [
            lambda: None,
            lambda: parchunk.run_task(tasks[0]),
            lambda: stack.enter_context(claimed(output, "v region 2", 1)),
            lambda: [stack.close(), *map(parchunk.run_task, tasks), parchunk.publish(begun)],
        ]
    )
    monkeypatch.setattr(watching.time, "sleep", lambda _: next(looks)())
    with contextlib.ExitStack() as stack:
        assert run(["status", str(begun), "--watch", "--json"]) == 0
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [(look["partitions_done"], bool(look["at_work"]), look["seconds_left"]) for look in seen]
    assert [(done, working, left is not None) for done, working, left in said] == [
        (1, False, False),
        (1, False, False),
        (2, False, False),  # nobody is at work
        (2, True, True),
        (4, False, False),
    ]


def test_what_claims_call_themselves_is_text(begun: Path, tmp_path: Path, capsys: Any) -> None:
    parchunk.build(parchunk.plan(tmp_path / "s.zarr", region=2), begun)
    ended = replace(Holder.of_this_process("task"), host="\x1b[2Jhost", expires=time.time() - 1)
    open_output(begun).put(
        Claim(ended, "v region 2", 1).path, Claim(ended, "v region 2", 1).encode()
    )
    capsys.readouterr()
    assert run(["status", str(begun), "--watch"]) == 0
    said = capsys.readouterr().out
    assert "stale: v region 2 by process" in said
    assert "on \\x1b[2Jhost" in said


@pytest.mark.parametrize("there", ["nothing", "a folder", "what a build has that plans"])
def test_it_may_be_started_before_the_build(
    there: str, begun: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it waits is said once, and it ends with the build."""
    out = tmp_path / "later"
    if there != "nothing":
        out.mkdir()
    looks = iter([lambda: None, lambda: None, lambda: parchunk.build(tmp_path / "s.zarr", out)])
    monkeypatch.setattr(watching.time, "sleep", lambda _: next(looks)())
    with contextlib.ExitStack() as stack:
        if there == "what a build has that plans":
            lease = stack.enter_context(held(open_output(out)))
            looks = iter(
                [lambda: None, lambda: [lease.release(), parchunk.build(tmp_path / "s.zarr", out)]]
            )
        assert run(["status", str(out), "--watch"]) == 0
    waits, *_, last = capsys.readouterr().out.splitlines()
    assert waits[9:] == f"nothing has begun in {out} yet: waiting for a build of it"
    assert last.endswith("published")

    looks = iter([lambda: None, lambda: parchunk.build(tmp_path / "s.zarr", tmp_path / "again")])
    assert run(["status", str(tmp_path / "again"), "--watch", "--json"]) == 0
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["finished"], first["partitions"], first["at_work"]) == (False, 0, [])
    assert first.keys() == last.keys()
    assert last["finished"]
    # What holds something else will hold no build.
    assert run(["status", str(tmp_path / "s.zarr"), "--watch"]) == 2
    assert "holds no parchunk build" in capsys.readouterr().err


def test_how_old_what_tasks_say_may_be_is_said(
    begun: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", stop)
    with claimed(open_output(begun), "v region 1", 1), pytest.raises(KeyboardInterrupt):
        watching.watch(open_output(begun), 1, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "1 task at work (how far each is, it tells every 20 s)" in said
