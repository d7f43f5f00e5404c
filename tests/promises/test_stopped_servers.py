"""The source's or the output's server stops in the middle: one line, and resumable."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from instruments.s3_server import S3Bucket, S3Server, ministack, new_bucket, s3_server
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store

from instruments import crash_process

STORE = zarr_store([("t", (30_000,), (1,), ("time",))])


def options(name: str, endpoint: str) -> list[str]:
    pairs = (f"endpoint={endpoint}", "region=us-east-1", "skip_signature=true")
    return [f"--{name}-option={pair}" for pair in pairs]


class Build:
    """The same command, run again and again, in processes of its own."""

    def __init__(self, folder: Path, source: Any, out: str, *more: str) -> None:
        self.arguments = [
            *("build", f"s3://{source.bucket}", out, "--region", "3000", "--record-size", "3000"),
            *("--concurrency", "1", "--json"),
            *options("store", source.endpoint),
            *more,
        ]
        # What gives up soon, where its server is there no more.
        self.impatient = ["--attempts=1", "--store-option=timeout=4s"]
        self.impatient += ["--output-option=timeout=4s"] * ("://" in out)
        self.folder = folder
        self.runs = 0

    def start(self, *more: str, **how: Any) -> crash_process.Command:
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        return crash_process.start([*self.arguments, *more], folder, **how)

    def check_stops(self, stop: Callable[[], None]) -> None:
        """Run until a region is done and wait there, stop what is needed, and expect one line."""
        done = crash_process.Step("after receipt", 0)
        command = self.start(*self.impatient, retries=1, wait_at=done)
        until = time.monotonic() + 200
        while done.name not in command.steps:
            assert command.process.exitcode is None, command.end()
            assert time.monotonic() < until
            time.sleep(0.02)
        stop()
        command.go_on()
        code, said, error = command.end()
        assert code == 2, error
        assert json.loads(said)["error"] in error
        assert error.startswith("parchunk: ")
        assert error.count("\n") == 1

    def check_resumes(self, *, all_anew: bool = False) -> None:
        code, said, error = self.start().end()
        assert code == 0, error
        result = json.loads(said)
        assert result["present"] == 30_000
        assert (result["partitions_built"] == 10) is all_anew


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_source(tmp_path: Path, how: int) -> None:
    out = tmp_path / "out"
    with serve(STORE, latency=0.05) as server:
        build = Build(tmp_path, server, str(out))
        build.check_stops(lambda: os.kill(server.pid, how))
        assert list(out.glob(".parchunk/receipts/t/*"))
        assert not (out / ".zmetadata").exists()
        assert not (out / ".parchunk/lease.json").exists()
        if how == signal.SIGSTOP:
            os.kill(server.pid, signal.SIGCONT)
            build.check_resumes()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[S3Server]:
    if ministack() is None:
        pytest.skip("ministack is not installed: pip install --group test")
    with s3_server(tmp_path) as server:
        yield server


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_output(tmp_path: Path, own_server: S3Server, how: int) -> None:
    bucket = new_bucket(own_server.endpoint)

    def keys(within: S3Bucket) -> list[str]:
        return [entry["path"] for page in within.store().list("refs") for entry in page]

    with serve(STORE, latency=0.05) as source:
        more = options("output", own_server.endpoint)
        build = Build(tmp_path, source, f"s3://{bucket.name}/refs", *more)
        build.check_stops(lambda: own_server.process.send_signal(how))
        if how == signal.SIGSTOP:
            own_server.process.send_signal(signal.SIGCONT)
            assert "refs/.zmetadata" not in keys(bucket)
            build.check_resumes()
            assert "refs/.zmetadata" in keys(bucket)
            return
        with s3_server(tmp_path, own_server.port):  # another one, which holds nothing
            new_bucket(own_server.endpoint, bucket.name)
            build.check_resumes(all_anew=True)
            assert "refs/.zmetadata" in keys(bucket)
