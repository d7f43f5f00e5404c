"""The server of a formula store, against obstore and zarr as its clients."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from datetime import timedelta

import numpy as np
import obstore
import pytest
import zarr
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.server import Server, serve
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, S3Store
from tests.instruments.conftest import brute_force, client, dirty_store, listed


def test_full_listing(dirty_server: tuple[FormulaStore, Server]) -> None:
    store, server = dirty_server
    expected = brute_force(store)
    server.reset()
    assert listed(client(server)) == expected
    counts = server.counts()
    assert counts["LIST"] == math.ceil(len(expected) / 100) == store.least_requests(page=100)
    assert counts["keys"] == len(expected)
    assert (counts["GET"], counts["HEAD"], counts["faults"]) == (0, 0, {})
    assert counts["bytes"] > 100 * len(expected)
    lists = server.lists()
    assert len(lists) == counts["LIST"]
    assert lists[0]["token"] is None
    assert all(one["token"] for one in lists[1:])


@pytest.mark.parametrize("prefix", [None, "air", "air_temp", "deep/er", "nothing", "air/1"])
@pytest.mark.parametrize("offset", [None, "first", "middle", "last", "stray", "between"])
def test_listing_as_obstore_asks(
    dirty_server: tuple[FormulaStore, Server], prefix: str | None, offset: str | None
) -> None:
    store, server = dirty_server
    under = [
        item for item in brute_force(store) if item[0].startswith(f"{prefix}/" if prefix else "")
    ]
    keys = [key for key, _ in under] or ["nothing/x"]
    after = {
        None: None,
        "first": keys[0],
        "middle": keys[len(keys) // 2],
        "last": keys[-1],
        "stray": "air/12.3.partial",
        "between": keys[len(keys) // 3] + "-",
    }[offset]
    wanted = [item for item in under if after is None or item[0] > after]
    server.reset()
    assert listed(client(server), prefix, after) == wanted
    assert server.counts()["LIST"] == max(1, math.ceil(len(wanted) / 100))
    assert server.lists()[0]["start_after"] == after
    twin = FormulaListing(store, page=100)
    assert listed(twin, prefix, after) == wanted
    assert twin.requests == server.counts()["LIST"]


@pytest.mark.parametrize("prefix", [None, "air", "deep", "deep/er", "nothing"])
def test_delimiter_as_obstore_asks(
    dirty_server: tuple[FormulaStore, Server], prefix: str | None
) -> None:
    store, server = dirty_server
    server.reset()
    found = obstore.list_with_delimiter(client(server), prefix)
    twin = FormulaListing(store, page=100)
    assert twin.list_with_delimiter(prefix) == found
    assert twin.requests == server.counts()["LIST"]
    memory = MemoryStore()
    for key, _ in brute_force(store):
        memory.put(key, b"")
    expected = obstore.list_with_delimiter(memory, prefix)
    assert found["common_prefixes"] == sorted(expected["common_prefixes"])
    assert [one["path"] for one in found["objects"]] == [one["path"] for one in expected["objects"]]


def test_objects(dirty_server: tuple[FormulaStore, Server]) -> None:
    store, server = dirty_server
    s3 = client(server)
    server.reset()
    for key in ("air/.zarray", "air/3.4.1", "deep/er/sea & <ice>/2.3"):
        body = store.get(key)
        assert bytes(s3.get(key).bytes()) == body
        assert bytes(s3.get_range(key, start=5, end=50)) == body[5:50]
        assert bytes(s3.get(key, options={"range": {"suffix": 40}}).bytes()) == body[-40:]
        assert bytes(s3.get(key, options={"range": {"offset": 40}}).bytes()) == body[40:]
        meta = s3.head(key)
        assert (meta["size"], meta["e_tag"]) == (len(body), store.e_tag)
    assert bytes(s3.get("zz").bytes()) == b""
    counts = server.counts()
    assert (counts["GET"], counts["HEAD"], counts["LIST"]) == (13, 3, 0)
    for key in ("air/40.0.0", "no"):
        with pytest.raises(FileNotFoundError):
            s3.get(key)
        with pytest.raises(FileNotFoundError):
            s3.head(key)
    with pytest.raises(BaseError):
        s3.put("air/x", b"no")


def test_zarr_reads_through_the_server() -> None:
    store = zarr_store([("air", (40, 9), (1, 4), ("t", "x"))], 3, "/", size="exact", root="a/b")
    with serve(store, process=False) as server:
        s3 = S3Store(server.bucket, prefix="a/b", **server.store_kwargs())
        air = zarr.open_group(zarr.storage.ObjectStore(s3, read_only=True), mode="r")["air"]
        chunk = np.frombuffer(store.get("a/b/air/c/39/1"), "<f4")
        np.testing.assert_array_equal(air[39, 4:8], chunk)


def test_names_that_need_escaping() -> None:
    names = ["a b", "a#b", "a%20b", "a+b", "caf\u00e9 & <sea>", "deep/er?x=1"]
    store = zarr_store([(name, (12,), (1,), ("t",)) for name in names], root="r & s.zarr")
    with serve(store, page=5, process=False) as server:
        s3 = client(server)
        assert listed(s3) == brute_force(store)
        assert listed(FormulaListing(store)) == brute_force(store)
        for name in names:
            key = f"r & s.zarr/{name}/11"
            assert bytes(s3.get(key).bytes()) == store.get(key)
            under = [
                item for item in brute_force(store) if item[0].startswith(f"r & s.zarr/{name}/")
            ]
            assert listed(s3, f"r & s.zarr/{name}", key) == [i for i in under if i[0] > key]


def test_requests_overlap_under_latency() -> None:
    store = zarr_store([("air", (200_000,), (1,), ("t",))])
    rows: list[int] = []

    def first_pages(server: Server) -> list[threading.Thread]:
        s3 = client(server, timeout=timedelta(hours=1))

        def first_page(at: int) -> None:
            with contextlib.suppress(BaseError):  # the server has ended
                batches = s3.list("air", offset=f"air/{at}", return_arrow=True)
                rows.append(next(iter(batches)).num_rows)

        threads = [threading.Thread(target=first_page, args=(at,)) for at in range(1000, 1064)]
        for thread in threads:
            thread.start()
        return threads

    with serve(store, latency=0.2) as server:
        for thread in first_pages(server):
            thread.join()
        assert rows == [50] * 64
        assert server.counts()["LIST"] == 64
        assert server.counts()["max_in_flight"] > 1
    with serve(store, latency=3600) as server:  # none is answered before the last one has come
        threads, until = first_pages(server), time.monotonic() + 200
        while server.counts()["max_in_flight"] < 64 and time.monotonic() < until:
            time.sleep(0.02)
        assert server.counts()["max_in_flight"] == server.counts()["LIST"] == 64
    for thread in threads:
        thread.join()
    assert len(rows) == 64


def test_the_process_ends_with_its_context() -> None:
    with serve(dirty_store()) as server:
        pid, port = server.pid, server.port
        assert server.counts()["LIST"] == 0
    with pytest.raises(ConnectionRefusedError):
        Server(port, pid).counts()


# Faults -------------------------------------------------------------------------------------------
