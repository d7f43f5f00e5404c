"""Jobs: their cover is computed when it is asked for, and once."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from tests.made import spec

from parchunk.cover.forecast import forecast_jobs, least_of
from parchunk.cover.jobs import Job
from parchunk.cover.limits import Limits
from parchunk.cover.scheduling import make_jobs
from parchunk.cover.walks import Width
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
