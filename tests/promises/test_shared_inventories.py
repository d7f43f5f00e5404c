"""Tasks and parts of a build know what there is from an inventory, each on its own machine."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zarr
from instruments.http_server import HttpServer, served
from instruments.inventories import FORMATS, objects_in

import parchunk
from parchunk.cli.main import run
from parchunk.inventories.pieces import pieces_of
from parchunk.inventories.reading import read_inventory
from parchunk.out.kept_rows import kept_rows
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import INVENTORY

Published = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = zarr.open_group(tmp_path / "www/s.zarr", mode="w", zarr_format=3)
    for name in ("t", "u"):
        array = root.create_array(
            name, shape=(20, 3), chunks=(1, 1), dtype="i4", dimension_names=("time", "x")
        )
        array[:18] = np.arange(1, 55).reshape(18, 3)
    return tmp_path / "www/s.zarr"


@pytest.fixture
def server(store: Path) -> Iterator[HttpServer]:
    with served(store.parent) as running:
        yield running


def taken(store: Path, folder: Path) -> Path:
    """Return an inventory of what a store holds now, in a folder."""
    folder.mkdir(exist_ok=True)
    return FORMATS["CSV"](folder, objects_in(store, "s.zarr/"), "bucket")


@pytest.fixture
def inventory(store: Path, tmp_path: Path) -> Path:
    found = taken(store, tmp_path / "inventory")
    (store / "t/c/7/1").unlink()  # since then
    return found


@pytest.fixture
def planned(server: HttpServer, inventory: Path) -> Callable[[], parchunk.Plan]:
    """Plan a store that cannot be listed: only an inventory tells what is there."""
    return lambda: parchunk.plan(
        f"{server.url}/s.zarr", split="time", region=4, inventory=inventory
    )


@pytest.fixture
def wanted(
    planned: Callable[[], parchunk.Plan], tmp_path: Path, published: Published
) -> dict[str, bytes]:
    parchunk.build(planned(), tmp_path / "wanted")
    return published(tmp_path / "wanted")


def test_tasks_look_into_the_rows_that_one_has_sorted(
    planned: Any,
    inventory: Path,
    wanted: dict[str, bytes],
    tmp_path: Path,
    published: Published,
) -> None:
    out = tmp_path / "refs"
    sent = [pickle.dumps(task) for task in parchunk.tasks(planned(), out, parts=3)]
    gc.collect()  # what planning had sorted
    assert len(sent) == 3
    assert max(map(len, sent)) < 2_000
    inventory.rename(inventory.with_name("elsewhere"))  # one has read it, for all
    done = [parchunk.run_task(pickle.loads(task)) for task in reversed(sent)]
    assert sum(result.built for result in done) == 10
    assert sum(result.requests for result in done) == 0
    result = parchunk.publish(out)
    assert result.plan.inventory is not None
    assert {receipt.inventory for receipt in result.receipts} == {result.plan.inventory.taken}
    assert published(out) == wanted
    assert not (out / INVENTORY).exists()


def test_tasks_read_it_where_they_run(
    planned: Any, wanted: dict[str, bytes], store: Path, tmp_path: Path, published: Published
) -> None:
    """As where whoever made them was cut short before the rows were kept."""
    out = tmp_path / "refs"
    for task in parchunk.tasks(planned(), out, parts=2):
        shutil.rmtree(out / INVENTORY, ignore_errors=True)
        parchunk.run_task(pickle.loads(pickle.dumps(task)))
    result = parchunk.publish(out)
    assert published(out) == wanted

    # A process that lives on comes upon another inventory of that name.
    taken(store, tmp_path / "inventory")
    for task in parchunk.tasks(planned(), tmp_path / "later"):
        shutil.rmtree(tmp_path / "later" / INVENTORY)
        parchunk.run_task(task)
    assert parchunk.publish(tmp_path / "later").missing == result.missing + 1

    again = tmp_path / "again"
    (task, *_) = parchunk.tasks(planned(), again, parts=1)
    shutil.rmtree(again / INVENTORY)
    gc.collect()
    (moved := tmp_path / "moved").mkdir()
    (store / "t/c/8/1").unlink()
    newer = taken(store, moved)
    task = replace(task, inventory=replace(task.inventory, files=(str(newer),)))
    with pytest.raises(
        parchunk.InputError, match=r"this plan is of the inventory of .* not at han"
    ):
        parchunk.run_task(task)


class Elsewhere(ThreadPoolExecutor):
    """Threads that have not got the file that the planner sorted, as on another machine."""

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        sent = pickle.loads(pickle.dumps(arguments))
        return super().submit(call, *map(self._away, sent), **named)

    def _away(self, sent: Any) -> Any:
        if isinstance(sent, parchunk.Source):
            return replace(sent, objects=replace(sent.objects, file="/nowhere/sorted.parquet"))
        if hasattr(sent, "allowed"):
            return replace(sent, source=self._away(sent.source))
        return sent


def test_an_executor_of_other_machines(
    planned: Any,
    store: Path,
    inventory: Path,
    wanted: dict[str, bytes],
    tmp_path: Path,
    published: Published,
) -> None:
    out, plan = tmp_path / "refs", planned()
    with Elsewhere(2) as executor:
        parchunk.build(plan, out, executor=executor, workers=3)
        assert published(out) == wanted
        report = parchunk.audit(
            out, against_source=True, inventory=str(inventory), executor=executor, workers=3
        )
        assert (report.missing, report.counts["change"]) == (12, 0)
        newer = taken(store, tmp_path / "newer")
        found = parchunk.update(out, inventory=str(newer), executor=executor, workers=3)
    assert (found.missing, found.plan.inventory.objects) == (12, plan.inventory.objects - 1)
    assert not (out / INVENTORY).exists()


def test_parts_have_the_same_inventory_or_are_refused(
    inventory: Path,
    wanted: dict[str, bytes],
    server: HttpServer,
    store: Path,
    tmp_path: Path,
    published: Published,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build = ["build", f"{server.url}/s.zarr", str(tmp_path / "refs"), "--split", "time"]
    build += ["--region", "4", "--json", "--store-option", "timeout=30s", "--inventory"]
    given = str(inventory)
    assert run([*build, given, "--part", "2/2"]) == 0
    assert run([*build, str(taken(store, tmp_path / "newer")), "--part", "1/2"]) == 2
    assert "inventory" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    # Where one has sorted it nobody reads it again, as its file has the size and time that it had.
    stat = inventory.stat()
    inventory.write_bytes(b"x" * stat.st_size)
    assert run([*build, given, "--part", "1/2"]) == 2
    os.utime(inventory, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run([*build, given, "--part", "1/2"]) == 0
    assert published(tmp_path / "refs") == wanted
    assert not (tmp_path / "refs" / INVENTORY).exists()


def test_of_parts_that_begin_at_once_one_reads_it(
    inventory: Path,
    wanted: dict[str, bytes],
    server: HttpServer,
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, start, read = tmp_path / "refs", threading.Barrier(3), []

    def counted(*given: Any) -> Any:
        read.append(1)
        return read_inventory(*given)

    monkeypatch.setattr("parchunk.planning.inventory.read_inventory", counted)
    build = ["build", f"{server.url}/s.zarr", str(out), "--split", "time", "--region", "4"]
    build += ["--json", "--store-option", "timeout=30s", "--inventory", str(inventory)]

    def part(number: int) -> int:
        start.wait()
        return run([*build, "--part", f"{number}/3"])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(part, (1, 2, 3))) == [0, 0, 0]
    assert len(read) == 1
    assert published(out) == wanted
    assert not (out / INVENTORY).exists()
    capsys.readouterr()


def test_a_part_that_is_refused_writes_nothing(
    store: Path, inventory: Path, tmp_path: Path
) -> None:
    part = ["--inventory", str(inventory), "--part", "1/2"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    for out in (store / "refs", tmp_path / "mine"):
        before = sorted(tmp_path.rglob("*"))
        assert run(["build", str(store), str(out), *part]) == 2
        assert sorted(tmp_path.rglob("*")) == before
    inventory.write_text("key,size\nx")
    assert run(["build", str(store), str(tmp_path / "refs"), *part]) == 2
    assert open_output(str(tmp_path / "refs")).is_empty()


def test_tasks_fetch_no_piece_without_a_key_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1,200 steps of ten chunks, in thirteen pieces; each region has 100 steps."""
    store, out = tmp_path / "s.zarr", tmp_path / "refs"
    shape = {"shape": (1200, 10), "chunks": (1, 1), "dimension_names": ("time", "x")}
    zarr.open_group(store, mode="w").create_array("t", dtype="u1", **shape)
    keys = sorted(f"t/c/{step}/{x}" for step in range(1200) for x in range(10))
    rows = pa.table({"key": ["zarr.json", "t/zarr.json", *keys], "size": [1] * 12_002})
    opened = parchunk.Source.open(str(store))
    source = parchunk.Source(opened.store, opened.prefix, opened.url, objects=rows)
    cut = partial(pieces_of, groups=1, group=1_000)
    monkeypatch.setattr("parchunk.out.kept_rows.pieces_of", cut)
    plan = parchunk.plan(source, split="time", region=100)
    tasks = parchunk.tasks(plan, out, parts=12)
    index = json.loads((out / INVENTORY / "index.json").read_bytes())
    firsts = [piece["first"].rpartition("s.zarr/")[2] for piece in index["pieces"]]
    names = [f"{INVENTORY}/rows-{piece['digest']}.parquet" for piece in index["pieces"]]
    place = {key: bisect_right(firsts, key) - 1 for key in keys}

    got: list[str] = []
    get = LocalOutput.get
    monkeypatch.setattr(LocalOutput, "get", lambda self, path: got.append(path) or get(self, path))
    counts = []
    for task in (tasks[0], tasks[1], tasks[7]):
        got.clear()
        parchunk.run_task(pickle.loads(pickle.dumps(task)))
        fetched = [names.index(path) for path in got if path in names]
        steps = range(100 * task.start, 100 * task.stop)
        needed = {place[f"t/c/{step}/{x}"] for step in steps for x in range(10)}
        assert sorted(fetched) == sorted(needed)
        counts.append(len(fetched))
    assert counts == [12, 4, 2]


def test_rows_that_are_in_no_file(store: Path, tmp_path: Path, published: Published) -> None:
    rows = pa.table(
        {
            "key": [key.relative_to(store).as_posix() for key in store.rglob("*") if key.is_file()],
            "size": [key.stat().st_size for key in store.rglob("*") if key.is_file()],
        }
    )
    opened = parchunk.Source.open(str(store))
    rows = rows.append_column("etag", pa.array(rows["key"]))  # which the plan has no use for
    source = parchunk.Source(opened.store, opened.prefix, opened.url, objects=rows, identity="etag")
    plan = parchunk.plan(source, split="time", region=4)
    parchunk.build(plan, tmp_path / "wanted")
    tasks = [pickle.dumps(task) for task in parchunk.tasks(plan, tmp_path / "refs", parts=2)]
    for task in tasks:
        parchunk.run_task(pickle.loads(task))
    parchunk.publish(tmp_path / "refs")
    assert published(tmp_path / "refs") == published(tmp_path / "wanted")
    # The rows are gone, and nothing is to be looked for in them.
    assert [parchunk.run_task(pickle.loads(task)).built for task in tasks] == [0, 0]

    (task, *_) = parchunk.tasks(plan, tmp_path / "lost", parts=1)
    shutil.rmtree(tmp_path / "lost" / INVENTORY)
    with pytest.raises(parchunk.InputError, match="not at hand: plan again"):
        parchunk.run_task(task)


def test_rows_that_are_damaged_gone_or_of_another_place(planned: Any, tmp_path: Path) -> None:
    out, plan = tmp_path / "refs", planned()
    (task, *_) = parchunk.tasks(plan, out, parts=1)
    output, source = open_output(str(out)), parchunk.Source.open(plan.location.url)
    assert kept_rows(plan, replace(source, prefix="deeper"), output) is None
    assert kept_rows(replace(plan, identity="time"), source, output) is None
    found = kept_rows(plan, source, output)
    assert found is not None
    (rows,) = (out / INVENTORY).glob("*.parquet")
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.raises(parchunk.OutputError, match=r"is damaged: delete .*/inventory, and run"):
        parchunk.run_task(task)
    rows.unlink()
    with pytest.raises(parchunk.OutputError, match=r"is lost: delete .*/inventory, and run"):
        parchunk.run_task(task)
    index = json.loads((out / INVENTORY / "index.json").read_bytes())
    (out / INVENTORY / "index.json").unlink()
    with pytest.raises(parchunk.InputError, match="not there any more: the build was finished"):
        found.holds("t/c/0/0")
    for damaged in ("{", json.dumps({**index, "pieces": [{**index["pieces"][0], "digest": 1}]})):
        (out / INVENTORY / "index.json").write_text(damaged)
        assert kept_rows(plan, source, output) is None
    assert parchunk.run_task(task).built == 10


def test_an_update_that_is_refused_leaves_rows_to_tasks(
    store: Path, inventory: Path, tmp_path: Path
) -> None:
    out = tmp_path / "refs"
    plan = parchunk.plan(store, split="time", region=4, inventory=inventory)
    (sent,) = [pickle.dumps(task) for task in parchunk.tasks(plan, out, parts=1)]
    del plan
    gc.collect()
    inventory.unlink()
    with pytest.raises(parchunk.InputError, match="99"):
        parchunk.update(out, regions=[99])
    assert parchunk.run_task(pickle.loads(sent)).built == 10
    parchunk.publish(out)
    # As where that was cut short before they were deleted.
    (out / INVENTORY).mkdir()
    (out / INVENTORY / "rows-0.parquet").touch()
    parchunk.update(out)
    assert not (out / INVENTORY).exists()


def test_a_task_that_another_finished_meanwhile(
    planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "refs"
    (task, *_) = parchunk.tasks(planned(), out, parts=1)

    def meanwhile(*_: object) -> None:
        monkeypatch.undo()
        assert parchunk.run_task(task).built == 10
        parchunk.publish(out)  # which deletes the rows

    monkeypatch.setattr("parchunk.building.tasks.require_few", meanwhile)
    result = parchunk.run_task(task)
    assert (result.built, len(result.receipts)) == (0, 10)
