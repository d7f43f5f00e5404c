"""Answers that never come: what reads metadata ends by itself, and names the key."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import obstore
import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.cli.build import command
from parchunk.listing.batches import Batches, Stalled
from parchunk.stores.answering import UnansweredError, answer
from parchunk.stores.hanging import Hanging, Request
from parchunk.workers.here import Here


@contextmanager
def source_that_hangs(*faults: Fault) -> Iterator[parchunk.Source]:
    """Serve a store to a client whose own time-out is an hour."""
    store = zarr_store([("t", (40,), (1,), ("time",))], zarr_format=3)
    with serve(store, faults=faults, process=False) as server:
        kwargs = server.store_kwargs() | {"retry_config": {"max_retries": 0}}
        kwargs["client_options"] = {"allow_http": True, "timeout": "1h"}
        opened = S3Store(server.bucket, **kwargs)
        yield parchunk.Source(opened, "", "s3://formula", quiet=1.5)


def check_refused(source: parchunk.Source, said: str) -> None:
    """Plan, and be told what never comes: again, where on a busy machine another thing did not."""
    for _ in range(5):
        with pytest.raises(parchunk.SourceError, match=r": no answer came for 1\.5 s") as error:
            parchunk.plan(source)
        if said in str(error.value):
            return
    raise error.value


@pytest.mark.parametrize("key", ["zarr.json", "t/zarr.json"])
def test_metadata_that_never_comes_is_an_error_that_names_it(key: str) -> None:
    hang = Fault("hang", times=None, on="GET", within=key)
    with source_that_hangs(hang) as source:
        check_refused(source, f"cannot read s3://formula/{key}: no answer came")


def test_a_listing_of_groups_that_never_comes_is_one_too() -> None:
    with source_that_hangs(Fault("hang", times=None)) as source:
        check_refused(source, "cannot list s3://formula: no answer came")


def test_metadata_that_is_late_once_while_publishing_is_waited_for(tmp_path: Path) -> None:
    late = Fault("hang", first=2, on="GET", seconds=0.01)
    store = zarr_store([("t", (40,), (1,), ("time",))], zarr_format=3)
    with serve(store, faults=[late], process=False) as server:
        source = parchunk.Source(S3Store(server.bucket, **server.store_kwargs()), "", "s3://f")
        assert parchunk.build(parchunk.plan(source), str(tmp_path / "out")).present == 40


def test_what_is_asked_for_is_returned_or_raised() -> None:
    assert answer(lambda: 3, 10) == 3
    assert answer(lambda: None, 10) is None
    with pytest.raises(FileNotFoundError):
        answer(lambda: obstore.get(obstore.store.MemoryStore(), "none"), 10)


def test_what_never_comes_is_left() -> None:
    over = threading.Event()
    try:
        with pytest.raises(UnansweredError, match=r"no answer came for 0\.01 s"):
            answer(over.wait, 0.01)
    finally:
        over.set()


def test_one_thread_asks_for_one_thing_after_another() -> None:
    threads = {answer(threading.current_thread, 10) for _ in range(20)}
    with ThreadPoolExecutor(4) as pool:
        barrier = threading.Barrier(4)
        together = [
            pool.submit(answer, lambda: (barrier.wait(60), threading.current_thread())[1], 60)
            for _ in range(4)
        ]
        apart = {one.result() for one in together}
    assert len(threads) == 1
    assert len(apart) == 4


def test_a_thread_that_was_left_is_not_asked_again() -> None:
    over, late = threading.Event(), []
    with pytest.raises(UnansweredError):
        answer(lambda: (over.wait(60), late.append(threading.current_thread())), 0.01)
    over.set()
    # Not by their numbers: one that has ended leaves its own to the next.
    others = {answer(threading.current_thread, 10) for _ in range(20)}
    while not late:
        over.wait(0.01)
    assert not others & set(late)


def idle() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name == "answer"}


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    """Return the count of what hangs of one test: others may have left requests behind."""
    fresh = Hanging()
    for module in ("stores.hanging", "stores.answering", "listing.batches"):
        monkeypatch.setattr(f"parchunk.{module}.HANGING", fresh)
    return fresh


def test_one_who_is_interrupted_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that is: amid the request, or when it has been answered."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for place in ("_Askers.give", "_Asker.ask"):
        before = idle()
        with monkeypatch.context() as patched:
            patched.setattr(f"parchunk.stores.answering.{place}", interrupt)
            # Others that are idle are taken first.
            for _ in range(len(before) + 3):
                with pytest.raises(KeyboardInterrupt):
                    answer(lambda: None, 10)
        gc.collect()
        # Those of before may be of requests that other tests left hanging.
        for one in idle() - before:
            one.join(60)
        assert not idle() - before, place


def test_no_more_requests_hang_than_may(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("parchunk.stores.hanging.MOST", 5)
    try:
        said = []
        for _ in range(7):
            with pytest.raises(UnansweredError) as found:
                answer(over.wait, 0.01)
            said.append("no more are begun" in str(found.value))
        assert said == [False] * 5 + [True] * 2
        with pytest.raises(Stalled, match="no more are begun"):
            Batches(lambda: iter(()), 10, over)
    finally:
        over.set()
    while hanging.is_full():
        threading.Event().wait(0.01)
    assert answer(lambda: 3, 10) == 3
    assert list(Batches(lambda: iter("ab"), 10, threading.Event())) == ["a", "b"]


def test_a_build_that_was_stopped_keeps_none_from_asking(hanging: Hanging) -> None:
    """All its listings were left under way, and may be answered a moment later."""
    (most,) = (one.type.max for one in command.params if one.name == "concurrency")
    left = [Request() for _ in range(most)]
    try:
        for one in left:
            one.leave()
        assert not hanging.is_full()
        assert answer(lambda: 3, 10) == 3
    finally:
        for one in left:
            one.end()


def test_a_listing_that_hangs_counts_until_it_ends(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr("parchunk.stores.hanging.MOST", 1)
    before = set(threading.enumerate())

    def hang() -> Iterator[str]:
        over.wait(30)
        yield "late"

    with pytest.raises(Stalled, match="nothing came"):
        next(iter(Batches(hang, 0.01, threading.Event())))
    assert hanging.is_full()
    over.set()
    for one in set(threading.enumerate()) - before:
        one.join(60)
    assert not hanging.is_full()


@pytest.mark.parametrize(
    "asked",
    [
        lambda ask: answer(ask, 10),
        lambda ask: next(iter(Batches(ask, 10, threading.Event()))),
        lambda ask: Here().submit(ask).result(),
    ],
    ids=["answer", "batches", "here"],
)
def test_what_is_raised_holds_nothing_once_it_is_caught(asked: Callable[..., Any]) -> None:
    class Held:
        pass

    def ask(held: Held) -> None:
        raise FileNotFoundError(held is None)

    def asks() -> weakref.ref[Held]:
        held = Held()
        with suppress(FileNotFoundError):
            asked(lambda: ask(held))
        return weakref.ref(held)

    gc.collect()
    gc.disable()
    try:
        held = asks()
        until = time.monotonic() + 60
        while held() is not None and time.monotonic() < until:  # a thread that asked ends
            time.sleep(0.001)
        assert held() is None
    finally:
        gc.enable()
