"""What is raised holds nothing of what was under way: no sizes, no threads, no connections."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.zarr_stores import zarr_store
from tests.made import source_of

import parchunk
from parchunk.arguments.lenient import lenient
from parchunk.listing.patience import Patience

#: What holds much: sizes of chunks, threads, connections, and all that a job has made.
HEAVY = {"Tally", "SizeVector", "Pools", "Run", "ReadyJobs", "Server", "Connection"}

LARGE = zarr_store([("v", (58, 200), (1, 1), ("time", "x"))])
SMALL = zarr_store([(f"v{at:02}", (400,), (1,), ("time",)) for at in range(30)])


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def heavy() -> Counter[str]:
    kinds = [type(one) for one in gc.get_objects()]
    ours = Counter(kind.__name__ for kind in kinds if str(kind.__module__).startswith("parchunk."))
    return Counter({name: ours[name] for name in HEAVY})


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("store", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("listing", ["wire", "obstore"])
def test_a_build_that_fails_leaves_nothing_to_the_garbage_collector(
    tmp_path: Path, store: FormulaStore, listing: str
) -> None:
    """Each of its walks fails, and one of them is told of."""
    fault = Fault("503", first=4, times=None, on="LIST")
    with source_of(store, fault, listing=listing) as (server, source):
        plan = parchunk.plan(source, region=20, consolidated="only")  # lists nothing
        before = heavy()
        for attempt in range(2):
            out, patience = tmp_path / str(attempt), Patience(2, 0.01, 0.02)
            with pytest.raises(parchunk.ListingError, match="503"):
                parchunk.build(plan, out, patience=patience, concurrency=4)
        assert sum(server.counts()["faults"].values()) >= 2
        assert heavy() <= before


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("store", [LARGE, SMALL], ids=["large", "small"])
def test_walks_that_are_given_up_leave_nothing_to_it_either(
    tmp_path: Path, store: FormulaStore
) -> None:
    """Where a store does not list in order, all is listed again."""
    with source_of(store, Fault("reverse", first=2, on="LIST")) as (_, source):
        plan = parchunk.plan(source, region=20, consolidated="only")
        before = heavy()
        result = parchunk.build(plan, tmp_path / "out", concurrency=4)
        assert any("does not list in order" in note for note in result.notes)
        assert heavy() <= before


def frames_of(error: BaseException) -> list[FrameType]:
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame)
        trace = trace.tb_next
    return found


@pytest.mark.parametrize("kind", [KeyboardInterrupt, parchunk.OutputError])
def test_frames_hold_nothing_though_what_was_raised_is_kept(kind: type[BaseException]) -> None:
    """As a notebook keeps the last one, until there is another."""

    def fail(held: str) -> None:
        try:
            raise LookupError(held)
        except LookupError as error:
            raise kind(held) from error

    @lenient
    def build(plan: str) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(fail, plan).result()

    with pytest.raises(kind) as raised:
        build("store")
    assert raised.value.__cause__ is not None
    mine, call, *within = frames_of(raised.value)
    assert "raised" in mine.f_locals
    assert call.f_locals["args"] == ("store",)
    assert len(within) > 3
    assert not any(dict(one.f_locals) for one in within + frames_of(raised.value.__cause__))


def test_what_its_caller_handles_is_the_callers(tmp_path: Path) -> None:
    def mine() -> None:
        kept = "mine"
        raise LookupError(kept)

    def again() -> None:
        try:
            mine()
        except LookupError:
            parchunk.build(tmp_path / "none", tmp_path / "out")

    with pytest.raises(parchunk.ParchunkError) as raised:
        again()
    before = raised.value.__context__
    while not isinstance(before, LookupError):
        assert before is not None
        before = before.__context__
    assert frames_of(before)[-1].f_locals == {"kept": "mine"}
