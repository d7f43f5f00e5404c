"""Worker processes that die, or cannot be started."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.context import SpawnProcess

import pytest

from parchunk.errors import SourceError
from parchunk.workers.processes import worker_processes

DIED = r"^a worker process died, .* run again to resume$"


def test_a_worker_that_dies_is_one_line() -> None:
    before = multiprocessing.active_children()
    with pytest.raises(SourceError, match=DIED), worker_processes(1) as pool:
        pool.submit(os._exit, 1).result()
    assert multiprocessing.active_children() == before


def start(process: SpawnProcess) -> None:
    raise OSError("handle is closed")


def work_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_processes(2) as pool:
        assert pool.submit(time.time).result()
        monkeypatch.setattr(SpawnProcess, "start", start)
        for _ in range(3):  # one is idle and takes the first; it ends when it is made to
            pool.submit(time.sleep, 600)


def test_so_is_one_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another died at this moment, or the system has no room for one."""
    before = multiprocessing.active_children()
    with pytest.raises(SourceError, match=DIED):
        work_on(monkeypatch)
    assert multiprocessing.active_children() == before
