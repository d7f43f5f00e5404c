"""Record files of small arrays are written more at a time than listings are, as far as they fit."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import MemoryStore

import parchunk
from parchunk.building.effort import Effort
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location


def planned(arrays: int, steps: int) -> parchunk.Plan:
    """Plan so many arrays of ``steps`` chunks."""
    each = [(f"g/a{number}", (steps, 1), (1, 1), ("y", "x")) for number in range(arrays)]
    store = FormulaListing(zarr_store(each, separator="/"))
    return parchunk.plan(parchunk.Source(store=store, url="s3://formula/s"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Waiting(RemoteOutput):
    """Puts no record file before eight are to be put."""

    eight: threading.Barrier = field(default_factory=lambda: threading.Barrier(8))

    def put(self, path: str, data: bytes | memoryview) -> None:
        if path.endswith(".parq"):
            self.eight.wait(60)
        super().put(path, data)


def test_four_for_each_listing_are_written_at_a_time() -> None:
    output = Waiting(Location("memory://out"), MemoryStore(), "out")
    result = parchunk.build(planned(48, 12), output, concurrency=2)
    assert result.present == 48 * 12
    assert not output.eight.broken


def test_no_more_are_written_at_a_time_than_memory_holds() -> None:
    plan = planned(2, 12)
    assert [Effort(concurrency=n).share(plan).writes for n in (1, 8, 16, 100)] == [4, 32, 64, 100]
    assert Effort(concurrency=8, workers=4).share(plan).writes == 8
    # 1.5 MB of rows each: no more than listings.
    assert Effort(concurrency=8).share(planned(2, 4_900)).writes == 8
    assert Effort(concurrency=2).share(planned(2, 4_900)).writes == 5
