"""Inlined chunks within the memory bound, or none is written."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.writing.v2_store import v2_store

import parchunk
from parchunk.cover.inlining import MOST, UNBOUNDED, InlineBound, needed
from parchunk.listing.waiting import Cancelled
from parchunk.writing.inline_room import InlineRoom

pytestmark = pytest.mark.usefixtures("quiet_zarr")


def test_the_memory_of_inlining_is_refused_with_what_would_do(tmp_path: Path) -> None:
    source, out = v2_store(tmp_path / "s.zarr", 600, 100_000), str(tmp_path / "refs")
    options: dict[str, Any] = {"memory": 120 << 20, "concurrency": 2}
    plan = parchunk.plan(str(source), inline_threshold=100_000)
    with pytest.raises(parchunk.InputError, match="600 chunks of 60,000,000 bytes") as refused:
        parchunk.build(plan, out, **options)
    said = str(refused.value)
    assert "\n" not in said
    assert not (tmp_path / "refs/.zmetadata").exists()
    threshold = int(said.split("--inline-threshold ")[1].split()[0])
    lower = parchunk.plan(str(source), inline_threshold=threshold)
    assert (
        sum(r.inlined for r in parchunk.build(lower, out, overwrite=True, **options).receipts) == 0
    )
    shorter = parchunk.plan(str(source), inline_threshold=100_000, record_size=20)
    assert parchunk.build(shorter, out, overwrite=True, **options).present == 600
    memory = int(said.split("give --memory ")[1].split("MiB")[0])
    options["memory"] = memory << 20
    result = parchunk.build(plan, out, overwrite=True, **options)
    assert sum(receipt.inlined for receipt in result.receipts) == 600


def test_whether_there_is_room_says_nothing_else_of_the_bytes(
    tmp_path: Path, tree: Callable[[Path], dict[str, str]]
) -> None:
    source = v2_store(tmp_path / "s.zarr", 40, 300_000)
    plan = parchunk.plan(str(source), inline_threshold=300_000, record_size=10)
    for memory in (110 << 20, 512 << 20):
        parchunk.build(plan, str(tmp_path / f"{memory}"), memory=memory, concurrency=2)
    one, other = (tree(tmp_path / f"{memory}" / "a") for memory in (110 << 20, 512 << 20))
    assert one == other


def test_shards_are_refused_alike(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    size = 100_000
    root.create_array(
        "a", shape=(300 * size,), chunks=(size,), shards=(60 * size,), dtype="u1", compressors=None
    )[...] = 1
    plan = parchunk.plan(str(tmp_path / "s.zarr"), inline_threshold=size)
    with pytest.raises(parchunk.InputError, match="300 chunks of 30,000,000 bytes") as refused:
        parchunk.build(plan, str(tmp_path / "refs"), memory=120 << 20, concurrency=2)
    memory = int(str(refused.value).split("give --memory ")[1].split("MiB")[0])
    result = parchunk.build(plan, str(tmp_path / "refs"), memory=memory << 20, concurrency=2)
    assert sum(receipt.inlined for receipt in result.receipts) == 300


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.integers(0, 1 << 32),
    st.integers(0, 1 << 32), st.integers(1, 8),
)  # fmt: skip
def test_what_is_advised_would_do(sizes: list[int], room: int, least: int, processes: int) -> None:
    bound, found = InlineBound(room, least, processes), np.array(sizes)
    try:
        assert bound.check("a/refs.0.parq", found) <= room
        assert found.sum() <= MOST
    except parchunk.InputError as error:
        said = str(error)
        assert found.sum() > MOST or needed(int(found.sum()), max(sizes)) > room
        lower = found[found <= int(said.split("--inline-threshold ")[1].split()[0])]
        assert len(lower) < len(found)
        if len(lower):
            assert bound.check("a/refs.0.parq", lower) <= room
        if "give --memory" in said:
            memory = int(said.split("give --memory ")[1].split("MiB")[0]) << 20
            more = InlineBound((memory // processes - least) // 2, least, processes)
            assert more.check("a/refs.0.parq", found) <= more.room


def test_more_than_a_record_file_may_hold_is_refused_whatever_the_memory() -> None:
    with pytest.raises(parchunk.InputError, match="more than the 1024 MiB that a record file may"):
        UNBOUNDED.check("a/refs.0.parq", np.full(2_300, 1_000_000))


def test_who_waits_for_room_ends_with_the_build() -> None:
    stop = threading.Event()
    stop.set()  # whoever waits is cancelled
    room = InlineRoom(stop)
    with room.taken(6, 10), room.taken(4, 10), pytest.raises(Cancelled), room.taken(1, 10):
        pass
    with room.taken(10, 10):  # all was given back
        pass


PEAK = """
import sys
import parchunk

def status(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) << 10

small, large, out, memory = sys.argv[1:]
parchunk.build(parchunk.plan(small, inline_threshold=99), out + "-small")  # imports
before = status("VmRSS")
plan = parchunk.plan(large, inline_threshold=10**6)
parchunk.build(plan, out, memory=int(memory), concurrency=2)
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("count", "size"), [(100, 400_000), (20_000, 2_000), (4, 10_000_000)])
def test_the_peak_of_inlining_stays_within_the_bound(tmp_path: Path, count: int, size: int) -> None:
    small = v2_store(tmp_path / "small.zarr", 2, 10)
    large = v2_store(tmp_path / "large.zarr", count, size)
    plan = parchunk.plan(str(large), inline_threshold=10**7)
    with pytest.raises(parchunk.InputError) as refused:
        parchunk.build(plan, str(tmp_path / "none"), memory=150 << 20, concurrency=2)
    memory = int(str(refused.value).split("give --memory ")[1].split("MiB")[0]) << 20
    arguments = [str(small), str(large), str(tmp_path / "refs"), str(memory)]
    script = PEAK.replace("10**6", "10**7")
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )
    assert count * size < int(done.stdout) < memory
