"""SIGINT and SIGTERM end a build within seconds, in one line, and it resumes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.out.output import LEASE

STORE = zarr_store([("t", (12_000,), (1,), ("time",)), ("u", (12_000,), (1,), ("time",))])
#: Keys a page: so few that a build by four listings takes minutes, and is in the middle of it
#: whenever a busy machine comes to interrupt it.
PAGE = 10
#: Longest wait, in seconds, for what comes by itself.
PATIENCE = 200
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(parchunk.__file__).parents[1])}


#: The command, which is given as long to end in order as a busy machine takes: nothing hangs.
PATIENT = f"""
import parchunk.building.running, parchunk.cli.interrupts, parchunk.out.renewal
parchunk.building.running.GRACE = parchunk.cli.interrupts.GRACE = {PATIENCE}
parchunk.out.renewal._RELEASE = {PATIENCE}
from parchunk.__main__ import main
main()
"""


def start(server: Any, out: Path, *more: str, patient: bool = False) -> subprocess.Popen[str]:
    program = ["-c", PATIENT] if patient else ["-m", "parchunk"]
    return subprocess.Popen(
        [
            *(sys.executable, *program, "build", f"s3://{server.bucket}", str(out)),
            *("--store-option", f"endpoint={server.endpoint}", "--region", "2000"),
            *("--store-option", "region=us-east-1", "--store-option", "skip_signature=true"),
            # What a server holds back never ends by itself: only who is interrupted leaves it.
            *("--store-option", "timeout=1h"),
            "--no-progress",  # whose log lines come when a busy machine is slow
            *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def wait_until(condition: Any, build: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert build.poll() is None, build.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def check_end(build: subprocess.Popen[str]) -> None:
    said, line = build.communicate(timeout=PATIENCE)
    assert build.returncode == 130
    assert line == "parchunk: interrupted: run the same command again to resume\n"
    assert said == ""


def check_resumes(out: Path) -> None:
    with serve(STORE, process=False) as server:
        options = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
        plan = parchunk.plan(f"s3://{server.bucket}", region=2_000, store_options=options)
        assert parchunk.build(plan, str(out)).present == 24_000
    assert not (out / ".parchunk/tmp").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, "1"), (signal.SIGINT, "2"), (signal.SIGTERM, "2")]
)
def test_in_the_middle(tmp_path: Path, number: int, workers: str) -> None:
    out = tmp_path / "out"
    with serve(STORE, latency=0.2, page=PAGE, process=False) as server:
        build = start(server, out, "--workers", workers, "--concurrency", "2", patient=True)
        wait_until(lambda: server.counts()["LIST"] > 2, build)
        os.killpg(build.pid, number)  # the whole group, as a terminal does
        check_end(build)
        assert server.counts()["LIST"] < 24_000 / PAGE, "they have listed all"
        assert not (out / ".zmetadata").exists()
        assert not (out / LEASE).exists()
    check_resumes(out)


# GET is the metadata's, read before there are workers.
@pytest.mark.slow
@pytest.mark.parametrize(("on", "workers"), [("GET", "1"), ("LIST", "1"), ("LIST", "2")])
def test_with_a_server_that_stalls(tmp_path: Path, on: Any, workers: str) -> None:
    out = tmp_path / "out"
    with serve(STORE, faults=[Fault("stall", first=0, times=None, on=on)], process=False) as server:
        build = start(server, out, "--workers", workers)
        wait_until(lambda: server.counts()["faults"], build)
        time.sleep(0.3)
        build.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        build.send_signal(signal.SIGINT)  # an impatient user changes nothing
        check_end(build)
    check_resumes(out)


#: The end in order comes as the process is being ended, which takes a moment.
BOTH_ENDS = """
import os, signal, threading, time
from parchunk.cli import interrupts

def give_up():
    begun.set()
    time.sleep(1.5)
    print("given up", flush=True)

interrupts.GRACE, begun = 0.0, threading.Event()
try:
    with interrupts.interrupts(give_up):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            begun.wait()
        except interrupts.Interrupted:
            begun.wait()
            raise
except interrupts.Interrupted:
    print("in order", flush=True)
"""


def test_an_end_is_told_once() -> None:
    program = [sys.executable, "-c", BOTH_ENDS]
    ran = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("given up\n", "", 130)


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    with (
        serve(STORE, latency=0.2, page=PAGE, process=False) as server,
        start(server, tmp_path / "out", "--workers", "2", "--concurrency", "2") as build,
    ):
        wait_until(lambda: server.counts()["LIST"] > 2, build)
        build.kill()
        try:
            build.communicate(timeout=PATIENCE)  # the end of what all of them have open
            assert server.counts()["LIST"] < 24_000 / PAGE, "they have listed all"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(build.pid, signal.SIGKILL)
