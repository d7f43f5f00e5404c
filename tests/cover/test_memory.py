"""Memory is accounted for by what is held: more listings side by side leave less for sizes."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from parchunk.cover.memory import (
    CHUNK_BYTES,
    INCLUDED,
    LISTING_BYTES,
    ROOMY_LISTINGS,
    SLIM_LISTING_BYTES,
    file_rows,
    held_within,
    inline_bound,
    kept_beyond,
    kept_bytes,
    rewriting_bounds,
)
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.plan import ArrayPlan, Plan
from parchunk.stores.opening import Location


@pytest.mark.parametrize(
    ("few", "many", "cost"),
    [
        (1, ROOMY_LISTINGS, (ROOMY_LISTINGS - 1) * LISTING_BYTES),
        (ROOMY_LISTINGS, 512, (512 - ROOMY_LISTINGS) * SLIM_LISTING_BYTES),
    ],
)
def test_each_listing_takes_of_what_sizes_have(few: int, many: int, cost: int) -> None:
    held = [held_within(512 << 20, 100_000, listings) for listings in (few, many)]
    assert (held[0] - held[1]) * CHUNK_BYTES == cost


@pytest.mark.parametrize("processes", [1, 3])
def test_more_than_fit_are_refused_and_what_is_named_is_enough(processes: int) -> None:
    with pytest.raises(InputError, match="1,024 listings side by side") as refused:
        held_within(512 << 20, 100_000, 1024, processes=processes)
    named = int(re.findall(r"give (\d+)MiB or more", str(refused.value))[0])
    assert held_within(named << 20, 100_000, 1024, processes=processes) >= 100_000
    with pytest.raises(InputError):
        held_within((named - processes) << 20, 100_000, 1024, processes=processes)


@pytest.mark.parametrize(
    ("mib", "rows", "listings", "processes"),
    [(64, 96, 8, 1), (64, 20_000, 2, 1), (128, 100_000, 8, 1), (120, 5_000, 4, 2), (40, 9, 1, 1)],
)
def test_whatever_is_named_beside_more_memory_is_enough(
    mib: int, rows: int, listings: int, processes: int
) -> None:
    with pytest.raises(InputError) as refused:
        held_within(mib << 20, rows, listings, processes=processes)
    said = str(refused.value)
    fewer = re.findall(r"--concurrency (\d+)", said)
    for number in fewer:
        held_within(mib << 20, rows, int(number) // processes, processes=processes)
        with pytest.raises(InputError):
            held_within(mib << 20, rows, int(number) // processes + 1, processes=processes)
    if "fewer --workers" in said:
        held_within(mib << 20, rows, listings * processes)
    smaller = "smaller --record-size" in said
    if smaller:
        held_within(mib << 20, 1, listings, processes=processes)
    assert (bool(fewer), "fewer --workers" in said, smaller) == {
        (64, 96): (True, False, False),
        (64, 20_000): (True, False, True),
        (128, 100_000): (True, False, True),
        (120, 5_000): (True, True, False),
        (40, 9): (False, False, False),
    }[mib, rows]


def test_record_files_are_no_larger_than_the_largest_array(
    array_spec: Callable[..., ArraySpec],
) -> None:
    spec = array_spec("a", (10, 3), (1, 3), ("t", "x"))
    plan = plan_of(spec, 3)
    assert file_rows(plan) == spec.reference_total < plan.record_size
    assert file_rows(replace(plan, record_size=4)) == 4
    assert file_rows(replace(plan, arrays=())) == 1


def plan_of(spec: ArraySpec, arrays: int) -> Plan:
    """Return what counts as a plan of so many arrays of ten regions each."""
    split = ArrayPlan(spec, 0, 1)
    return Plan(Location("s3://b/s"), "", Hierarchy((), ()), None, 1, 100, 0, (split,) * arrays)


@pytest.mark.parametrize("processes", [1, 4])
def test_arrays_and_partitions_take_of_what_sizes_have_once_they_are_many(
    array_spec: Callable[..., ArraySpec], processes: int
) -> None:
    spec = array_spec("a", (10, 3), (1, 3), ("t", "x"))
    few, many = plan_of(spec, INCLUDED // 10), plan_of(spec, 20_000)
    assert kept_beyond(few, processes) == 0
    assert kept_bytes(few) > 0
    kept = kept_beyond(many, processes)
    assert 0 < kept <= kept_bytes(many)
    memory = 2 << 30
    held = [held_within(memory, 100, 4, processes=processes, kept=taken) for taken in (0, kept)]
    assert (held[0] - held[1]) * CHUNK_BYTES == pytest.approx(kept, abs=CHUNK_BYTES)
    with pytest.raises(InputError, match="very many arrays or partitions") as refused:
        held_within(64 << 20, 100, 4, processes=processes, kept=kept)
    assert "plan anew fewer arrays (--include, --exclude)" in str(refused.value)
    named = int(re.findall(r"give (\d+)MiB or more", str(refused.value))[0])
    assert held_within(named << 20, 100, 4, processes=processes, kept=kept) > 0
    bound = inline_bound(named << 20, processes, 100, 4, 1 << 20, kept=kept)
    assert bound.enough(1 << 20) >= named


def test_record_files_are_read_back_in_what_very_many_arrays_leave() -> None:
    memory, kept = 512 << 20, 300 << 20
    inline, reading = rewriting_bounds(memory, 100, 1 << 20, kept=kept)
    assert (inline, reading.room) == (
        replace(rewriting_bounds(memory - kept, 100, 1 << 20)[0], least=inline.least),
        rewriting_bounds(memory - kept, 100, 1 << 20)[1].room,
    )
    with pytest.raises(InputError, match="300 MiB are taken by very many arrays") as refused:
        rewriting_bounds(kept, 100, 1 << 20, kept=kept)
    named = int(re.findall(r"give (\d+)MiB or more", str(refused.value))[0])
    rewriting_bounds(named << 20, 100, 1 << 20, kept=kept)
