"""Ctrl-C in Python (a notebook): at once, OUT resumable, nothing left running that could write."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.building import running
from parchunk.out import renewal
from parchunk.out.local import LocalOutput
from parchunk.out.output import LEASE

STORE = zarr_store([("t", (60_000,), (1,), ("time",)), ("u", (60_000,), (1,), ("time",))])

#: Longest wait, in seconds, for what comes by itself.
PATIENCE = 200


def plan_of(server: Server) -> parchunk.Plan:
    kwargs = server.store_kwargs() | {"retry_config": {"max_retries": 0}}
    source = parchunk.Source(S3Store(server.bucket, **kwargs), "", "s3://formula")
    return parchunk.plan(source, region=10_000)


@contextmanager
def ctrl_c_when(condition: Callable[[], object]) -> Iterator[None]:
    """Interrupt this process once the condition holds."""

    def wait() -> None:
        until = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def check_threads_end(*but: str) -> None:
    """Wait until none of a build's threads is left, ``but`` those that may hang."""
    kinds = {
        "group",
        "writer",
        "listing",
        "taker",
        "partition",
        "fetch",
        "lease",
        "release",
    }.difference(but)
    until = time.monotonic() + PATIENCE
    while left := kinds & {t.name.split("_")[0] for t in threading.enumerate()}:
        assert time.monotonic() < until, left
        time.sleep(0.02)


def check_resumable(out: Path) -> None:
    assert not (out / ".zmetadata").exists()
    assert not (out / LEASE).exists()
    with serve(STORE, process=False) as server:
        assert parchunk.build(plan_of(server), str(out)).present == 120_000
    check_threads_end()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what writes and gives back end by itself, however slow this machine is."""
    monkeypatch.setattr(running, "GRACE", PATIENCE)
    monkeypatch.setattr(renewal, "_RELEASE", PATIENCE)


@pytest.mark.usefixtures("patient")
def test_while_listings_hang(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stall = Fault("stall", first=5, times=None)
    with serve(STORE, faults=[stall], process=False) as server:
        plan = plan_of(server)
        with (
            ctrl_c_when(lambda: server.counts()["faults"]),
            pytest.raises(KeyboardInterrupt),
        ):
            parchunk.build(plan, str(out), concurrency=2)
        check_threads_end("listing")
    check_threads_end()  # the server is gone, and with it what hung
    check_resumable(out)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_while_worker_processes_list(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serve(STORE, latency=0.1, page=50, process=False) as server:  # a minute of listings
        with (
            ctrl_c_when(lambda: server.counts()["LIST"] > 2),
            pytest.raises(KeyboardInterrupt),
        ):
            parchunk.build(plan_of(server), str(out), concurrency=2, workers=2)
        assert not multiprocessing.active_children()
    check_resumable(out)


def test_while_a_write_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then OUT is nobody else's until the lease has expired: the write may still come."""
    out = tmp_path / "out"
    hangs, over = threading.Event(), threading.Event()
    put = LocalOutput.put

    def hanging_put(self: LocalOutput, path: str, data: Any) -> None:
        if "refs." in path:
            hangs.set()
            over.wait(PATIENCE)
        put(self, path, data)

    monkeypatch.setattr(LocalOutput, "put", hanging_put)
    with serve(STORE, process=False) as server:
        plan = plan_of(server)
        with ctrl_c_when(hangs.is_set), pytest.raises(KeyboardInterrupt):
            parchunk.build(plan, str(out))
        assert (out / LEASE).exists()
        with pytest.raises(parchunk.OutputError, match="is being built"):
            parchunk.build(plan, str(out))
    over.set()
    check_threads_end()
    for receipt in out.glob(".parchunk/receipts/*/*"):  # of what was written after all
        assert list((out / receipt.parent.name).glob("refs.*"))
    (out / LEASE).unlink()  # as when it has expired
    check_resumable(out)
