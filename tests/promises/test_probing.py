"""Chunks that are asked for one by one: what a server says of each, and when it says nothing."""

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from instruments.http_server import Faults, HttpServer, served
from obstore.store import HTTPStore
from zarr.errors import ZarrUserWarning

import parchunk
from parchunk.cli.main import run
from parchunk.listing.patience import Patience
from parchunk.out.counts import Counts

QUICK = Patience(attempts=2, first_wait=0.01, longest_wait=0.01)


@pytest.fixture(params=[2, 3])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    group = zarr.open_group(folder / "s.zarr", mode="w", zarr_format=request.param)
    air = group.create_array("air", shape=(30, 4), chunks=(1, 2), dtype="i4", **_named(request))
    air[:] = np.arange(1, 121).reshape(30, 4)
    group.create_array("g/whole", shape=(3,), chunks=(1,), dtype="i4")[:2] = 5
    consolidate(folder / "s.zarr")
    chunk = "air/3.1" if request.param == 2 else "air/c/3/1"
    (folder / "s.zarr" / chunk).unlink()
    (folder / "s.zarr" / chunk.replace("3", "7", 1)).write_bytes(b"")
    return folder


def consolidate(store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(store)


def _named(request: pytest.FixtureRequest) -> dict[str, object]:
    names = ["time", "x"]
    if request.param == 2:
        return {"attributes": {"_ARRAY_DIMENSIONS": names}}
    return {"dimension_names": names}


@pytest.fixture
def server(folder: Path) -> Iterator[HttpServer]:
    with served(folder) as running:
        yield running


def impatient(server: HttpServer) -> parchunk.Source:
    """Return the store reached by a client that does not try again."""
    store = HTTPStore.from_url(
        server.url, client_options={"allow_http": True}, retry_config={"max_retries": 0}
    )
    return parchunk.Source(store, "s.zarr", f"{server.url}/s.zarr")  # type: ignore[arg-type]


def read(out: Path) -> dict[str, int]:
    return {str(p.relative_to(out)): len(p.read_bytes()) for p in out.rglob("*.parq")}


@pytest.mark.parametrize("heads", [None, 405, 501])
def test_each_chunk_is_asked_for(
    heads: int | None, server: HttpServer, folder: Path, tmp_path: Path
) -> None:
    plan = parchunk.plan(f"{server.url}/s.zarr", split="time", region=10, probe=True)
    server.asked.clear()
    server.faults.heads = heads
    made = parchunk.build(plan, tmp_path / "out", workers=1)
    assert (made.present, made.missing, made.zero_sized, made.requests) == (60, 3, 1, 0)
    asked = server.count("HEAD") if heads is None else server.count("GET")
    assert made.heads >= 63 + 2
    assert made.heads >= asked - 10 > 50
    assert server.count("PROPFIND") == 0
    assert all(receipt.verified for receipt in made.receipts)
    listed = parchunk.plan(folder / "s.zarr", split="time", region=10)
    wanted = parchunk.build(listed, tmp_path / "listed")
    assert Counts.total([made]) == Counts.total([wanted])
    assert sorted(read(tmp_path / "out")) == sorted(read(tmp_path / "listed"))
    with parchunk.open_dataset(tmp_path / "out") as dataset:
        assert dataset.air.values[0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("faults", "match"),
    [
        (Faults(missing=403), "does not say whether .* is there: permission denied"),
        (Faults(missing=500), "does not say whether .* is there"),
        (Faults(missing=200), "its answers do not tell which chunks are"),
        (Faults(missing=302), "does not say whether"),
    ],
    ids=["403", "500", "200", "302"],
)
def test_what_is_no_answer_is_no_missing_chunk(
    faults: Faults, match: str, server: HttpServer, tmp_path: Path
) -> None:
    plan = parchunk.plan(impatient(server), probe=True)
    server.faults.missing = faults.missing
    with pytest.raises(parchunk.ListingError, match=match):
        parchunk.build(plan, tmp_path / "out", patience=QUICK)
    assert not (tmp_path / "out/.zmetadata").exists()
    server.faults.missing = 404
    assert parchunk.build(plan, tmp_path / "out", patience=QUICK).missing == 3


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_one_chunk_that_fails_is_not_missing(
    status: int, server: HttpServer, tmp_path: Path
) -> None:
    plan = parchunk.plan(impatient(server), probe=True)
    end = "air/20.1" if plan.by_name["air"].spec.zarr_format == 2 else "air/c/20/1"
    server.faults.statuses[end] = status
    with pytest.raises(parchunk.ListingError, match=rf"does not say whether .*{end} is there"):
        parchunk.build(plan, tmp_path / "out", patience=QUICK)


def test_a_limit_is_kept_before_anything_is_asked(server: HttpServer, tmp_path: Path) -> None:
    plan = parchunk.plan(f"{server.url}/s.zarr", probe=True, probe_limit=62)
    with pytest.raises(
        parchunk.InputError,
        match="63 objects would be asked for one by one",
    ):
        parchunk.build(plan, tmp_path / "out")
    assert server.count("HEAD") == 0
    plan = parchunk.plan(f"{server.url}/s.zarr", probe=True, probe_limit=63)
    assert parchunk.build(plan, tmp_path / "out").missing == 3


def test_updates_and_audits_ask_again(
    server: HttpServer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out = f"{server.url}/s.zarr", str(tmp_path / "out")
    assert run(["plan", url, "--probe"]) == 0
    assert "63 objects are asked for by HEAD" in capsys.readouterr().out
    assert run(["build", url, out, "--probe", "--split", "time", "--region", "10"]) == 0
    assert "questions for single chunks" in " ".join(capsys.readouterr().out.split())
    zarr.open_group(folder / "s.zarr", mode="r+")["air"][3] = 9
    server.asked.clear()
    report = parchunk.audit(out, against_source=True, probe=True)
    assert "new-chunks" in {one.kind for one in report.findings}
    assert server.count("HEAD") >= 63
    server.asked.clear()
    made = parchunk.update(out, probe=True)
    assert made.missing == 2
    assert made.heads < 40  # of three regions only the one with a gap, and the whole array
    with pytest.raises(parchunk.InputError, match="give --inventory FILE, or --probe"):
        parchunk.update(out)


def test_arrays_that_nothing_names_are_not_looked_for(server: HttpServer, folder: Path) -> None:
    for name in (".zmetadata", "zarr.json"):
        if (folder / "s.zarr" / name).exists():
            (folder / "s.zarr" / name).unlink()
    zarr.open_group(folder / "s.zarr", mode="w")
    with pytest.raises(parchunk.InputError, match="no consolidated metadata"):
        parchunk.plan(f"{server.url}/s.zarr", probe=True)


def test_parts_and_tasks_ask_for_theirs(
    server: HttpServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out = f"{server.url}/s.zarr", tmp_path / "refs"
    part = ["build", url, str(out), "--probe", "--part"]
    assert run([*part, "1/2", "--probe-limit", "5"]) == 2
    assert "--probe-limit is 5" in capsys.readouterr().err
    assert server.count("HEAD") == 0
    for number in (1, 2):
        assert run([*part, f"{number}/2"]) == 0
    (out / ".zmetadata").unlink()
    assert parchunk.publish(out).listing == "probe (each chunk is asked for)"  # by receipts

    server.asked.clear()
    with pytest.raises(parchunk.InputError, match="--probe-limit is 62"):
        parchunk.audit(out, against_source=True, probe=True, probe_limit=62)
    with pytest.raises(parchunk.InputError, match="--probe-limit is 62"):
        parchunk.tasks(parchunk.plan(url, probe=True, probe_limit=62), tmp_path / "few")
    assert server.count("HEAD") == 0
    for task in parchunk.tasks(parchunk.plan(url, probe=True), tmp_path / "tasks", parts=2):
        parchunk.run_task(pickle.loads(pickle.dumps(task)))
    assert server.count("HEAD") >= 63
    made = parchunk.publish(tmp_path / "tasks")
    assert (made.missing, made.listing) == (3, "probe (each chunk is asked for)")


def test_one_array_may_be_asked_for(server: HttpServer, tmp_path: Path) -> None:
    made = parchunk.build(
        parchunk.plan(f"{server.url}/s.zarr/g/whole", probe=True), tmp_path / "out"
    )
    assert (made.present, made.missing) == (2, 1)
