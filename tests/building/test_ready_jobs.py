"""What jobs that are ready hold of very many arrays before their walk is there."""

import tracemalloc
from pathlib import Path

from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store

import parchunk
from parchunk.building.effort import Effort
from parchunk.building.pools import Pools
from parchunk.building.ready_jobs import ready_jobs
from parchunk.cover.key_ranges import ranges_of
from parchunk.cover.store_work import store_works
from parchunk.cover.walks import width_of
from parchunk.listing.patience import Requests
from parchunk.out.opening import open_output


def test_an_array_of_a_job_takes_little_until_its_walk_is_there(tmp_path: Path) -> None:
    arrays = [(f"g/a{number}", (8, 12), (1, 1), ("y", "x")) for number in range(300)]
    store = FormulaListing(zarr_store(arrays, separator="/"))
    source = parchunk.Source(store=store, url="s3://formula/s")  # type: ignore[arg-type]
    plan, effort = parchunk.plan(source), Effort()
    pending, width = list(plan.partitions()), width_of(source.manner, effort.listings)
    (work,) = store_works(plan, source, pending)
    output, share = open_output(tmp_path / "refs"), effort.share(plan)

    def made(pools: Pools) -> tuple[int, object]:
        """Return how many arrays are ready, and all that they need by then."""
        held: list[object] = []
        jobs = [(work, job) for job in work.jobs(effort.most_held(source, plan), width)]
        for ready in ready_jobs(plan, jobs, pending, output, share):
            (leg,) = ready.legs
            listed = leg.listing(source, share, pools, Requests())
            for at, member in enumerate(leg.job.members):
                held += ranges_of(member.spec, member.passes[0].spans, at)
            held += ready, listed
        return sum(len(job.members) for _, job in jobs), held

    with Pools(1) as pools:
        count, _ = made(pools)  # what is kept once, as walks of arrays that are alike
        assert count == len(arrays)
        tracemalloc.start()
        try:
            held = made(pools)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(held) == 2
    assert taken < 1_000 * count
