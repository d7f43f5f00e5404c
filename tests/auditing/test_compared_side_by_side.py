"""What an audit compares with the source is listed and read side by side, and told in one order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import Without
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import MemoryStore

import parchunk
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location


def source(listing: FormulaListing) -> parchunk.Source:
    return parchunk.Source(store=listing, url="s3://formula/s")  # type: ignore[arg-type]


def test_arrays_that_have_walks_of_their_own_are_listed_at_the_same_time(tmp_path: Path) -> None:
    three = threading.Barrier(3)

    class Waiting(FormulaListing):
        """Lists no array for the first time before all three are to be listed."""

        def __init__(self, store: FormulaStore) -> None:
            super().__init__(store)
            self.left = {"a", "b", "c"}

        def list(self, prefix: str | None = None, **options: Any) -> Iterator[Any]:
            array = (options.get("offset") or prefix or "")[:1]
            with self._lock:
                first = array in self.left
                self.left.discard(array)
            if first:
                three.wait(60)
            return super().list(prefix, **options)

    def store(missing: int) -> FormulaStore:
        arrays = [(name, (600, 10), (1, 1), ("time", "x")) for name in "abc"]
        present = {name: Without([missing + at]) for at, name in enumerate("abc")}
        return zarr_store(arrays, separator="/", size=9, present=present)

    out = str(tmp_path / "r")
    parchunk.build(parchunk.plan(source(FormulaListing(store(7))), consolidated="only"), out)
    now = source(Waiting(store(4_000)))
    report = parchunk.audit(out, against_source=True, source=now, consolidated="only")
    assert not three.broken
    assert report.comparison is not None
    changed = [
        (one.array, one.new.tolist(), one.gone.tolist()) for one in report.comparison.regions
    ]
    assert changed == [(name, [7 + at], [4_000 + at]) for at, name in enumerate("abc")]


def test_record_files_of_small_arrays_are_read_at_the_same_time() -> None:
    four = threading.Barrier(4)

    class Waiting(RemoteOutput):
        def get(self, path: str) -> bytes | None:
            if path.endswith("refs.0.parq"):
                four.wait(60)
            return super().get(path)

    arrays = [(f"g/a{n}", (8, 12), (1, 1), ("time", "x")) for n in range(12)]
    here = source(FormulaListing(zarr_store(arrays, separator="/", size=9)))
    output = RemoteOutput(Location("memory://out"), MemoryStore(), "out")
    parchunk.build(parchunk.plan(here), output)
    now = source(
        FormulaListing(
            zarr_store(arrays, separator="/", size=9, present={"g/a11": Without([95])})
        )
    )  # fmt: skip
    waiting = Waiting(output.location, output.store, output.prefix)
    report = parchunk.audit(waiting, against_source=True, source=now)
    assert report.comparison is not None
    (changed,) = report.comparison.regions
    assert (changed.array, changed.gone.tolist()) == ("g/a11", [95])
