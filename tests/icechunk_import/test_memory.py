"""The bound on an import's memory: kept, measured in a process of its own; else refused before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from benchmarks import icechunk as benchmark
from benchmarks.icechunk_runs import measure

import parchunk
from parchunk.cli.main import run
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.importing import MEMORY
from parchunk.icechunk_import.limits import USUAL
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.memory import (
    FEWEST_ROWS,
    RUNS,
    TOGETHER,
    Budget,
    budget,
    location_length,
    write_together,
)
from parchunk.icechunk_import.planned_commits import plan_commits
from parchunk.metadata.to_v3 import v3_documents
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.reading.rows import BATCH, finished_receipts

MIB = 1 << 20


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four regions of 50,000 references of one array, which came from a listing in S3."""
    return benchmark.build_references(tmp_path_factory.mktemp("memory"), 200, (10, 10, 10), 50)


def planned(out: str, memory: int) -> Budget:
    output = open_output(out)
    plan = load_plan(output)
    receipts = finished_receipts(output, plan)
    container = Container.of(plan.location)
    work = plan_commits(plan, receipts, v3_documents(plan.hierarchy), container, True)
    return budget(plan, receipts, container, work, memory)


@pytest.mark.slow
def test_the_peak_stays_within_the_bound_and_near_what_was_computed(references, tmp_path):
    needed = planned(references, 160 * MIB).needed(3)
    found = measure("run_parchunk", references, str(tmp_path / "repo"), 160 * MIB)
    peak = found["memory"] * 1024
    assert found["references"] == 200_000
    assert needed <= 160 * MIB
    assert needed / 4 < peak < needed


def test_a_threshold_takes_no_more_than_what_is_inlined(tmp_path):
    """One of a megabyte takes no 100 GiB where 40 chunks of a kilobyte are below it."""
    array = zarr.open_group(tmp_path / "s", mode="w", zarr_format=3).create_array(
        "v", shape=(40_000,), chunks=(1000,), dtype="u1", compressors=None, fill_value=0
    )
    array[:] = np.arange(40_000) % 251 + 1
    for threshold in (1_000, 1_000_000):
        plan = parchunk.plan(tmp_path / "s", inline_threshold=threshold)
        parchunk.build(plan, tmp_path / str(threshold))
    least, most = (planned(str(tmp_path / said), 160 * MIB) for said in ("1000", "1000000"))
    assert most.constant == least.constant
    assert most.needed(None) < 400 * MIB
    parchunk.to_icechunk(tmp_path / "1000000", tmp_path / "repo", memory="400MiB")
    store = parchunk.open_icechunk(tmp_path / "repo").readonly_session("main").store
    assert (zarr.open_group(store, mode="r")["v"][:] == array[:]).all()


def test_a_region_that_cannot_be_held_is_refused_before_anything_is_written(
    references, tmp_path, capsys
):
    repo = tmp_path / "repo"
    assert run(["to-icechunk", references, str(repo), "--memory", "64MiB"]) == 2
    said = capsys.readouterr().err
    assert "region 0 (time 0 to 50) has 50,000 references, to commit which takes" in said
    assert not repo.exists()
    region, memory = said.split("--region ")[1].split(",")[0], said.split("--memory ")[-1].strip()
    assert 0 < int(region) < 50
    assert run(["to-icechunk", references, str(repo), "--memory", memory, "--regions", "0"]) == 1


def test_the_region_length_that_is_named_fits(references, tmp_path, capsys):
    assert run(["to-icechunk", references, str(tmp_path / "repo"), "--memory", "80MiB"]) == 2
    region = int(capsys.readouterr().err.split("--region ")[1].split(",")[0])
    out = benchmark.build_references(tmp_path, 200, (10, 10, 10), region)
    assert parchunk.to_icechunk(out, str(tmp_path / "repo"), memory=80 * MIB, regions=[0])


def test_where_no_region_is_short_enough_only_the_memory_is_named(grow, build, tmp_path, capsys):
    out = build(grow(12), split="time", region=4)
    assert run(["to-icechunk", out, str(tmp_path / "repo"), "--memory", "1MiB"]) == 2
    said = capsys.readouterr().err
    assert "give --memory " in said
    assert "--region " not in said
    assert not Path(tmp_path / "repo").exists()


def test_what_is_read_ahead_follows_from_the_bound(references):
    least, some, most = (planned(references, m).rows for m in (MIB, 64 * MIB, MEMORY))
    assert least == FEWEST_ROWS
    assert least < some < most
    assert most == BATCH
    plan = load_plan(open_output(references))
    length = location_length(Container.of(plan.location), plan.arrays[0].spec)
    assert RUNS * some * 3 * length <= 64 * MIB / 8


def test_many_arrays_need_less_than_one_of_all_their_references(grow, build):
    """Manifests are written one after another where there is no room for several."""
    out = build(grow(12), split="time", region=12)
    alone = build(grow(12), out="alone", split="time", region=12, include=["air"])
    both, one = planned(out, MEMORY), planned(alone, MEMORY)
    assert one.held[0] < both.held[0] < 2 * one.held[0]
    assert one.beside == 0
    if adapter.writes_together():
        assert both.together == TOGETHER
        assert 0 < both.beside < both.held[0]


def test_as_many_manifests_are_written_together_as_have_room():
    """Those besides the largest one take a share of the bound, and no more than what is free."""
    written = [[90.0, 80.0, 40.0], [60.0, 50.0, 30.0, 20.0, 15.0]]
    found = {
        memory: write_together(Budget(memory, 0, 0, 0, {None: 0, 0: 100}, {}, USUAL), written)
        for memory in (100, 160, 639, 640, 959, 960)
    }
    assert [(one.together, one.beside) for one in found.values()] == [
        (1, 0),
        (1, 0),
        (1, 0),
        (2, 80),
        (2, 80),
        (TOGETHER, 120),
    ]


def test_the_option_has_the_default_of_the_function(capsys):
    assert run(["to-icechunk", "--help"]) == 0
    assert "4GiB" in capsys.readouterr().out
    assert MEMORY == 4 << 30
