"""A Dask cluster without workers is waited for, and that is said; one that is gone is an error."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zarr

import parchunk
from parchunk.cli.dask import dask_client
from parchunk.workers import attendance
from parchunk.workers.executors import submit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Published = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References of four regions, and the store that they are of beside them."""
    folder = tmp_path_factory.mktemp("small")
    group = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=3)
    group.create_array("v", shape=(8, 2), chunks=(1, 1), dtype="u1", dimension_names=["t", "x"])[
        ...
    ] = 7
    build(folder, folder)
    return folder


@contextmanager
def clustered() -> Iterator[Any]:
    """A cluster that has no workers yet; those of its own are threads of this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say at once what is waited for; for an answer wait as long as a busy machine takes."""
    monkeypatch.setattr(attendance, "PATIENCE", 0)
    monkeypatch.setattr(attendance, "_ANSWER", 200)
    for name in ("_LOOK", "_LONGEST"):
        monkeypatch.setattr(attendance, name, 0.05)


def build(small: Path, folder: Path, **options: Any) -> None:
    parchunk.build(parchunk.plan(small / "s.zarr", region=2), folder / "refs", **options)


def audit(small: Path, _: Path, **options: Any) -> None:
    report = parchunk.audit(small / "refs", against_source=True, **options)
    assert report.findings == ()


def to_icechunk(small: Path, folder: Path, **options: Any) -> None:
    pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    assert parchunk.to_icechunk(small / "refs", folder / "repo", **options).finished


class Said:
    """What a progress said that was waited for, each once; ``then`` is done when it is said."""

    def __init__(self, then: Callable[[str], object]) -> None:
        self.lines = [""]
        self._then = then

    def __call__(self, now: Any) -> None:
        if now.waiting != self.lines[-1]:
            self.lines.append(now.waiting)
            if now.waiting:
                self._then(now.waiting)


@pytest.mark.parametrize("do", [build, audit, to_icechunk])
def test_a_cluster_that_has_no_workers_yet(
    do: Callable[..., None], small: Path, cluster: Any, tmp_path: Path, published: Published
) -> None:
    """They come only once it was said that there are none."""
    said = Said(lambda _: cluster.scale(1))
    with dask_client(cluster.scheduler_address) as client:
        do(small, tmp_path, executor=client, progress=said)
        client.retire_workers(list(client.nthreads()))
    cluster.scale(0)
    if do is build:
        assert published(tmp_path / "refs") == published(small / "refs")
    before, waiting, after = said.lines
    assert (before, after) == ("", "")
    assert re.match(r"no worker has been there for \d+ s: waiting for some; start them", waiting)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("paused", r"all workers have been paused for \d+ s, .* memory .* or start others \(dask"),
        ("closing_gracefully", r"all workers that are there have been closing for \d+ s, .* start"),
    ],
)
def test_workers_that_are_there_and_take_nothing(
    status: str, words: str, small: Path, tmp_path: Path, published: Published
) -> None:
    """Dask pauses the only one for lack of memory, or it is to leave; others come when told."""
    distributed = pytest.importorskip("distributed")
    import dask

    pausing = {"distributed.worker.memory.pause": 1e-9 if status == "paused" else False}
    with clustered() as cluster, dask_client(cluster.scheduler_address) as client:
        with dask.config.set(pausing):
            cluster.scale(1)
            client.wait_for_workers(1)

        async def until_known() -> None:
            (worker,) = cluster.workers.values()
            if status != "paused":
                worker.status = distributed.Status[status]
            while (known := next(iter(cluster.scheduler.workers.values()))).status.name != status:
                assert known.status.name == "running"
                await asyncio.sleep(0.01)

        client.sync(until_known)
        said = Said(lambda _: cluster.scale(2))
        build(small, tmp_path, executor=client, progress=said)
    assert published(tmp_path / "refs") == published(small / "refs")
    before, waiting, after = said.lines
    assert (before, after) == ("", "")
    assert re.match(words, waiting)


def test_workers_that_are_gone_in_the_middle(
    small: Path, cluster: Any, tmp_path: Path, published: Published
) -> None:
    """The only one is killed with all tasks; the next comes by the command that is said then."""
    dask, fifo = Path(sys.executable).with_name("dask"), tmp_path / "fifo"
    alone = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
    os.mkfifo(fifo)
    with ExitStack() as stack:

        def start(command: str) -> subprocess.Popen[bytes]:
            words = shlex.split(command)
            assert words[0] == "dask"
            done = subprocess.Popen([dask, *words[1:], *alone], stderr=subprocess.DEVNULL)
            stack.callback(done.wait)
            stack.callback(done.kill)
            return done

        def start_as_said(waiting: str) -> None:
            start(waiting.partition("start them (")[2].partition(")")[0])

        said = Said(start_as_said)
        client = stack.enter_context(dask_client(cluster.scheduler_address))
        first = start(f"dask worker {cluster.scheduler_address}")
        client.wait_for_workers(1)
        occupied = client.submit(Path.read_text, fifo, pure=False)  # and does nothing else
        with fifo.open("w"):  # opens as soon as it is read

            def progress(now: parchunk.Progress) -> None:
                if first.poll() is None:
                    occupied.cancel()
                    first.kill()
                    first.wait()
                said(now)

            build(small, tmp_path, executor=client, progress=progress)
    assert published(tmp_path / "refs") == published(small / "refs")
    assert [bool(line) for line in said.lines] == [False, True, False]


_SCHEDULER = """
import asyncio, distributed
async def schedule():
    async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(schedule())
"""


def test_a_scheduler_that_hangs_and_is_killed(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(attendance, "_ANSWER", 0.5)
    scheduler = subprocess.Popen(
        [sys.executable, "-c", _SCHEDULER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert scheduler.stdout is not None
    said: list[str] = []

    def progress(now: parchunk.Progress) -> None:
        if not said:
            scheduler.send_signal(signal.SIGSTOP)
        said.append(now.waiting)
        if "has not answered" in now.waiting:
            scheduler.send_signal(signal.SIGCONT)
        elif "no worker" in now.waiting and any("has not answered" in line for line in said):
            scheduler.kill()

    with scheduler, ExitStack() as stack:
        stack.callback(scheduler.kill)
        address = scheduler.stdout.readline().decode().strip()
        with dask_client(address) as client:
            executor = client.get_executor(pure=False)
            with pytest.raises(parchunk.SourceError, match=r"v .*: the executor dropped it .* see"):
                build(small, tmp_path, executor=client, progress=progress)
    assert f"the Dask scheduler at {address} has not answered for " in "".join(said)
    with pytest.raises(parchunk.SourceError, match=r"v region 1: .* alive, and run again to resum"):
        submit(executor, "v region 1", print)
    assert capfd.readouterr().err == ""  # no pages of Dask's
    build(small, tmp_path)  # "run again to resume"
    assert (tmp_path / "refs" / ".zmetadata").exists()
