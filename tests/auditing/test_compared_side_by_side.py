"""What an audit compares with the source is listed and read side by side, and told in one order."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import Without
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import MemoryStore

import parchunk
from parchunk.auditing.source_contents import Contradicted
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


def test_nothing_is_summed_up_of_partitions_that_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many arrays they are nearly all, with a gap or without."""
    joined: list[int] = []
    sum_up = Contradicted.joined

    def counting(found: Sequence[Contradicted]) -> Contradicted:
        joined.append(len(found))
        return sum_up(found)

    monkeypatch.setattr(Contradicted, "joined", staticmethod(counting))
    arrays = [(f"g/a{n}", (8, 12), (1, 1), ("time", "x")) for n in range(12)]
    gaps = {f"g/a{n}": Without([n]) for n in range(4)}

    def store(present: dict[str, Without], size: int = 9) -> parchunk.Source:
        return source(FormulaListing(zarr_store(arrays, separator="/", size=size, present=present)))

    out = str(tmp_path / "r")
    parchunk.build(parchunk.plan(store(gaps)), out)
    report = parchunk.audit(out, against_source=True, source=store(gaps))
    assert report.comparison is not None
    assert not report.comparison.regions
    assert not joined
    now = store({**gaps, "g/a1": Without([2, 95]), "g/a7": Without([5])})
    report = parchunk.audit(out, against_source=True, source=now)
    assert report.comparison is not None
    found = [(one.array, one.new.tolist(), one.gone.tolist()) for one in report.comparison.regions]
    assert found == [("g/a1", [1], [2, 95]), ("g/a7", [], [5])]
    assert len(joined) == 2
    report = parchunk.audit(out, against_source=True, source=store(gaps, 8))
    assert report.comparison is not None
    resized = [len(one.resized) for one in report.comparison.regions]
    assert sorted(resized) == [95] * 4 + [96] * 8
