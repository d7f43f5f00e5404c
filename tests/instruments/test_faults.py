"""What obstore makes of each fault that the server can be told to commit."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.exceptions import BaseError, PermissionDeniedError
from tests.instruments.conftest import brute_force, client, listed

FAULTY = zarr_store([("air", (450,), (1,), ("t",))])
ALL = [item for item in brute_force(FAULTY) if item[0].startswith("air/")]
PAGES = [ALL[at : at + 100] for at in range(0, len(ALL), 100)]


def flat(*pages: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(itertools.chain(*pages))


@pytest.mark.parametrize("kind", ["503", "429", "500", "408", "reset"])
def test_faults_that_obstore_outlives(kind: Any) -> None:
    faults = [Fault(kind, first=2, times=2)]
    with serve(FAULTY, page=100, faults=faults, process=False) as server:
        assert listed(client(server), "air") == ALL
        counts = server.counts()
        assert counts["LIST"] == len(PAGES) + 2
        assert counts["faults"] == {kind: 2}
        assert [one["fault"] for one in server.lists()].count(kind) == 2


@pytest.mark.parametrize("kind", ["cut", "reset-body", "stall", "expired-token", "403", "501"])
def test_faults_that_end_a_listing_with_an_error(kind: Any) -> None:
    with serve(
        FAULTY, page=100, faults=[Fault(kind, first=2, times=None)], process=False
    ) as server:
        s3 = client(server, timeout=timedelta(seconds=3))
        rows: list[str] = []
        batches = s3.list("air", chunk_size=100, return_arrow=True)
        paths = (pa.record_batch(batch)["path"].to_pylist() for batch in batches)
        with pytest.raises(BaseError):
            rows.extend(itertools.chain.from_iterable(paths))
        # expired-token counts requests with a token, of which the first is the second page's
        delivered = 3 if kind == "expired-token" else 2
        assert rows == [key for key, _ in flat(*PAGES[:delivered])]


def test_hang_is_outlived_by_a_timeout() -> None:
    with serve(FAULTY, page=100, faults=[Fault("hang", first=1)], process=False) as server:
        assert listed(client(server, timeout=timedelta(seconds=3)), "air") == ALL
        # No other page hangs, though on a busy machine it may come too late, and again then.
        faults = [one["fault"] for one in server.lists()]
        assert faults[:2] == [None, "hang"]
        assert set(faults[2:]) == {None}
        assert len(faults) > len(PAGES)


@pytest.mark.parametrize(
    ("fault", "rows"),
    [
        (Fault("error-body", first=2), flat(*PAGES[:2])),
        (Fault("no-token", first=2), flat(*PAGES[:3])),
        (Fault("short", first=2), flat(*PAGES[:3])),
        (Fault("drop", first=2), flat(*PAGES[:2], PAGES[2][:50], *PAGES[3:])),
        (Fault("repeat-page", first=1), flat(*PAGES[:2], PAGES[1], *PAGES[2:])),
        (Fault("swap-pages", first=1), flat(PAGES[0], PAGES[2], PAGES[1], *PAGES[3:])),
        (Fault("swap-pages", first=3), flat(*PAGES[:3], PAGES[4], PAGES[3])),
        (Fault("reverse", first=1), flat(PAGES[0], PAGES[1][::-1], *PAGES[2:])),
        (Fault("repeat-token", first=1), flat(*PAGES[:2], *PAGES[1:])),
        (Fault("repeat-token", first=0), flat(PAGES[0], *PAGES)),
    ],
    ids=lambda value: f"{value.kind}-{value.first}" if isinstance(value, Fault) else "",
)
def test_faults_that_obstore_does_not_notice(fault: Fault, rows: list[tuple[str, int]]) -> None:
    with serve(FAULTY, page=100, faults=[fault], process=False) as server:
        assert listed(client(server), "air") == rows
        assert server.counts()["faults"] == {fault.kind: 1}


def test_ignored_start_after() -> None:
    faults = [Fault("ignore-start-after", times=None)]
    with serve(FAULTY, page=100, faults=faults, process=False) as server:
        assert listed(client(server), "air", PAGES[1][7][0]) == ALL


def test_a_repeated_token_loops() -> None:
    with serve(FAULTY, page=100, faults=[Fault("repeat-token", 1, None)], process=False) as server:
        stream = client(server).list("air", chunk_size=100, return_arrow=True)
        batches = [pa.record_batch(batch)["path"] for batch in itertools.islice(stream, 8)]
        assert all(batch == batches[1] for batch in batches[2:])


def test_faults_by_chance_are_the_same_each_time() -> None:
    faults = [Fault("503", times=None, rate=0.2, seed=4), Fault("500", times=None, rate=0.1)]
    with serve(FAULTY, page=10, faults=faults, process=False) as server:
        seen = []
        for _ in range(2):
            server.reset()
            assert listed(client(server), "air") == ALL
            seen.append([one["fault"] for one in server.lists()])
        assert seen[0] == seen[1]
        assert 3 < seen[0].count("503") < 25
        assert seen[0].count("500")


def test_faults_by_method_and_place() -> None:
    faults = [
        Fault("404", on="GET", within="air/7"),
        Fault("cut", on="GET", within="air/8", times=None),
        Fault("403", on="HEAD"),
    ]
    with serve(FAULTY, faults=faults, process=False) as server:
        s3 = client(server)
        assert listed(s3, "air") == ALL
        assert bytes(s3.get("air/6").bytes()) == FAULTY.get("air/6")
        with pytest.raises(FileNotFoundError):
            s3.get("air/7")
        assert bytes(s3.get("air/7").bytes()) == FAULTY.get("air/7")
        with pytest.raises(BaseError):
            s3.get("air/8").bytes()
        with pytest.raises(PermissionDeniedError):
            s3.head("air/6")
        assert s3.head("air/6")["size"] == FAULTY.head("air/6")


# The twin -----------------------------------------------------------------------------------------
