"""Of parts that begin at once one sorts the inventory; the others wait for it, or take over."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from obstore.store import MemoryStore

import parchunk
from parchunk.inventories.sorted_objects import Origin
from parchunk.out import sorting_turn as module
from parchunk.out.holder import Holder
from parchunk.out.kept_rows import forget_rows, keep_rows
from parchunk.out.opening import open_output
from parchunk.out.output import SORTING, Output
from parchunk.out.remote import RemoteOutput
from parchunk.out.sorting_turn import sorting_turn
from parchunk.stores.opening import Location

ORIGIN = Origin(("some.csv",), None, ("4 bytes",), ("memory://s", "s"))


@pytest.fixture(params=["local", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "local":
        return open_output(str(tmp_path / "out"))
    return RemoteOutput(Location("memory://out"), MemoryStore(), "out")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.02)


@pytest.fixture
def source() -> parchunk.Source:
    rows = pa.table({"key": ["s/zarr.json", "s/t/c/0"], "size": [3, 4]})
    taken = datetime(2020, 1, 1, tzinfo=UTC)
    made = parchunk.Source(MemoryStore(), "s", "memory://s", objects=rows, objects_taken=taken)
    return replace(made, objects=replace(made.objects, origin=ORIGIN))


def write_turn(output: Output, **changes: object) -> Holder:
    with sorting_turn(ORIGIN, "none", output) as turn:
        assert turn.lease is not None
        holder = Holder.decode(output.get(SORTING) or b"")
    assert holder is not None
    holder = replace(holder, **changes)  # type: ignore[arg-type]
    output.prepare()
    output.put(SORTING, holder.encode())
    return holder


def test_of_many_one_sorts(output: Output, source: parchunk.Source) -> None:
    start, sorting = threading.Barrier(5), []

    def part(number: int) -> str:
        start.wait()
        with sorting_turn(ORIGIN, "none", output) as turn:
            if turn.rows is None:
                assert turn.lease is not None
                sorting.append(number)
                assert output.is_empty()  # a build may begin in it
                time.sleep(0.1)
                keep_rows(source, output)
                turn.end()
                assert output.get(SORTING) is None
                return source.objects.digest
            return turn.rows.digest

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(part, range(5))) == {source.objects.digest}
    assert len(sorting) == 1
    forget_rows(output)
    assert output.is_empty()


@pytest.mark.parametrize("how", ["dead", "expired", "expiring"])
def test_one_that_was_killed_is_taken_over(
    output: Output, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 60
    changes = {
        "dead": {"host": socket.gethostname(), "pid": 2**22 + 1, "expires": later},
        "expired": {"host": "elsewhere", "expires": time.time() - 9, "lasts": 0.0},
        # Not how long it lasts: by OUT's clock that is from when it is written, however late.
        "expiring": {"host": "elsewhere", "expires": time.time() + 0.3, "lasts": 0.0},
    }[how]
    killed = write_turn(output, **changes)
    with sorting_turn(ORIGIN, "none", output) as turn:
        assert turn.rows is None
        assert turn.lease is not None
        holder = Holder.decode(output.get(SORTING) or b"")
        assert holder is not None
        assert holder.id == turn.lease.id != killed.id
        # Taken is said to the millisecond.
        assert holder.taken > (killed.expires - 0.01 if how == "expiring" else 0)
    assert output.get(SORTING) is None


def test_one_whose_clock_is_behind_is_left_alone(output: Output) -> None:
    """By the clock of OUT's store it lasts, and both sort."""
    changes = {"host": "elsewhere", "expires": time.time() - 9, "lasts": 30.0}
    other = write_turn(output, **changes)
    with sorting_turn(ORIGIN, "none", output) as turn:
        assert (turn.rows, turn.lease) == (None, None)
    left = Holder.decode(output.get(SORTING) or b"")
    assert left is not None
    assert replace(left, lasts=other.lasts) == other


def begun_meanwhile(output: Output, origin: Origin) -> module.Turn:
    """Begin as another part, and come out of it at once; return what it begins with."""
    with sorting_turn(origin, "none", output) as found:
        return replace(found)


def test_where_it_failed_nobody_waits_for_the_next(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, wait = threading.Event(), module._wait_for

    def noted(holder: Holder, where: Output) -> None:
        waiting.set()
        wait(holder, where)

    monkeypatch.setattr(module, "_wait_for", noted)
    with ThreadPoolExecutor(1) as pool, sorting_turn(ORIGIN, "none", output) as turn:
        begun = pool.submit(begun_meanwhile, output, ORIGIN)
        assert waiting.wait(250)
        assert not begun.done()
        turn.end()
        found = begun.result()
    assert (found.rows, found.lease) == (None, None)


def test_nobody_waits_for_another_inventory(output: Output) -> None:
    with sorting_turn(ORIGIN, "none", output) as turn:
        assert turn.lease is not None
        for marks in ("5 bytes", ""):  # another one, and one that cannot be told from others
            found = begun_meanwhile(output, replace(ORIGIN, marks=(marks,)))
            assert (found.rows, found.lease) == (None, None)


def test_one_that_has_lost_its_turn_goes_on(output: Output, source: parchunk.Source) -> None:
    """As where it was stopped: another took over, and both keep the same rows."""
    with sorting_turn(ORIGIN, "none", output) as turn:
        assert turn.lease is not None
        output.delete(SORTING)
        with sorting_turn(ORIGIN, "none", output) as other:
            assert other.lease is not None
            keep_rows(source, output)
            turn.end()
            assert output.get(SORTING) is not None  # that of the other
    with sorting_turn(ORIGIN, "none", output) as third:
        assert third.rows is not None
