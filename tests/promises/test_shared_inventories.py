"""Tasks and parts of a build know what there is from an inventory, each on its own machine."""

from __future__ import annotations

import gc
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
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


def test_tasks_read_it_where_they_run(
    planned: Any, wanted: dict[str, bytes], store: Path, tmp_path: Path, published: Published
) -> None:
    out = tmp_path / "refs"
    sent = [pickle.dumps(task) for task in parchunk.tasks(planned(), out, parts=3)]
    gc.collect()  # what planning had sorted
    assert len(sent) == 3
    assert max(map(len, sent)) < 2_000
    done = [parchunk.run_task(pickle.loads(task)) for task in reversed(sent)]
    assert sum(result.built for result in done) == 10
    assert sum(result.requests for result in done) == 0
    result = parchunk.publish(out)
    assert result.plan.inventory is not None
    assert {receipt.inventory for receipt in result.receipts} == {result.plan.inventory.taken}
    assert published(out) == wanted

    # A process that lives on comes upon another inventory of that name.
    taken(store, tmp_path / "inventory")
    for task in parchunk.tasks(planned(), tmp_path / "later"):
        parchunk.run_task(task)
    assert parchunk.publish(tmp_path / "later").missing == result.missing + 1

    again = tmp_path / "again"
    (task, *_) = parchunk.tasks(planned(), again, parts=1)
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
    build += ["--region", "4", "--json", "--inventory"]
    given = str(inventory)
    assert run([*build, given, "--part", "2/2"]) == 0
    assert run([*build, str(taken(store, tmp_path / "newer")), "--part", "1/2"]) == 2
    assert "inventory" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert run([*build, given, "--part", "1/2"]) == 0
    assert published(tmp_path / "refs") == wanted


def test_rows_that_are_in_no_file_are_refused(store: Path, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "key": [key.relative_to(store).as_posix() for key in store.rglob("*") if key.is_file()],
            "size": [key.stat().st_size for key in store.rglob("*") if key.is_file()],
        }
    )
    opened = parchunk.Source.open(str(store))
    source = parchunk.Source(opened.store, opened.prefix, opened.url, objects=rows)
    with pytest.raises(parchunk.InputError, match="write them to a Parquet file that all tasks"):
        parchunk.tasks(parchunk.plan(source), tmp_path / "refs")
    assert not (tmp_path / "refs").exists()
