"""Jobs: their cover is computed when it is asked for, and once."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.made import spec

from parchunk.cover.forecast import forecast_jobs, least_of
from parchunk.cover.jobs import Job, Pass, Unit
from parchunk.cover.limits import Limits
from parchunk.cover.one_array import held_by
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Width, needed_ranks
from parchunk.keys.text_order import ranks_of
from parchunk.metadata.spec import GroupSpec, Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.stores.opening import Location

WIDTH = Width(pieces=32, window=16, page=1000)


def plan_of(arrays: int) -> Plan:
    """Return a plan of so many arrays of one grid."""
    specs = tuple(spec(f"a{n}", (40, 12), (1, 1), ("time", "x")) for n in range(arrays))
    return make_plan(Hierarchy(specs, (GroupSpec("", 2, {}, {}),)), Location("s3://b/s"))


def covered(job: Job) -> bool:
    """Whether the cover of a job's passes has been computed."""
    return all("spans" in vars(walked) for member in job.members for walked in member.passes)


def test_the_cover_is_computed_when_it_is_asked_for_and_goes_with_the_job() -> None:
    plan = plan_of(1)
    (job,) = make_jobs(plan, plan.partitions(), 10**6, WIDTH)
    assert least_of([job]) == 1
    assert not covered(job)
    assert forecast_jobs(plan, [job]).requests == 1
    assert covered(job)
    sent = pickle.loads(pickle.dumps(job))
    assert covered(sent)
    assert sent == job
    assert np.array_equal(sent.members[0].passes[0].spans, [[0, 480]])


def test_arrays_alike_share_their_cover() -> None:
    plan = plan_of(30)
    for together, jobs in ((False, 30), (True, 1)):
        made = make_jobs(plan, plan.partitions(), 10**6, replace(WIDTH, together=together))
        assert len(made) == jobs
        passes = {id(walked) for job in made for m in job.members for walked in m.passes}
        assert len(passes) == 1


@pytest.mark.parametrize("unit_chunks", [1, 200_000])
def test_more_regions_than_a_job_has_units_are_several_jobs(unit_chunks: int) -> None:
    hierarchy = Hierarchy((spec("a", (40, 12), (1, 1), ("time", "x")),), ())
    plan = make_plan(hierarchy, Location("s3://b/s"), region=1, record_size=4)
    limits = Limits(most_units=15, unit_chunks=unit_chunks)
    made = make_jobs(plan, plan.partitions(), 10**6, WIDTH, limits=limits)
    assert [len(list(job.partitions)) for job in made] == [15, 15, 10]
    for job in made:
        (walked,) = job.members[0].passes
        assert sorted({unit.partition for unit in walked.units}) == list(
            range(len(job.members[0].partitions))
        )
        assert sum(unit.rows.total for unit in walked.units) == 12 * len(list(job.partitions))


@given(data=st.data())
@settings(deadline=None, max_examples=examples(25))
def test_what_is_said_to_be_held_is_no_less_than_what_walks_have_met(data: st.DataObject) -> None:
    grid = data.draw(st.sampled_from([(200,), (60, 3), (3, 60), (8, 30)]))
    split = data.draw(st.integers(0, len(grid) - 1))
    array = spec("a", grid, (1,) * len(grid))
    region = data.draw(st.sampled_from([2, 5, 10, 20]))
    plan = make_plan(
        Hierarchy((array,), ()), Location("s3://b/s"), split=split, region=region, record_size=1
    )
    window = data.draw(st.integers(1, 4))
    most = data.draw(st.sampled_from([7, 1000]))
    units = [
        Unit(position, rows)
        for position, partition in enumerate(plan.partitions())
        for rows in partition.rows.slices(most, 1)
    ]
    units = units[data.draw(st.integers(0, min(3, len(units) - 1))) :]
    # Pages of one key, so that there are many walks.
    walked = Pass(grid, tuple(units), Width(data.draw(st.integers(2, 40)), window, 1))
    needs = needed_ranks(grid, walked.row_sets, walked.spans, walked.width.page)
    met = []
    for unit, need in zip(units, needs, strict=True):
        ranks = ranks_of(grid, unit.rows.numbers(0, unit.rows.total))
        walks = np.searchsorted(walked.spans[:, 0], ranks, side="right") - 1
        # It is complete when all these walks are past its last rank in each.
        assert all(need[at] > rank for at, rank in zip(walks.tolist(), ranks.tolist(), strict=True))
        met.append((int(walks.min()), int(walks.max()), unit.rows.total))
    held = [
        sum(rows for first, last, rows in met if first < at + window and last >= at)
        for at in range(len(walked.spans))
    ]
    assert max(held) <= held_by(walked) <= sum(unit.rows.total for unit in units)
