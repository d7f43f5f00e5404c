"""Looks at OUT are side by side where each is a request, few are held, and all come in order."""

from __future__ import annotations

import threading
from pathlib import Path

from obstore.store import MemoryStore
from tests.many_small import write_arrays

import parchunk
from parchunk.out.opening import open_output
from parchunk.out.remote import RemoteOutput
from parchunk.out.side_by_side import AT_ONCE, of_each
from parchunk.stores.opening import Location


def in_memory() -> RemoteOutput:
    return RemoteOutput(Location("memory://out"), MemoryStore(), "out")


def test_they_come_in_order_and_no_more_are_ahead_than_are_held(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(3 * AT_ONCE + 1)]
    for output, ahead in ((in_memory(), AT_ONCE), (open_output(tmp_path / "out"), 1)):
        looked: list[str] = []

        def look(name: str, looked: list[str] = looked) -> str:
            looked.append(name)
            return name

        for at, name in enumerate(of_each(output, look, names)):
            assert name == names[at]
            assert len(looked) <= at + ahead
        assert sorted(looked) == sorted(names)


def test_an_audit_lists_the_folders_of_many_arrays_at_a_time(tmp_path: Path) -> None:
    four = threading.Barrier(4)

    class Waiting(RemoteOutput):
        def paths(self, below: str = "") -> list[str]:
            if below in plan.by_name:
                four.wait(60)
            return super().paths(below)

    plan = parchunk.plan(write_arrays(tmp_path / "s.zarr"), include=["g0/*", "g1/*"])
    assert len(plan.arrays) == 12
    output = in_memory()
    parchunk.build(plan, output)
    output.put("g0/a0/refs.7.parq", b"no")
    waiting = Waiting(output.location, output.store, output.prefix)
    (found,) = parchunk.audit(waiting).findings
    assert (found.kind, found.key) == ("extra-file", "g0/a0/refs.7.parq")
