"""Leases where the store of OUT ignores conditions, and where answers are lost."""

import contextlib
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from instruments.recorder import Fate, Recorder, recorder

from parchunk.cli.main import run
from parchunk.errors import HeldError
from parchunk.out.holder import Holder
from parchunk.out.lease import IGNORED, Lease, held
from parchunk.out.opening import open_output
from parchunk.out.output import LEASE, Output


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Recorder]:
    (tmp_path / "served/bucket").mkdir(parents=True)
    with recorder(tmp_path / "served") as serving:
        yield serving


def output_of(server: Recorder) -> Output:
    given = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}
    return open_output("s3://bucket/refs", given)


def holder_in(output: Output) -> Holder:
    seen = output.get(LEASE)
    assert seen is not None
    holder = Holder.decode(seen)
    assert holder is not None
    return holder


def take_it_from(output: Output, **changes: Any) -> Holder:
    """Write the lease of another over the one that is there, whatever that is."""
    mine = replace(holder_in(output), **({"id": "another", "host": "elsewhere"} | changes))
    output.put(LEASE, mine.encode())
    return mine


@pytest.mark.parametrize(
    ("conditions", "notes"), [("honour", ()), ("ignore", (IGNORED,)), ("refuse", (IGNORED,))]
)
def test_conditions_are_tried(server: Recorder, conditions: str, notes: tuple[str, ...]) -> None:
    server.conditions = conditions
    output = output_of(server)
    with held(output) as lease:
        assert lease.notes == notes
        assert holder_in(output).conditional is (conditions == "honour")
        with pytest.raises(HeldError, match="is being built by another process"):
            Lease(output).take()
        lease.confirm()
    assert output.get(LEASE) is None


@pytest.mark.parametrize(
    ("conditions", "writes"), [("honour", 2), ("ignore", 3), ("refuse", 5)], ids=str
)
def test_a_store_that_knows_no_conditions_is_asked_for_each_once(
    server: Recorder, conditions: str, writes: int
) -> None:
    """It says so by a 501, which clients take for an outage of minutes.

    The lease, the try of a condition, and the lease that says what came of it: each is written on a
    condition first, and the lease once more where that is refused.
    """
    asked: list[str] = []

    def noted(method: str, path: str) -> None:
        asked.extend([path] * (method == "PUT"))

    server.conditions, server.fate = conditions, noted
    with held(output_of(server)):
        assert len(asked) == writes
        taken = pickle.loads(pickle.dumps(output_of(server)))
        assert taken.put_if("there", b"one", None)
        assert len(asked) - writes == (2 if conditions == "refuse" else 1)


def test_an_outage_is_waited_for(server: Recorder) -> None:
    fates = [Fate(done=False, status=503), Fate(done=False, status=503)]
    server.fate = lambda method, _: fates.pop() if fates and method == "PUT" else None
    with held(output_of(server)) as lease:
        assert not fates
        lease.confirm()


@pytest.mark.parametrize("conditions", ["ignore", "refuse"])
def test_the_first_of_two_notices_the_second(server: Recorder, conditions: str) -> None:
    server.conditions = conditions
    output = output_of(server)
    lease = Lease(output, expiry=30, renewal=0.05)
    lease.take()
    try:
        winner = take_it_from(output)
        until = time.monotonic() + 60
        while not lease.lost and time.monotonic() < until:
            time.sleep(0.02)
            if holder_in(output) != winner:  # a renewal was under way
                winner = take_it_from(output)
        with pytest.raises(HeldError, match=r"is now held by .* on elsewhere"):
            lease.check()
    finally:
        lease.release()
    assert holder_in(output) == winner


@pytest.mark.parametrize("conditions", ["honour", "ignore", "refuse"])
def test_what_is_there_counts_before_publishing(server: Recorder, conditions: str) -> None:
    server.conditions = conditions
    output = output_of(server)
    lease = Lease(output)
    lease.take()
    take_it_from(output)
    with pytest.raises(HeldError, match=r"is now held by .* on elsewhere"):
        lease.confirm()
    lease.release()


@pytest.mark.parametrize("conditions", ["ignore", "refuse"])
def test_of_many_that_start_together_few_go_on_and_one_publishes(
    server: Recorder, conditions: str
) -> None:
    server.conditions = conditions
    start, tried = threading.Barrier(6), threading.Barrier(6)
    taken: list[Lease] = []
    confirmed: list[Lease] = []

    def contend() -> None:
        lease = Lease(output_of(server), renewal=0.2)
        start.wait()
        with contextlib.suppress(HeldError):
            lease.take()
            taken.append(lease)
        tried.wait(250)
        until = time.monotonic() + 60
        while sum(not one.lost for one in taken) > 1 and time.monotonic() < until:
            time.sleep(0.02)  # who renews notices that another did
        if lease in taken:
            with contextlib.suppress(HeldError):
                lease.confirm()
                confirmed.append(lease)

    threads = [threading.Thread(target=contend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(confirmed) == 1
    confirmed[0].release()


@pytest.mark.parametrize("conditions", ["honour", "ignore"])
@pytest.mark.parametrize("expired", [False, True], ids=["new", "take-over"])
def test_a_success_whose_answer_was_lost(server: Recorder, conditions: str, expired: bool) -> None:
    server.conditions = conditions
    output = output_of(server)
    if expired:
        with held(output):
            data = holder_in(output)
        output.put(
            LEASE, replace(data, id="old", host="elsewhere", expires=1.0, lasts=0.0).encode()
        )
    server.unanswered, server.unanswered_at = 1, "lease.json"
    with held(output) as lease:
        assert server.unanswered == 0
        lease.confirm()
        assert holder_in(output).id != "old"
    assert output.get(LEASE) is None


def test_a_host_that_slept_looks_at_the_wall_clock(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock stands still while a host is suspended, and so do renewals."""
    output = output_of(server)
    lease = Lease(output, expiry=60, renewal=1000)
    lease.take()
    lease.check()
    awake = time.time
    with monkeypatch.context() as asleep:
        asleep.setattr(time, "time", lambda: awake() + 61)
        lease.check()  # renewed, as nobody came meanwhile
    take_it_from(output)
    lease.check()
    with monkeypatch.context() as asleep:
        asleep.setattr(time, "time", lambda: awake() + 200)
        with pytest.raises(HeldError, match="is now held by"):
            lease.check()
    lease.release()


def test_a_host_that_slept_and_cannot_renew_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = open_output(str(tmp_path / "out"))
    lease = Lease(output, expiry=60, renewal=1000)
    lease.take()
    (tmp_path / "out/.parchunk").rename(tmp_path / "aside")
    (tmp_path / "out/.parchunk").write_text("in the way")
    awake = time.time
    monkeypatch.setattr(time, "time", lambda: awake() + 61)
    with pytest.raises(HeldError, match="could not be renewed in time"):
        lease.check()
    lease.release()


def test_a_build_says_so(server: Recorder, tmp_path: Path, capsys: Any) -> None:
    import numpy as np
    import zarr

    array = zarr.create_array(
        tmp_path / "store/a", shape=(4,), chunks=(1,), dtype="i4", zarr_format=2
    )
    zarr.open_group(tmp_path / "store", mode="a", zarr_format=2)
    array[:] = np.arange(1, 5)
    server.conditions = "ignore"
    given = [f"endpoint={server.endpoint}", "region=us-east-1", "skip_signature=true"]
    out = ["s3://bucket/refs", *(f"--output-option={option}" for option in given)]
    assert run(["build", str(tmp_path / "store"), *out]) == 0
    assert "ignores conditional writes" in " ".join(capsys.readouterr().out.split())
    server.conditions = "honour"
    assert run(["update", *out]) == 0
    assert "ignores conditional writes" not in " ".join(capsys.readouterr().out.split())
