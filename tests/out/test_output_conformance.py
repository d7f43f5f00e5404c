"""What an Output promises, of the folder and of the object stores alike."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from instruments.recorder import CLOUDS, recorder
from instruments.s3_server import S3Bucket
from obstore.store import MemoryStore

from parchunk.out.opening import open_output
from parchunk.out.output import LEASE, NEXT, PLAN, RECEIPTS, ROOT, STRAYS, Output, clearing_order
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location

KINDS = ["local", "memory", pytest.param("s3", marks=pytest.mark.s3), "gs", "az"]
#: Names that arrays have, and what stands in their files' names.
NAMES = [
    "t/refs.0.parq", "deep/er/t/refs.10.parq", "air temp/x", "Ä/ñ", "a+b=c&d/x", "50%/%41", "#1/x",
    "[a]*/x", "q?/x", "~/x", "a'b\"c/x", "emoji 🌍/x", "..t/.x", "t./x", "back\\slash/x", "n" * 200,
]  # fmt: skip


@pytest.fixture(params=KINDS)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    """An OUT that is not there yet."""
    if request.param in CLOUDS and request.param != "s3":
        (tmp_path / "served" / "bucket").mkdir(parents=True)
        with recorder(tmp_path / "served") as server:
            server.modified, server.page = None, 5
            options = CLOUDS[request.param](server.endpoint)
            yield open_output(f"{request.param}://bucket/some where/out", options)
        return
    yield _elsewhere(request, tmp_path)


def _elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "local":
        return open_output(tmp_path / "some where" / "out")
    if request.param == "memory":
        return RemoteOutput(Location("memory://some where/out"), MemoryStore(), "some where/out")
    bucket: S3Bucket = request.getfixturevalue("bucket")
    return open_output(f"s3://{bucket.name}/some where/out", bucket.options)


def test_what_is_put_is_got(output: Output) -> None:
    output.prepare()
    for data in (b"", b"one", b"another", bytes(range(256)) * 40):
        output.put("t/refs.0.parq", data)
        assert output.get("t/refs.0.parq") == data
    output.put("t/refs.0.parq", memoryview(b"a view")[2:])
    assert output.get("t/refs.0.parq") == b"view"
    assert output.paths() == ["t/refs.0.parq"]
    assert output.sizes("t") == {"t/refs.0.parq": 4 if output.costs_requests else None}
    assert output.sizes("other") == {}


def test_an_object_store_gets_as_many_writes_at_once_as_there_may_be(output: Output) -> None:
    output.prepare()
    most = output.writes_at_once(8)
    assert most == 8 if output.costs_requests else 1 <= most <= 8
    assert output.paths() == []


@pytest.mark.parametrize("output", KINDS[:-2], indirect=True)  # that server takes none in parts
def test_big_objects(output: Output) -> None:
    output.prepare()
    data = os.urandom(24 << 20)
    output.put("t/refs.0.parq", data)
    assert output.get("t/refs.0.parq") == data
    found = output.stat("t/refs.0.parq")
    assert found is not None
    assert found[0] == len(data)


@pytest.mark.parametrize("name", NAMES)
def test_names_with_odd_characters(output: Output, name: str) -> None:
    output.prepare()
    output.put(name, b"here")
    output.put(f"{name}2", b"beside it")
    assert output.get(name) == b"here"
    assert output.paths() == sorted([name, f"{name}2"])
    folder = name.rpartition("/")[0]
    assert output.paths(folder) == sorted([name, f"{name}2"])
    output.delete(name)
    assert output.get(name) is None
    assert output.paths() == [f"{name}2"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_moved_replaces_what_is_there(output: Output, name: str) -> None:
    output.prepare()
    output.put(name, b"new")
    output.move(name, "t/there")
    assert output.get("t/there") == b"new"
    assert output.get(name) is None
    output.move(name, "t/there")  # done already
    assert output.paths() == ["t/there"]
    output.put(name, b"newer")
    output.move(name, "t/there")
    assert output.get("t/there") == b"newer"


def test_a_folder_of_it_is_an_output(output: Output) -> None:
    output.prepare()
    inner = output.below(NEXT)
    inner.prepare()
    inner.put("t/refs.0.parq", b"one")
    inner.put(ROOT, b"root")
    assert output.paths() == [f"{NEXT}/{ROOT}", f"{NEXT}/t/refs.0.parq"]
    assert inner.paths() == [ROOT, "t/refs.0.parq"]
    assert inner.describe(ROOT) == output.describe(f"{NEXT}/{ROOT}")
    inner.tidy()
    output.move(f"{NEXT}/t/refs.0.parq", "t/refs.0.parq")
    assert output.get("t/refs.0.parq") == b"one"


def test_a_folder_is_no_prefix_of_a_name(output: Output) -> None:
    output.prepare()
    for path in ("air/x.parq", "air_temp/x.parq", "air/deep/y.json", "airy"):
        output.put(path, b"")
    assert output.paths("air") == ["air/deep/y.json", "air/x.parq"]
    assert output.paths("ai") == []
    assert output.holds("air", ".json")
    assert not output.holds("air_temp", ".json")
    assert not output.holds("ai", ".parq")


@pytest.mark.parametrize("output", KINDS[:-2], indirect=True)  # that server has small pages
def test_many_objects_are_all_listed(output: Output) -> None:
    output.prepare()
    wanted = sorted(f"t/refs.{number}.parq" for number in range(1010))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: output.put(path, b""), wanted))
    assert output.paths("t") == output.paths() == wanted


def test_missing_things(output: Output) -> None:
    for path in ("t/refs.0.parq", ROOT, LEASE):
        assert output.get(path) is None
        assert output.get_version(path) is None
        assert output.stat(path) is None
        output.delete(path)
        output.delete_if(path, "version")
    assert output.paths() == output.paths("t") == []
    assert not output.holds("t", ".parq")
    output.clear(["t/refs.0.parq", ROOT])
    output.tidy()
    assert output.is_empty()


def test_opening_makes_nothing_and_preparing_can_be_repeated(output: Output) -> None:
    assert output.is_empty()
    assert not Path(output.url).exists()
    for _ in range(2):
        output.prepare()
        assert output.is_empty()
        assert output.paths() == []
    output.put(ROOT, b"{}")
    assert not output.is_empty()
    output.prepare()
    assert output.get(ROOT) == b"{}"


def test_a_lease_alone_is_an_empty_out(output: Output) -> None:
    version = output.put_if(LEASE, b"{}", None)
    assert version is not None
    assert output.is_empty()
    output.delete_if(LEASE, version)
    assert output.is_empty()
    output.put_if(LEASE, b"{}", None)
    output.prepare()
    output.put("mine", b"")
    assert not output.is_empty()


def test_tidying_leaves_what_was_written(output: Output) -> None:
    output.prepare()
    output.put("t/refs.0.parq", b"x")
    output.tidy()
    assert output.paths() == ["t/refs.0.parq"]
    output.prepare()
    output.put("t/refs.1.parq", b"y")
    assert output.get("t/refs.1.parq") == b"y"


def test_size_and_time(output: Output) -> None:
    output.prepare()
    output.put("x", b"12345")
    found = output.stat("x")
    assert found is not None
    assert found[0] == 5
    assert abs(found[1] - datetime.now(UTC)) < timedelta(hours=1)


def test_create_only_what_is_not_there(output: Output) -> None:
    first = output.put_if(LEASE, b"one", None)
    assert first is not None
    assert output.put_if(LEASE, b"two", None) is None
    assert output.get_version(LEASE) == (b"one", first)
    assert output.try_condition(LEASE, b"two") == (True, None)
    assert output.get(LEASE) == b"one"


def test_replace_only_the_version_that_was_seen(output: Output) -> None:
    first = output.put_if(LEASE, b"one", None)
    assert first is not None
    second = output.put_if(LEASE, b"two", first)
    assert second not in (None, first)
    assert output.put_if(LEASE, b"three", first) is None
    assert output.get_version(LEASE) == (b"two", second)
    output.delete_if(LEASE, first)
    assert output.get(LEASE) == b"two"
    assert second is not None
    output.delete_if(LEASE, second)
    assert output.get(LEASE) is None
    assert output.put_if(LEASE, b"four", second) is None
    assert output.get(LEASE) is None


def side_by_side(acts: list[Callable[[], object]]) -> None:
    """Run all of these at once."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        start.wait()
        act()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_many_creates_one_succeeds(output: Output) -> None:
    won: list[bytes] = []

    def create(data: bytes) -> None:
        if output.put_if(LEASE, data, None) is not None:
            won.append(data)

    side_by_side([lambda n=n: create(b"%d" % n) for n in range(8)])
    assert len(won) == 1
    assert output.get(LEASE) == won[0]


def test_of_many_replacements_one_succeeds(output: Output) -> None:
    first, won = output.put_if(LEASE, b"first", None), []

    def replace(data: bytes) -> None:
        if output.put_if(LEASE, data, first) is not None:
            won.append(data)

    side_by_side([lambda n=n: replace(b"%d" % n) for n in range(8)])
    assert len(won) == 1
    assert output.get(LEASE) == won[0]


def test_objects_are_always_whole(output: Output) -> None:
    output.prepare()
    whole = {bytes([65 + n]) * (300_000 + n) for n in range(4)}
    output.put("x", max(whole))
    over = threading.Event()
    seen: set[bytes | None] = set()

    def read() -> None:
        until = time.monotonic() + 20
        while not over.is_set() and time.monotonic() < until:
            seen.add(output.get("x"))
            seen.update(() if output.paths() == ["x"] else (b"something half-written",))

    def write() -> None:
        side_by_side([lambda data=data: output.put("x", data) for data in whole])
        over.set()

    side_by_side([read, write])
    assert seen <= whole
    assert output.get("x") in whole


def test_two_may_write_side_by_side(output: Output) -> None:
    output.prepare()
    paths = [f"{array}/refs.{number}.parq" for array in ("a", "deep/b") for number in range(8)]
    side_by_side([lambda path=path: output.put(path, path.encode()) for path in paths])
    assert output.paths() == sorted(paths)
    assert all(output.get(path) == path.encode() for path in paths)


def test_clearing_deletes_what_it_is_given(output: Output) -> None:
    output.prepare()
    paths = [PLAN, f"{RECEIPTS}/t/0.json", f"{STRAYS}/t/0.parquet", "t/refs.0.parq", ROOT, "mine"]
    for path in paths:
        output.put(path, b"x")
    output.clear(paths[:-1])
    assert output.paths() == ["mine"]
    output.clear(iter(["mine"]))
    assert output.is_empty()


def test_order_of_clearing() -> None:
    paths = [PLAN, "t/refs.0.parq", f"{STRAYS}/t/0.parquet", f"{RECEIPTS}/t/0.json", ROOT]
    ordered = [ROOT, f"{RECEIPTS}/t/0.json", f"{STRAYS}/t/0.parquet", "t/refs.0.parq", PLAN]
    assert clearing_order(paths) == ordered


def test_a_task_can_take_it_elsewhere(output: Output) -> None:
    if isinstance(output, RemoteOutput) and isinstance(output.store, MemoryStore):
        pytest.skip("what is in one process's memory stays there")
    output.prepare()
    output.put("x", b"1")
    again: Output = pickle.loads(pickle.dumps(output))
    assert again.get("x") == b"1"
    assert again.url == output.url


def test_an_output_that_is_open_is_taken_as_it_is(output: Output) -> None:
    assert open_output(output) is output
    assert output.describe() == output.url
    assert output.describe("t/x") == f"{output.url}/t/x"
