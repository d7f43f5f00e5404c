"""Any executor writes the same bytes."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from tests.made import write_three_arrays

import parchunk
from parchunk.building.effort import Effort
from parchunk.building.pools import Here

Published = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("executors") / "s.zarr"
    write_three_arrays(path)
    return str(path)


def plan_of(source: str) -> parchunk.Plan:
    return parchunk.plan(source, region=4, record_size=2)


@pytest.fixture
def wanted(source: str, tmp_path: Path, published: Published) -> dict[str, bytes]:
    parchunk.build(plan_of(source), str(tmp_path / "threads"))
    return published(tmp_path / "threads")


@pytest.mark.parametrize("options", [{"workers": 2}, {"concurrency": 1}, {"concurrency": 40}])
def test_own_workers(
    source: str,
    tmp_path: Path,
    published: Published,
    wanted: dict[str, bytes],
    options: dict[str, Any],
) -> None:
    result = parchunk.build(plan_of(source), str(tmp_path / "refs"), **options)
    assert published(tmp_path / "refs") == wanted
    assert (result.expected, result.missing) == (261, 1)
    assert result.built == len(result.receipts) == 11


def test_executors_of_the_standard_library(
    source: str, tmp_path: Path, published: Published, wanted: dict[str, bytes]
) -> None:
    spawn = multiprocessing.get_context("spawn")
    for at, made in enumerate((ThreadPoolExecutor(3), ProcessPoolExecutor(1, mp_context=spawn))):
        with made as executor:
            result = parchunk.build(plan_of(source), str(tmp_path / f"e{at}"), executor=executor)
        assert published(tmp_path / f"e{at}") == wanted
        assert result.built == len(result.receipts) == 11


def test_a_failure_leaves_nothing_queued_in_the_callers_executor(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(ThreadPoolExecutor):
        submitted: list[Future[Any]] = []  # noqa: RUF012

        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if not self.submitted:
                future.set_exception(parchunk.SourceError("the first one fails"))
            self.submitted.append(future)
            return future

    with Failing(1) as executor:
        with pytest.raises(parchunk.SourceError, match="the first one fails"):
            parchunk.build(plan_of(source), str(tmp_path / "refs"), executor=executor, workers=3)
        assert len(executor.submitted) > 1
        assert all(future.done() for future in executor.submitted)
    assert not (tmp_path / "refs" / ".zmetadata").exists()


def test_a_memory_store_stays_in_its_process(source: str, tmp_path: Path) -> None:
    store = MemoryStore()
    for file in Path(source).rglob("*"):
        if file.is_file():
            store.put(file.relative_to(source).as_posix(), file.read_bytes())
    plan = parchunk.plan(parchunk.Source(store, "", source), region=4, record_size=2)
    with pytest.raises(parchunk.InputError, match="memory"):
        parchunk.build(plan, str(tmp_path / "refs"), workers=2)
    assert not (tmp_path / "refs").exists()


def test_no_more_workers_list_than_listings_may_be_side_by_side(
    source: str, tmp_path: Path, published: Published, wanted: dict[str, bytes]
) -> None:
    """Each lists, so that 16 workers were 16 listings where 8 were asked for."""
    result = parchunk.build(plan_of(source), tmp_path / "refs", workers=5, concurrency=1)
    said = "1 of 5 workers were at work, as each lists and --concurrency allows 1 listing"
    assert [note for note in result.notes if said in note]
    assert not [n for n in parchunk.build(plan_of(source), tmp_path / "refs").notes if said in n]
    assert published(tmp_path / "refs") == wanted
    for workers, concurrency, executor in ((3, 8, None), (8, 3, None), (8, 3, Here())):
        effort = Effort(workers=workers, concurrency=concurrency, executor=executor)
        assert effort.processes == (3 if executor is None else 1)
        assert effort.processes * effort.listings <= concurrency
