"""Indexes of shards that are so long that they are read part by part."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.writing.shards import (
    DAMAGE,
    LITTLE,
    WIDTH,
    Case,
    Changing,
    cases,
    check,
    overwrite,
    write,
)
from zarr.codecs import (
    Crc32cCodec,
)

import parchunk
from parchunk.building.build import build
from parchunk.cover import forecast, scheduling
from parchunk.cover.limits import Limits
from parchunk.errors import DamagedShardError, SourceError

# fsspec reads references through pandas and fastparquet; zarr-python warns of types beyond v3.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:The data type"),
]


#: Indexes are read by three entries at a time.
SHORT = Limits(index_bytes=16 * 3)


@settings(max_examples=examples(15), deadline=None)
@given(case=cases(), entries=st.integers(1, 9))
def test_long_indexes_read_back_alike(
    tmp_path_factory: pytest.TempPathFactory, case: Case, entries: int
) -> None:
    root = tmp_path_factory.mktemp("parts")
    write(root / "s.zarr", case)
    check(root / "s.zarr", root / "refs", case, limits=Limits(index_bytes=16 * entries))


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_of_long_indexes_is_told(tmp_path: Path, kind: str) -> None:
    checksum, damage, reason = DAMAGE[kind]
    codecs = (LITTLE, Crc32cCodec()) if checksum else (LITTLE,)
    write(tmp_path / "s.zarr", Case((40, 24), (8, 12), (2, 3), holes=0.0, index_codecs=codecs))
    damage(tmp_path / "s.zarr/a/c/3/1")
    with pytest.raises(DamagedShardError, match=r"a/c/3/1 is damaged: ") as caught:
        build(parchunk.plan(str(tmp_path / "s.zarr")), str(tmp_path / "refs"), limits=SHORT)
    # An entry may be seen to be absurd before the checksum after all of them is.
    assert reason in str(caught.value) or "past the shard's end" in str(caught.value)
    assert not (tmp_path / "refs/.zmetadata").exists()


def test_the_requests_for_long_indexes_are_forecast(tmp_path: Path) -> None:
    case = Case((40, 24), (8, 12), (2, 3), holes=0.0)
    write(tmp_path / "s.zarr", case)
    plan = parchunk.plan(str(tmp_path / "s.zarr"))
    jobs = scheduling.make_jobs(plan, plan.partitions(), 10**6, WIDTH, limits=SHORT)
    cost = forecast.forecast_jobs(plan, jobs)
    # 16 entries, three a request; the checksum comes with the last one
    assert cost.gets == 6 * cost.shards == 60
    assert build(plan, str(tmp_path / "refs"), limits=SHORT).gets == cost.gets


def test_a_shard_that_is_replaced_between_the_parts_of_its_index_is_not_taken(
    tmp_path: Path,
) -> None:
    case = Case((40, 24), (40, 24), (2, 3), holes=0.0)
    root = tmp_path / "s.zarr"
    write(root, case)
    plan = parchunk.plan(str(root))
    assert plan.source is not None
    reads = 0

    def replaced() -> None:
        data = (root / "a/c/0/0").read_bytes()
        (root / "a/c/0/0.new").write_bytes(data)
        (root / "a/c/0/0.new").replace(root / "a/c/0/0")

    class Later(Changing):
        def get(self, path: str, *, options: Any = None) -> Any:
            nonlocal reads
            reads += bool(options)
            if options and reads < 4:
                return self._store.get(path, options=options)
            return super().get(path, options=options)

    changed = replace(plan, source=replace(plan.source, store=Later(plan.source.store, replaced)))
    with pytest.raises(SourceError, match="a/c/0/0 changed while it was read"):
        build(changed, str(tmp_path / "refs"), limits=SHORT)
    assert not (tmp_path / "refs/.zmetadata").exists()


@pytest.mark.parametrize("location", ["start", "end"])
def test_an_index_that_several_slices_want_is_read_once(tmp_path: Path, location: str) -> None:
    """One shard, of which each line of inner chunks is a slice: 40 entries of 400."""
    shape = (20, 80)
    case = Case(shape, shape, (2, 2), holes=0.0, split="0", location=location, record_size=40)
    root = tmp_path / "s.zarr"
    write(root, case)
    plan = parchunk.plan(str(root), record_size=40)
    assert plan.source is not None
    said = []
    for ahead, gets in ((0, 10), (16 * 90, 4), (16 * 400, 2)):
        limits = Limits(inner_rows=40, index_bytes=16 * 200, ahead_bytes=ahead)
        ranges: list[tuple[int, int]] = []
        source = replace(plan.source, store=Noting(plan.source.store, ranges))
        result = build(replace(plan, source=source), str(tmp_path / f"{ahead}"), limits=limits)
        assert result.gets == len(ranges) == gets
        # One range goes on where the one before it ended: 400 entries and the checksum.
        assert [start for start, _ in ranges[1:]] == [stop for _, stop in ranges[:-1]]
        assert ranges[-1][1] - ranges[0][0] == 16 * 400 + 4
        jobs = scheduling.make_jobs(plan, plan.partitions(), 10**6, WIDTH, limits=limits)
        cost = forecast.forecast_jobs(plan, jobs)
        assert (cost.gets, cost.gets_least) == (gets, 2)
        said.append((tmp_path / f"{ahead}/a/refs.5.parq").read_bytes())
    assert said[0] == said[1] == said[2]
    check(root, tmp_path / "refs", case, limits=limits)


class Noting(Changing):
    """A store that notes which ranges are read."""

    def __init__(self, store: Any, ranges: list[tuple[int, int]]) -> None:
        super().__init__(store, lambda: None)
        self.ranges = ranges

    def get(self, path: str, *, options: Any = None) -> Any:
        if options:
            self.ranges.append(options["range"])
        return super().get(path, options=options)


@pytest.mark.parametrize("ahead", [0, 16 * 30])
def test_damage_in_what_a_later_slice_wants_ends_the_build(tmp_path: Path, ahead: int) -> None:
    """The checksum is over what all slices have read."""
    limits = Limits(inner_rows=40, ahead_bytes=ahead)
    root = tmp_path / "s.zarr"
    write(root, Case((20, 80), (20, 80), (2, 2), holes=0.0, record_size=40))
    plan = parchunk.plan(str(root), record_size=40)
    shard = root / "a/c/0/0"
    whole = shard.read_bytes()
    for at in (-4 - 16 * 390, -5, -1):
        shard.write_bytes(whole)
        overwrite(shard, at, bytes([shard.read_bytes()[at] ^ 1]))
        with pytest.raises(DamagedShardError, match="a/c/0/0 is damaged: the checksum"):
            build(plan, str(tmp_path / f"refs{at}"), limits=limits)
        assert not (tmp_path / f"refs{at}/.zmetadata").exists()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_shards_of_millions_of_inner_chunks_stay_within_the_bound(tmp_path: Path) -> None:
    count = 8_000_000
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=3)
    root.create_array(
        "a", shape=(count,), chunks=(1,), shards=(count,), dtype="u1", compressors=None
    )
    entries = np.ones((count, 2), "<u8")
    entries[:, 0] = np.arange(count)
    index = entries.tobytes()
    shard = tmp_path / "s.zarr/a/c/0"
    shard.parent.mkdir()
    checksum = google_crc32c.value(index).to_bytes(4, "little")
    shard.write_bytes(bytes(count) + index + checksum)
    write(tmp_path / "small.zarr", Case((40, 24), (8, 12), (2, 3)))
    arguments = [str(tmp_path / name) for name in ("small.zarr", "s.zarr", "small", "refs")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], check=True, capture_output=True, text=True
    )
    present, peak = map(int, done.stdout.split())
    assert present == count
    assert peak < 160 << 20


PEAK = """
import sys
import parchunk

def status(name):
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) << 10

small, large, small_out, out = sys.argv[1:]
parchunk.build(parchunk.plan(small), small_out)  # imports
before = status("VmRSS")
print(parchunk.build(parchunk.plan(large), out, memory=160 << 20).present)
print(status("VmHWM") - before)
"""
