"""The formula store against brute force; its server and its twin against obstore."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pytest
import zarr
from benchmarks.synthetic import layout
from benchmarks.synthetic.faults import Fault
from benchmarks.synthetic.formula import FormulaArray, FormulaStore
from benchmarks.synthetic.rules import (
    Both,
    HashedSizes,
    HashFraction,
    LeadingRange,
    Nothing,
    Without,
)
from benchmarks.synthetic.server import Server, serve
from benchmarks.synthetic.twin import SCHEMA, FormulaListing
from benchmarks.synthetic.zarr_stores import FIELD_STORES, field_store, zarr_documents, zarr_store
from hypothesis import example, given, settings
from hypothesis import strategies as st
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import MemoryStore, S3Store

from parchunk.keys import KeyEncoding


@st.composite
def arrays(draw: st.DrawFn, name: str = "air") -> FormulaArray:
    rank = draw(st.integers(0, 4))
    length = {
        0: st.nothing(),
        1: st.integers(1, 1200),
        2: st.integers(1, 60) | st.just(101),
        3: st.integers(1, 13),
        4: st.sampled_from([1, 1, 2, 3, 11]),
    }[rank]
    grid = tuple(draw(st.lists(length, min_size=rank, max_size=rank)))
    encoding = KeyEncoding(draw(st.sampled_from(["", "c"])), draw(st.sampled_from("./")), rank)
    rules = [None, HashFraction(0.5, seed=draw(st.integers(0, 3))), Nothing(), Without((0, 3, 7))]
    if rank:
        rules += [LeadingRange(1, 5), Both(LeadingRange(0, 9), HashFraction(0.7))]
    return FormulaArray(name, grid, encoding, present=draw(st.sampled_from(rules)))


def brute_force(store: FormulaStore) -> list[tuple[str, int]]:
    """Every object of a store with its size, by enumeration and ``sorted``."""
    objects = [(key, len(body)) for key, body in store.documents().items()]
    for array in store.arrays:
        head = f"{array.name}/" if array.name else ""
        sizes = array.expected_sizes().tolist()
        cells = itertools.product(*map(range, array.grid))
        for index, size in zip(cells, sizes, strict=True):
            if size >= 0:
                objects.append((head + array.encoding.tail(index), size))
    return sorted(objects, key=lambda item: item[0].encode())


def listed(
    source: Any, prefix: str | None = None, offset: str | None = None, chunk_size: int = 1000
) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    for batch in source.list(prefix, offset=offset, chunk_size=chunk_size, return_arrow=True):
        columns = pa.record_batch(batch)
        rows += zip(columns["path"].to_pylist(), columns["size"].to_pylist(), strict=True)
    return rows


def client(server: Server, **options: Any) -> S3Store:
    backoff = {
        "init_backoff": timedelta(milliseconds=5),
        "max_backoff": timedelta(milliseconds=20),
        "base": 2,
    }
    retry = {"max_retries": 4, "retry_timeout": timedelta(seconds=10), "backoff": backoff}
    keywords = server.store_kwargs()
    keywords["client_options"] = {**keywords["client_options"], **options}
    return S3Store(server.bucket, **keywords, retry_config=retry)


def dirty_store() -> FormulaStore:
    """Two arrays of which one's name begins the other's, with strays and missing chunks."""
    return zarr_store(
        [
            ("air", (40, 30, 100), (1, 1, 50), ("time", "lat", "lon")),
            ("air_temp", (1200,), (1,), ("time",)),
            ("deep/er/sea & <ice>", (3, 4), (1, 1), ("y", "x")),
        ],
        present={"air_temp": HashFraction(0.5)},
        extra={
            "air/0.tmp": b"x",
            "air/README.md": b"# air",
            "air/12.3.partial": b"",
            "air/39.29.1~": b"zz",
            "Z": b"",
            "zz": b"",
        },
    )


# The formula store --------------------------------------------------------------------------------


@pytest.fixture(scope="class", params=[16384, 40, 5])
def _table_rows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small tables, so that small grids take the ways of large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "TABLE_ROWS", request.param)
        layout.layout_of.cache_clear()
        yield
    layout.layout_of.cache_clear()


@pytest.mark.usefixtures("_table_rows")
class TestFormula:
    @settings(max_examples=40, deadline=None)
    @given(arrays())
    @example(FormulaArray("air", (1,), KeyEncoding("c", "/", 1)))
    @example(FormulaArray("air", (1001,), KeyEncoding("", ".", 1)))
    @example(FormulaArray("air", (), KeyEncoding("c", "/", 0)))
    @example(FormulaArray("", (3, 11), KeyEncoding("c", "/", 2)))
    def test_ranks_are_text_order(self, array: FormulaArray) -> None:
        head = f"{array.name}/" if array.name else ""
        cells = itertools.product(*map(range, array.grid))
        spelled = [(head + array.encoding.tail(index), at) for at, index in enumerate(cells)]
        spelled.sort(key=lambda item: item[0].encode())
        assert [array.key(rank) for rank in range(array.cells)] == [key for key, _ in spelled]
        assert [array.number(rank) for rank in range(array.cells)] == [at for _, at in spelled]
        for rank in range(0, array.cells, 7):
            assert array.rank(spelled[rank][0]) == rank

    @settings(max_examples=25, deadline=None)
    @given(arrays("air"), arrays("air_temp"), st.data())
    def test_pages_are_brute_force(
        self, one: FormulaArray, other: FormulaArray, data: st.DataObject
    ) -> None:
        extra = {
            ".zgroup": b"{}",
            "air/.zarray": b"{}",
            "air/0.tmp": b"",
            "air_temp/zarr.json": b"1",
        }
        store = FormulaStore([other, one], extra)
        expected = brute_force(store)
        assert store.count() == len(expected)
        bits = ["", "a", "air", "air/", "air/1", "air/c/", "air/c/1", "air_", "air_temp/", "b"]
        keys = [key for key, _ in expected]
        prefix = data.draw(st.sampled_from(bits))
        after = data.draw(st.none() | st.sampled_from([*bits, *keys[:: len(keys) // 20 + 1]]))
        most = data.draw(st.sampled_from([1, 7, 1000] if len(keys) < 200 else [99, 1000]))
        wanted = [
            item for item in expected if item[0].startswith(prefix) and item[0] > (after or "")
        ]
        assert store.count(prefix) == sum(key.startswith(prefix) for key in keys)

        got: list[tuple[str, int]] = []
        page = store.page(after, prefix, most)
        got += zip(page.keys, page.sizes.tolist(), strict=True)
        pages = 1
        while page.token is not None:
            assert len(page.keys) == most
            page = store.page(prefix=prefix, max_keys=most, token=page.token)
            got += zip(page.keys, page.sizes.tolist(), strict=True)
            pages += 1
        assert got == wanted
        assert pages == max(1, math.ceil(len(wanted) / most))

    def test_extra_objects_lie_among_chunks(self) -> None:
        store = dirty_store()
        expected = brute_force(store)
        page = store.page(max_keys=10_000)
        assert list(zip(page.keys, page.sizes.tolist(), strict=True)) == expected
        assert page.keys.index("air/12.3.partial") > page.keys.index("air/12.3.1")
        for key, size in expected[::17]:
            assert store.head(key) == size
            assert len(store.get(key)) == size
        assert store.head("air/40.0.0") is None
        assert store.head("air/00.0.0") is None
        missing = np.flatnonzero(store.array("air_temp").expected_sizes() < 0)
        assert store.head(f"air_temp/{missing[0]}") is None

    def test_delimiter(self) -> None:
        store = dirty_store()
        keys = [key for key, _ in brute_force(store)]
        for prefix in ["", "air/", "deep/", "deep/er/", "air", "nothing/"]:
            rests = [key[len(prefix) :] for key in keys if key.startswith(prefix)]
            commons = sorted({prefix + rest.split("/")[0] + "/" for rest in rests if "/" in rest})
            objects = [prefix + rest for rest in rests if "/" not in rest]
            for most in (1, 2, 1000):
                got_objects, got_commons = [], []
                start, stop = store.span(prefix)
                at: int | None = start
                while at is not None:
                    runs, found, at = store.entries(at, stop, prefix, most)
                    got_commons += [common.decode() for common in found]
                    got_objects += [
                        (run.prefix + tail).decode()
                        for run in runs
                        for tail in run.pick(run.table.tails)
                    ]
                assert got_commons == commons
                assert got_objects == objects


@pytest.mark.parametrize("grid", [(10**9,), (10**6, 1000), (1323648, 1, 1, 1), (7, 10**8)])
@pytest.mark.parametrize("separator", ["/", "."])
def test_large_grids_need_no_enumeration(grid: tuple[int, ...], separator: Any) -> None:
    array = FormulaArray("air", grid, KeyEncoding("", separator, len(grid)))
    store = FormulaStore([array], {"air/.zarray": b"{}"})
    ranks = sorted({0, array.cells - 1, *(array.cells * at // 97 for at in range(97))})
    keys = [array.key(rank) for rank in ranks]
    assert keys == sorted(keys)
    assert [array.rank(key) for key in keys] == ranks
    for rank, key in zip(ranks, keys, strict=True):
        index = array.encoding.index(key.removeprefix("air/"))
        assert array.number(rank) == np.ravel_multi_index(index, grid)
    began = time.perf_counter()
    for rank in ranks[:-1]:
        page = store.page(array.key(rank), "air/")
        assert len(page.keys) == 1000 or page.token is None
        assert page.keys == sorted(page.keys)
        assert page.keys[0] == array.key(rank + 1)
    assert time.perf_counter() - began < 2


def test_a_large_empty_range_is_passed_quickly() -> None:
    array = FormulaArray(
        "air", (10**5, 10**5), KeyEncoding("", ".", 2), present=LeadingRange(70_000, 70_001)
    )
    page = FormulaStore([array]).page()
    assert page.keys[0] == "air/70000.0"
    assert page.token is not None


def test_what_clashes_is_refused() -> None:
    array = FormulaArray("a", (3, 3), KeyEncoding("", "/", 2))
    with pytest.raises(ValueError, match="chunk of 'a' and an extra object"):
        FormulaStore([array], {"a/1/2": b""})
    with pytest.raises(ValueError, match="interleave"):
        FormulaStore([array, FormulaArray("a/1", (3, 3), KeyEncoding("", "/", 2))])
    with pytest.raises(ValueError, match="3 dimensions"):
        FormulaArray("a", (3, 3, 3), KeyEncoding("", "/", 2))
    with pytest.raises(ValueError, match="no fault"):
        Fault("quake")  # type: ignore[arg-type]


def test_sizes_are_as_told() -> None:
    numbers = np.arange(100_000)
    sizes = HashedSizes(10, 20)(numbers)
    assert set(sizes.tolist()) == set(range(10, 21))
    assert (HashedSizes()(numbers[1:]) != HashedSizes()(numbers[:-1])).mean() > 0.999
    assert (HashedSizes(zeros=0.1)(numbers) == 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (FormulaArray("a", (9,), KeyEncoding("", ".", 1), size=7).expected_sizes() == 7).all()
    share = HashFraction(0.25)(numbers, (100_000,)).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_root_and_pickle() -> None:
    specs = [("air", (30,), (1,), ("time",))]
    store = zarr_store(specs, 3, "/", root="some/store.zarr", present=Without((3,)))
    again = pickle.loads(pickle.dumps(store))
    for one in (store, again):
        keys = one.page().keys
        assert keys[0] == "some/store.zarr/air/c/0"
        assert keys[-1] == "some/store.zarr/zarr.json"
        assert len(keys) == 31
        assert one.array("air").grid == (30,)
        assert one.root == "some/store.zarr"
    bare = FormulaStore([FormulaArray("", (2,), KeyEncoding("c", "/", 1))], root="x")
    assert bare.page().keys == ["x/c/0", "x/c/1"]


def test_objects_of_the_real_stores() -> None:
    assert field_store("ufs-replay").count("tmp/") == 11_051_540 + 2
    assert field_store("ufs-replay").count("pressfc/") == 87_020 + 2
    assert field_store("arco-era5").count("temperature/") == 761_000 + 2
    assert field_store("nwm").array("depth").count == 50_871
    assert field_store("mur-sst").array("analysed_sst").count == 141_790
    assert field_store("mur-sst").array("time").count == 1_289
    assert field_store("hrrr").array("TMP").count == 96
    assert field_store("aef-shards").array("embeddings").count == 3_111_262
    assert len(FIELD_STORES) == 6


@pytest.mark.parametrize(
    ("zarr_format", "separator", "key_encoding"),
    [(2, ".", ""), (2, "/", ""), (3, "/", "default"), (3, ".", "default"), (3, ".", "v2")],
)
@pytest.mark.parametrize("consolidated", [True, False])
def test_hierarchies_are_zarr(
    zarr_format: int, separator: Any, key_encoding: str, consolidated: bool
) -> None:
    store = zarr_store(
        [("air", (5, 9), (2, 4), ("y", "x")), ("deep/er/sea", (7,), (3,), ("t",))],
        zarr_format,
        separator,
        key_encoding=key_encoding,
        consolidated=consolidated,
        size="exact",
    )
    memory = MemoryStore()
    for key, size in brute_force(store):
        assert size
        memory.put(key, store.get(key))
    root = zarr.open_group(
        zarr.storage.ObjectStore(memory, read_only=True), mode="r", use_consolidated=consolidated
    )
    assert {name for name, _ in root.members(max_depth=None)} == {
        "air",
        "deep",
        "deep/er",
        "deep/er/sea",
    }
    air = root["air"]
    assert (air.shape, air.chunks) == ((5, 9), (2, 4))
    head = "c" + separator if key_encoding == "default" else ""
    chunk = np.frombuffer(store.get(f"air/{head}1{separator}2"), "<f4").reshape(2, 4)
    np.testing.assert_array_equal(air[2:4, 8:], chunk[:, :1])


def test_documents_may_disagree_with_chunks() -> None:
    documents = zarr_documents([("air", (20,), (1,), ("t",))], 3, "/")
    array = FormulaArray("air", (30,), KeyEncoding("c", "/", 1))
    store = FormulaStore([array], documents)
    assert json.loads(store.get("air/zarr.json"))["shape"] == [20]
    assert store.count("air/c/") == 30


# The server ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dirty_server() -> Iterator[tuple[FormulaStore, Server]]:
    store = dirty_store()
    with serve(store, page=100) as server:
        yield store, server


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
    with serve(store, latency=0.2) as server:
        s3 = client(server)

        def first_page(at: int) -> None:
            batch = next(iter(s3.list("air", offset=f"air/{at}", return_arrow=True)))
            assert batch.num_rows == 50

        threads = [threading.Thread(target=first_page, args=(at,)) for at in range(1000, 1064)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.2 < time.perf_counter() - began < 64 * 0.2 / 4
        assert server.counts()["LIST"] == 64
        assert server.counts()["max_in_flight"] > 32


def test_the_process_ends_with_its_context() -> None:
    with serve(dirty_store()) as server:
        pid, port = server.pid, server.port
        assert server.counts()["LIST"] == 0
    with pytest.raises(ConnectionRefusedError):
        Server(port, pid).counts()


# Faults -------------------------------------------------------------------------------------------

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
        s3 = client(server, timeout=timedelta(seconds=0.5))
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
        assert listed(client(server, timeout=timedelta(seconds=0.5)), "air") == ALL
        assert server.counts()["LIST"] == len(PAGES) + 1


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


def test_twin_gives_the_batches_of_obstore(dirty_server: tuple[FormulaStore, Server]) -> None:
    store, server = dirty_server
    for chunk_size in (50, 77, 100, 1000, 10_000):
        server.reset()
        twin = FormulaListing(store, page=100)
        real = client(server).list(chunk_size=chunk_size, return_arrow=True)
        for ours, theirs in zip(
            twin.list(chunk_size=chunk_size, return_arrow=True), real, strict=True
        ):
            assert type(ours) is type(theirs)
            batch = pa.record_batch(ours)
            batch.validate(full=True)
            assert batch.schema.equals(pa.record_batch(theirs).schema, check_metadata=True)
            assert batch.schema == SCHEMA
            assert batch == pa.record_batch(theirs)
            assert twin.requests == server.counts()["LIST"]


@settings(max_examples=40, deadline=None)
@given(arrays(), st.integers(1, 2000), st.integers(1, 300))
def test_twin_is_brute_force(array: FormulaArray, chunk_size: int, page: int) -> None:
    store = FormulaStore([array], {"air/.zattrs": b"{}"})
    expected = brute_force(store)
    twin = FormulaListing(store, page=page)
    assert listed(twin, chunk_size=chunk_size) == expected
    assert twin.requests == max(1, math.ceil(len(expected) / page))
    assert twin.keys == len(expected)


def test_twin_stops_when_its_reader_does() -> None:
    store = zarr_store([("air", (10**6, 1000), (1, 1), ("t", "x"))])
    twin = FormulaListing(store)
    stream = twin.list("air", offset=store.array("air").key(12345), chunk_size=2500)
    assert twin.requests == 0
    assert next(stream).num_rows == 2500
    assert twin.requests == 3
    next(stream)
    assert twin.requests == 5
    stream.close()
    assert twin.keys == 5000
    assert twin.get("air/.zarray") == twin.get("air/.zarray").bytes() == store.get("air/.zarray")
    assert twin.get_range("air/3.3", start=2, length=5) == store.get("air/3.3")[2:7]
    assert twin.get_range("air/3.3", start=2, end=5) == store.get("air/3.3")[2:5]
    assert twin.head("air/3.3")["size"] == store.head("air/3.3")
    with pytest.raises(FileNotFoundError):
        twin.get("air/x")
    twin.reset()
    assert (twin.requests, twin.keys, twin.streams) == (0, 0, 0)
