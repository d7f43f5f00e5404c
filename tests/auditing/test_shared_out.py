"""Audits that processes, executors and a Dask cluster share report what one process reports."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
import time
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from obstore.store import MemoryStore

import parchunk
from parchunk.auditing.progress import AuditProgress
from parchunk.auditing.sharing import Hands
from parchunk.cli.main import run
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan, save_plan

#: What an audit cost, and what is drawn at random: all else is the same.
_COST = {"audited", "seconds", "peak_memory_bytes"}
_LISTING_COST = {"list_requests", "list_requests_least"}


def told(report: Any) -> dict[str, Any]:
    """Return a report's JSON, without what it cost."""
    document = report if isinstance(report, dict) else report.to_json()
    found = {key: value for key, value in document.items() if key not in _COST}
    if "against_source" in found:
        against = found["against_source"]
        found["against_source"] = {k: v for k, v in against.items() if k not in _LISTING_COST}
    return json.loads(json.dumps(found))


@pytest.fixture(scope="module")
def amiss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References with damage, gaps and partitions that are not built, of a source that changed."""
    folder = tmp_path_factory.mktemp("shared")
    path = folder / "s.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape, chunks, shards in (
        ("t", (40, 4), (1, 1), None),
        ("u", (40, 4), (1, 4), None),
        ("s", (40, 4), (1, 1), (4, 4)),
        ("flat", (30,), (1,), None),
        ("crs", (), (), None),
    ):
        names = {"flat": ("x",), "crs": ()}.get(name, ("time", "y"))
        root.create_array(
            name, shape=shape, chunks=chunks, shards=shards, dtype="u1", dimension_names=names
        )[...] = 1 + np.arange(int(np.prod(shape))).reshape(shape) % 200
    for key in ("t/c/3/3", "t/c/20/0", "u/c/7/0", "flat/c/9"):
        (path / key).unlink()
    (path / "t/c/30/1").write_bytes(b"")
    (path / "t/c/5/0.tmp").write_bytes(b"left over")
    out = folder / "refs"
    plan = parchunk.plan(str(path), region=8, record_size=8, inline_threshold=12)
    parchunk.build(plan, str(out))
    # Damage, another file in place of one, and what is not built.
    (out / "t/refs.4.parq").write_bytes(b"PAR1 no file")
    shutil.copy(out / "t/refs.5.parq", out / "t/refs.6.parq")
    (out / "flat/refs.99.parq").write_bytes(b"nobody's")
    (out / ".parchunk/receipts/u/2.json").unlink()
    # What changed in the source since.
    (path / "t/c/39/0").unlink()
    (path / "t/c/3/3").write_bytes((path / "t/c/3/2").read_bytes())
    (path / "flat/c/5").write_bytes(b"longer than it was")
    return out


ASKED: dict[str, Any] = {"against_source": True, "decode": "100%", "expect": "y=0:3"}


@pytest.fixture(scope="module")
def alone(amiss: Path) -> dict[str, Any]:
    report = parchunk.audit(amiss, **ASKED)
    kinds = {found.kind for found in report.findings}
    assert {"unreadable-file", "wrong-digest", "wrong-path", "extra-file", "unfinished"} <= kinds
    assert {"missing-chunks", "new-chunks", "gone-chunks", "changed-chunks"} <= kinds
    assert report.decoded is not None
    assert report.decoded.read > 100
    return told(report)


class Noting(ThreadPoolExecutor):
    """Threads that are given what was pickled, and remember the names of tasks."""

    def __init__(self) -> None:
        super().__init__(3)
        self.names: list[str] = []

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        (task,) = pickle.loads(pickle.dumps(arguments))
        self.names.append(task.part.name)
        return super().submit(call, task, **named)


def test_an_executor_of_the_callers(amiss: Path, alone: dict[str, Any]) -> None:
    seen: list[AuditProgress] = []
    with Noting() as executor:
        report = parchunk.audit(amiss, executor=executor, workers=3, progress=seen.append, **ASKED)
    assert told(report) == alone
    files = [now.files for now in seen]
    assert (files, files[-1], seen[-1].files_total) == (sorted(files), 49, 49)
    objects = [now.objects for now in seen]
    assert objects == sorted(objects)
    assert objects[-1] == seen[-1].objects_total > 200
    assert seen[-1].listed > 200
    assert {
        "audit crs, flat",
        "audit u regions 0-4",
        "compare s regions 2-3",
        "decode t, region 0",
    } <= {*executor.names}


def test_processes_share_the_work(
    amiss: Path, alone: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--against-source", "--decode", "100%", "--expect", "y=0:3", "--workers", "2")
    assert run(["audit", str(amiss), *arguments, "--json"]) == 1
    assert told(json.loads(capsys.readouterr().out)) == alone


class Failing(Executor):
    """The second call fails; the others wait for good."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.calls.append(Future())
        if len(self.calls) == 2:
            self.calls[1].set_exception(self.error)
        return self.calls[-1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            BrokenExecutor("gone"),
            r"audit s region 0: workers that ran it died, .*, and run again\n",
        ),
        (CancelledError(), r"audit s region 0: the executor dropped it .*, and run again\n"),
        (parchunk.OutputError("no such disk"), "no such disk"),
    ],
)
def test_what_fails_is_named_before_its_turn(amiss: Path, error: Exception, said: str) -> None:
    executor = Failing(error)
    with pytest.raises(parchunk.ParchunkError, match=said):
        parchunk.audit(amiss, executor=executor, workers=3)
    assert all(call.done() for call in executor.calls)


class Late(ThreadPoolExecutor):
    """Threads that begin when OUT has another plan."""

    def __init__(self, out: Path) -> None:
        super().__init__(1)
        self.out = open_output(out)

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        plan = load_plan(self.out)
        save_plan(parchunk.plan(plan.location.url, region=8, record_size=4), self.out)
        return super().submit(*arguments, **named)


def test_tasks_of_another_plan_are_refused(amiss: Path, tmp_path: Path) -> None:
    shutil.copytree(amiss, tmp_path / "refs")
    with (
        Late(tmp_path / "refs") as executor,
        pytest.raises(parchunk.InputError, match=r"another plan than audit crs.*; audit again\n"),
    ):
        parchunk.audit(tmp_path / "refs", executor=executor)


def test_what_cannot_be_shared_out_is_refused(
    amiss: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = amiss.with_name("s.zarr")
    with pytest.raises(parchunk.InputError, match="--workers must be 1"):
        parchunk.audit(amiss, workers=0)
    store = MemoryStore()
    for file in source.rglob("*"):
        if file.is_file():
            store.put(file.relative_to(source).as_posix(), file.read_bytes())
    held = parchunk.Source(store, "", str(source))
    with pytest.raises(parchunk.InputError, match=r"in memory .*: use --workers 1"):
        parchunk.audit(amiss, against_source=True, source=held, workers=2)
    assert run(["audit", str(source), "--dask", "tcp://127.0.0.1:1"]) == 2
    assert "run parchunk build SRC OUT --dask ADDRESS, then audit OUT" in capsys.readouterr().err
    assert run(["audit", str(source), "--native", "--dask", "tcp://127.0.0.1:1"]) == 2
    assert "leave out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "asked"), [("against_source", {"against_source": True}), ("decoding", {"decode": 40})]
)
def test_more_workers_than_listings_list_no_more_at_once(
    amiss: Path, monkeypatch: pytest.MonkeyPatch, part: str, asked: dict[str, Any]
) -> None:
    name = {"against_source": "compare_part", "decoding": "decode_part"}[part]
    module = import_module(f"parchunk.auditing.{part}")
    does, under_way, most, lock = getattr(module, name), [0], [0], threading.Lock()

    def watched(task: Any) -> Any:
        with lock:
            under_way[0] += 1
            most.append(under_way[0])
        try:
            time.sleep(0.01)
            assert getattr(task, "allowed", task).concurrency == 1
            return does(task)
        finally:
            with lock:
                under_way[0] -= 1

    monkeypatch.setattr(module, name, watched)
    with ThreadPoolExecutor(4) as pool:
        hands = nullcontext(Hands(pool, 8, 4, 4))
        monkeypatch.setattr("parchunk.auditing.run.opened_hands", lambda *_: hands)
        parchunk.audit(amiss, workers=4, concurrency=2, **asked)
    assert len(most) > 3
    assert max(most) <= 2
