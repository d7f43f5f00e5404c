"""Plans are divided so that everything is in one stretch, and the dearest is as cheap as can be."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from benchmarks import fleet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.made import spec

from parchunk.cover.dividing import costs_of, divide, parts_of
from parchunk.metadata.spec import Hierarchy
from parchunk.planning.choice import make_plan
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partition_count, partitions_in, stretch_name
from parchunk.stores.manner import Manner
from parchunk.stores.opening import Location

ORDERED, LOCAL = Manner(), Manner(remote=False, ordered=False)


def plan_of(*grids: tuple[int, ...], region: int = 7, split: int = 0) -> Plan:
    specs = tuple(
        spec(f"a{at}", grid, (1,) * len(grid), tuple("txyz"[: len(grid)]))
        for at, grid in enumerate(grids)
    )
    return make_plan(Hierarchy(specs, ()), Location("s3://b/s"), split="txyz"[split], region=region)


@settings(max_examples=40)
@example([(0, 3), (20, 3)], 6, ORDERED, 0)  # an array without chunks takes a receipt all the same
@given(
    grids=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=3),
    parts=st.integers(1, 6),
    manner=st.sampled_from([ORDERED, LOCAL]),
    seed=st.integers(0, 1000),
)
def test_everything_is_in_one_stretch(grids: Any, parts: int, manner: Manner, seed: int) -> None:
    plan = plan_of(*grids)
    keys = [partition.key for partition in partitions_in(plan, 0, partition_count(plan))]
    assert sorted(keys, key=str) == sorted((p.key for p in plan.partitions()), key=str)
    found = divide(plan, manner, parts)
    assert len(found) <= parts
    met = [p.key for s in found for p in partitions_in(plan, s.start, s.stop)]
    assert met == keys
    assert parts_of(plan, manner, parts)[: len(found)] == found
    assert len(parts_of(plan, manner, parts)) == parts
    assert all(stretch_name(plan, s.start, s.stop).startswith("a") for s in found)
    # No other way to cut them has a cheaper dearest one.
    costs = costs_of(plan, manner)
    best = (
        min(
            max(float(piece.sum()) for piece in np.split(costs, cuts))
            for count in range(min(parts, len(costs)))
            for cuts in combinations(range(1, len(costs)), count)
            if len(costs) < 12
        )
        if len(costs) < 12
        else None
    )
    if best is not None:
        assert max(s.cost for s in found) == pytest.approx(best)
    # What is done costs nothing, and what is not is somebody's.
    done = set(np.random.default_rng(seed).choice(len(keys), len(keys) // 2, replace=False))
    left = divide(plan, manner, parts, {keys[at] for at in done})
    met_at = {at for s in left for at in range(s.start, s.stop)}
    to_do = set(range(len(keys))) - done
    assert met_at >= to_do
    assert sum(s.cost for s in left) == pytest.approx(costs[sorted(to_do)].sum())


def test_low_regions_are_dear_alone() -> None:
    """Chunks 1000 to 7910 have those of 10000 to 79109 between them."""
    costs = costs_of(plan_of((87020, 127), region=7911), ORDERED)
    assert costs[0] > 6 * costs[2]
    assert costs_of(plan_of((87020, 127), region=7911), LOCAL)[0] == pytest.approx(
        costs[3], rel=0.2
    )


def test_a_later_axis() -> None:
    costs = costs_of(plan_of((100, 50, 50), region=10, split=1), ORDERED)
    # One by one that is 6,500 requests; the rest is what writing 50,000 rows is worth.
    assert costs.tolist() == [252.5, 102.5, 102.5, 102.5, 102.5]


def test_fleets() -> None:
    plan = fleet.Store("some", (2_000, 500), 100).plan()
    found = fleet.simulate(plan, 4, np.random.default_rng(0))
    assert found.lists >= found.least == 1_000
    assert found.makespan > 0
    assert found.imbalance >= 1
    shards = fleet.simulate(fleet.Store("s", (20, 10), 2, 50).plan(), 3, np.random.default_rng(0))
    assert shards.gets == 200
