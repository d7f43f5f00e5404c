"""A store that refuses what is too much: builds settle near what it bears, and lose nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store
from tests.made import check_exact

import parchunk
from parchunk.cli.main import run

STORE = zarr_store([(f"v{n}", (60, 100), (1, 1), ("time", "x")) for n in range(16)])
SMALL = zarr_store([("v", (60, 100), (1, 1), ("time", "x"))])


def source_of(server: Server, way: str) -> parchunk.Source:
    backoff = {
        "init_backoff": timedelta(milliseconds=10),
        "max_backoff": timedelta(milliseconds=20),
        "base": 2,
    }
    retry: Any = {"max_retries": 40, "backoff": backoff}
    store = S3Store(server.bucket, **server.store_kwargs(), retry_config=retry)
    return parchunk.Source(store, "", "s3://formula", listing=way)


def test_a_build_settles_near_what_the_store_bears(tmp_path: Path, way: str) -> None:
    # A busy machine may ask too slowly to be refused, but once it is.
    once = Fault("503", first=2)
    with serve(STORE, latency=0.1, process=False, faults=[once], lists_per_second=40) as server:
        plan = parchunk.plan(source_of(server, way), region=60)
        server.reset()
        result = parchunk.build(plan, str(tmp_path / "r"), concurrency=16)
        counts = server.counts()
    check_exact(tmp_path / "r", plan, STORE)
    refused = counts["faults"]["503"]
    assert result.busy == result.retries == refused >= 1
    assert result.requests == counts["LIST"]
    # Sixteen that know nothing of each other would be refused several times for each answer.
    assert refused < (counts["LIST"] - refused)


@pytest.mark.parametrize("command", ["build", "update", "audit", "part"])
def test_so_many_lists_a_second_and_no_more(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests that begin so far apart take so long: never less."""
    out = str(tmp_path / "r")
    with serve(SMALL, process=False) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        options += ["--store-option", "skip_signature=1", "--store-option", "allow_http=1"]
        paced = [*options, "--max-lists-per-second", "20"]
        built = ["s3://formula", out]
        if command in ("update", "audit"):
            assert run(["build", *built, *options]) == 0
        capsys.readouterr()
        server.reset()
        words = {
            "build": ["build", *built, *paced, "--json"],
            "part": ["build", *built, *paced, "--part", "1/1", "--json"],
            "update": ["update", out, *paced, "--regions", "0", "--json"],
            "audit": ["audit", out, "--against-source", *paced, "--json"],
        }[command]
        assert run(words) == 0
        said = json.loads(capsys.readouterr().out)
        asked = [one for one in server.lists() if not one["delimiter"]]
    assert len(asked) >= 5
    assert said["seconds"] >= (len(asked) - 1) / 20 - 0.01


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_part_says_that_the_store_was_too_busy(
    tmp_path: Path, form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = Fault("503", within="v/", first=2, times=2)
    with serve(SMALL, process=False, faults=[busy]) as server:
        options = ["--store-option", f"endpoint={server.endpoint}"]
        options += ["--store-option", "skip_signature=1", "--store-option", "allow_http=1"]
        words = ["build", "s3://formula", str(tmp_path / "r"), *options, "--part", "1/2", *form]
        assert run(words) == 0
    said = capsys.readouterr().out
    if form:
        assert json.loads(said)["too_busy"] == json.loads(said)["retries"] == 2
    else:
        assert "2 retries (2 as the store was too busy)" in said


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_audit_says_that_the_store_was_too_busy(
    tmp_path: Path, form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = Fault("503", within="v/", first=2, times=2)
    options = ["--store-option", "skip_signature=1", "--store-option", "allow_http=1"]
    out = str(tmp_path / "r")
    with serve(SMALL, process=False) as server:
        endpoint = ["--store-option", f"endpoint={server.endpoint}"]
        assert run(["build", "s3://formula", out, *options, *endpoint]) == 0
    capsys.readouterr()
    with serve(SMALL, process=False, faults=[busy]) as server:
        endpoint = ["--store-option", f"endpoint={server.endpoint}"]
        assert run(["audit", out, "--against-source", *options, *endpoint, *form]) == 0
    said = capsys.readouterr().out
    if form:
        against = json.loads(said)["against_source"]
        assert against["too_busy"] == against["retries"] == 2
    else:
        assert "2 retries (2 as the store was too busy)" in said
