"""Two builds of one OUT: one works, the other says who holds it, and nobody waits for the dead."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from tests.out.leases import holder_in, output_in, write_lease

import parchunk
from parchunk.cli.main import run
from parchunk.errors import HeldError
from parchunk.out.holder import Holder
from parchunk.out.lease import Lease, held
from parchunk.out.opening import open_output
from parchunk.out.output import LEASE, Output


def small_store() -> FormulaStore:
    return zarr_store([("t", (4000,), (1,), ("time",))])


def test_one_of_two_holds(output: Output) -> None:
    with held(output):
        with pytest.raises(HeldError, match=f"process {os.getpid()} on .*UTC") as error:
            Lease(output).take()
        assert "\n" not in str(error.value)
    assert output.get(LEASE) is None
    with held(output) as again:
        again.confirm()


def test_of_many_that_start_together_one_works(output: Output) -> None:
    start, won, lost = threading.Barrier(8), [], []

    def contend() -> None:
        lease = Lease(output)
        start.wait()
        try:
            lease.take()
        except HeldError:
            lost.append(lease)
        else:
            won.append(lease)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].release()
    assert output.is_empty()


def test_of_many_one_takes_an_expired_lease_over(output: Output) -> None:
    for _ in range(5):
        write_lease(output, host="elsewhere", expires=time.time() - 1)
        start, won = threading.Barrier(6), []

        def contend(start: threading.Barrier = start, won: list[Lease] = won) -> None:
            lease = Lease(output)
            start.wait()
            with contextlib.suppress(HeldError):
                lease.take()
                won.append(lease)

        threads = [threading.Thread(target=contend) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        won[0].confirm()
        won[0].release()
        assert output.get(LEASE) is None


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "expires": 1.0}, True),
        ({"host": "elsewhere", "expires": 9e15}, True),
        ({"host": "elsewhere", "expires": float("nan")}, True),
        ({"pid": 2**22 + 12345}, True),  # beyond Linux's largest
        ({"pid": 2**70}, False),
        ({"pid": -1}, False),
        ({"pid": 1, "started": "before the flood"}, True),
        ({"pid": 2**22 + 12345, "space": "another container"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_whom_a_lease_binds(tmp_path: Path, changes: dict[str, Any], over: bool) -> None:
    output = output_in("local", tmp_path)
    write_lease(output, **changes)
    if over:
        with held(output) as lease:
            lease.confirm()
    else:
        with pytest.raises(HeldError):
            Lease(output).take()


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_a_broken_lease_binds_nobody(output: Output, data: bytes) -> None:
    output.prepare()
    assert output.put_if(LEASE, data, None)
    with held(output) as lease:
        lease.confirm()
    assert output.is_empty()


def test_renewals_keep_a_lease_for_longer_than_it_lasts(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, later = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: now() + later)
    with held(output, expiry=60, renewal=0.05) as lease:
        for _ in range(4):
            before = holder_in(output).expires
            later += 40
            wait_for(lambda before=before: holder_in(output).expires > before + 39)
            lease.check()
            with pytest.raises(HeldError):
                Lease(output).take()


def test_the_loser_of_a_lease_stops_and_leaves_the_winner_alone(output: Output) -> None:
    lease = Lease(output, expiry=30, renewal=0.05)
    lease.take()
    seen = output.get_version(LEASE)
    assert seen is not None
    winner = Holder.decode(seen[0])
    assert winner is not None
    mine = replace(winner, id="another", host="elsewhere", expires=time.time() + 600)
    while not output.put_if(LEASE, mine.encode(), seen[1]):  # a renewal came between
        seen = output.get_version(LEASE)
        assert seen is not None
    wait_for(lambda: lease.lost)  # until a renewal sees it
    with pytest.raises(HeldError, match="on elsewhere"):
        lease.check()
    lease.release()
    assert Holder.decode(output.get(LEASE) or b"") == mine


def test_a_lease_that_is_gone_is_lost(output: Output) -> None:
    lease = Lease(output)
    lease.take()
    output.delete(LEASE)
    with pytest.raises(HeldError, match="is gone"):
        lease.confirm()
    lease.release()


def test_a_build_that_lost_its_lease_does_not_publish(tmp_path: Path) -> None:
    with serve(small_store(), process=False) as server:
        source = parchunk.Source.open(
            f"s3://{server.bucket}",
            {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"},
        )
        plan = parchunk.plan(source, region=1000)
        out = tmp_path / "out"

        def taken_over(progress: object) -> None:
            lease = out / LEASE
            if lease.exists():
                lease.write_text(lease.read_text().replace('"id": "', '"id": "x'))

        with pytest.raises(HeldError, match="now held by"):
            parchunk.build(plan, str(out), progress=taken_over)
        assert not (out / ".zmetadata").exists()
        (out / LEASE).unlink()
        result = parchunk.build(plan, str(out))
        assert result.present == 4000
        assert not (out / LEASE).exists()


def options(server: Any) -> list[str]:
    return [
        *("--store-option", f"endpoint={server.endpoint}"),
        *("--store-option", "region=us-east-1", "--store-option", "skip_signature=true"),
        *("--store-option", "timeout=1h"),
        *("--consolidated", "only"),  # the listing that hangs is to be the build's, not planning's
    ]


def stalled(server: Any, out: str, *more: str) -> subprocess.Popen[str]:
    """Start a build whose listing hangs."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "parchunk", "build", f"s3://{server.bucket}", out),
            *(*options(server), "--region", "1000", *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(parchunk.__file__).parents[1])},
    )


def wait_for(condition: Callable[[], object], seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_second_process_is_told_and_a_killed_one_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with serve(small_store(), faults=[Fault("hang", times=1)], process=False) as server:
        first = stalled(server, str(out))
        try:
            wait_for((out / LEASE).exists)
            source = f"s3://{server.bucket}"
            code = run(["build", source, str(out), *options(server), "--region", "1000"])
            said = capsys.readouterr().err
            assert code == 2
            assert f"process {first.pid} on {socket.gethostname()}, until 20" in said
            assert said.count("\n") == 1
            code = run(["build", source, str(out), *options(server), "--overwrite"])
            assert code == 2
            assert json.loads((out / LEASE).read_text())["pid"] == first.pid
        finally:
            first.send_signal(signal.SIGKILL)
            first.communicate()
        assert (out / LEASE).exists()
        # Its process is dead: nobody waits for the expiry.
        assert run(["build", source, str(out), *options(server), "--region", "1000"]) == 0
        assert not (out / LEASE).exists()
        assert not (out / ".parchunk/tmp").exists()


@pytest.mark.s3
def test_two_builds_on_s3(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"s3://{bucket.name}/refs"
    more = [f"--output-option={key}={value}" for key, value in bucket.options.items()]
    with serve(small_store(), faults=[Fault("hang", times=1)], process=False) as server:
        arguments = ["build", f"s3://{server.bucket}", out, *options(server), *more]
        arguments += ["--region", "1000"]
        first = stalled(server, out, *more)
        output = open_output(out, bucket.options)
        try:
            wait_for(lambda: output.get(LEASE))
            assert run(arguments) == 2
            said = capsys.readouterr().err
            assert f"process {first.pid} on" in said
            assert said.count("\n") == 1
        finally:
            first.kill()
            first.communicate()
        assert run(arguments) == 0
        assert output.get(LEASE) is None


@pytest.mark.s3
def test_conditions_of_s3(bucket: Any) -> None:
    output = open_output(f"s3://{bucket.name}/refs", bucket.options)
    first = output.put_if(LEASE, b"one", None)
    assert first is not None
    assert output.put_if(LEASE, b"two", None) is None
    second = output.put_if(LEASE, b"two", first)
    assert second is not None
    assert output.put_if(LEASE, b"three", first) is None
    output.delete_if(LEASE, first)
    assert output.get(LEASE) == b"two"
    assert output.is_empty()
    output.delete_if(LEASE, second)
    assert output.get(LEASE) is None
    assert output.put_if(LEASE, b"four", second) is None
    write_lease(output, host="elsewhere", expires=time.time() - 1)
    with held(output) as lease:
        lease.confirm()
