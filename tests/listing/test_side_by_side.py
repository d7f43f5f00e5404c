"""Walks of several arrays at once: together in time, and none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.listing.pages import PAGE_ROWS
from parchunk.listing.walker import batch_rows


class Watched(FormulaListing):
    """A listing that notes in which order walks begin, and whose walk of ``slow`` waits.

    A walk is known by where it begins: its prefix and its offset.
    """

    def __init__(self, store: FormulaStore, slow: tuple[str, str | None] | None = None) -> None:
        super().__init__(store)
        self.slow = slow
        self.others_done = threading.Event()
        self.begun: list[tuple[str, str | None]] = []

    def list(
        self, prefix: str | None = None, *, offset: str | None = None, **options: Any
    ) -> Iterator[Any]:
        """Iterate over batches; the slow walk's come when all else is done."""
        began = (prefix or "", offset)
        self.begun.append(began)
        batches = super().list(prefix, offset=offset, **options)
        return self._late(batches) if began == self.slow else batches

    def _late(self, batches: Iterator[Any]) -> Iterator[Any]:
        assert self.others_done.wait(250), "the others waited for this walk"
        yield from batches


class Panic(BaseException):
    """What PyO3 makes of a panic in Rust: no Exception."""


class Panicking(FormulaListing):
    """A listing that panics once it is ``armed``."""

    armed = False

    def list(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """Iterate over batches, or panic."""
        if self.armed:
            raise Panic
        return super().list(*arguments, **options)


LARGE = [(name, (150_000,), (1,), ("time",)) for name in ("a", "b", "c")]
SMALL = [(f"a{n:03}", (960,), (1,), ("x",)) for n in range(60)]


def plan_of(listing: FormulaListing) -> parchunk.Plan:
    source = parchunk.Source(listing, "", "s3://b")  # type: ignore[arg-type]
    return parchunk.plan(source, region=10_000)


def test_arrays_of_a_region_are_listed_near_each_other_in_time(tmp_path: Path) -> None:
    listing = Watched(zarr_store(LARGE))
    parchunk.build(plan_of(listing), str(tmp_path / "r"), concurrency=2)
    turns = {name: [i for i, (p, _) in enumerate(listing.begun) if p == name] for name in "abc"}
    walks = len(turns["a"])
    assert walks == len(turns["b"]) == len(turns["c"]) >= 7
    # Not one array after another: each is at about the same place of its keys as the others.
    places = zip(*turns.values(), strict=True)
    apart = sorted(max(at) - min(at) for at in places)
    # But for one: a thread that this machine keeps waiting begins its walk after all others'.
    assert apart[-2] < 12, "some windows of four walks"
    assert turns["c"][0] < turns["a"][-1]


@pytest.mark.parametrize(
    ("arrays", "slow", "waiting"),
    [
        # A window of four of a's seven walks waits for the first; all of b and c is done.
        (LARGE, ("a", None), 15),
        # The first of some bundles.
        (SMALL, ("", "a000.~"), 20),
    ],
    ids=["large arrays", "bundles"],
)
def test_a_slow_walk_holds_no_other_array_back(
    tmp_path: Path, arrays: list[Any], slow: tuple[str, str | None], waiting: int
) -> None:
    listing = Watched(zarr_store(arrays), slow)
    plan = plan_of(listing)

    def look(progress: parchunk.Progress) -> None:
        if progress.partitions >= progress.partitions_total - waiting:
            listing.others_done.set()

    result = parchunk.build(plan, str(tmp_path / "r"), concurrency=2, progress=look)
    assert listing.others_done.is_set()
    assert slow in listing.begun
    assert result.missing == 0


@pytest.mark.parametrize(("listings", "rows"), [(1, 10_000), (16, 10_000), (128, 1_250)])
def test_many_gather_less_each(listings: int, rows: int) -> None:
    assert batch_rows(listings) == rows
    assert batch_rows(1024) == PAGE_ROWS  # a page is whole, always


@pytest.mark.parametrize("arrays", [LARGE, SMALL])
def test_a_panic_in_a_library_is_not_waited_for(tmp_path: Path, arrays: list[Any]) -> None:
    listing = Panicking(zarr_store(arrays))
    plan = plan_of(listing)
    listing.armed = True
    with pytest.raises(Panic):
        parchunk.build(plan, str(tmp_path / "r"))
