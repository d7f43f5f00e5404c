"""What becomes of a plan of many stores when others came, and when some of them grew. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.spec import Hierarchy
from parchunk.planning.changes import changes_of
from parchunk.planning.dated_regions import with_more_dates
from parchunk.planning.growth import grown_plan
from parchunk.planning.joining.regions import array_with_cuts, grown_cuts, plan_stores
from parchunk.planning.joining.store_set import PlannedStore, StoreSet
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Plan


def grown_stores(
    old: Plan, hierarchy: Hierarchy, stores: StoreSet, labels: Labels, may_shrink: bool = False
) -> Plan:
    """Return ``old`` with more stores behind those that it has; its record size and regions stay.

    Of stores side by side each may have grown, as one store does, and others may have come. What
    became of arrays otherwise is for the caller to see (`parchunk.planning.changes`). ``labels``
    are those of the split dimension now, where regions are periods. The last store of each series
    may have become shorter where it ``may_shrink``.

    Raises
    ------
    InputError
        Naming stores that are gone, moved or became shorter; arrays whose references would have to
        be written in other record files; where regions are periods, those of other chunks.
    """
    before = old.stores
    assert before is not None
    problems = store_problems(before, stores, may_shrink)
    if old.period is not None:
        # A coordinate that was the same in all stores may differ in one that came.
        other = changes_of(old, hierarchy).other.items()
        problems += [f"{name} {what}" for name, what in other if name not in stores.kept]
    if problems:
        raise InputError(
            f"the stores of {old.location.url} did more than grow ({'; '.join(problems[:3])}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            + "): references cannot be updated; build them anew (--overwrite, or another OUT)"
        )
    if old.period is not None:
        return with_more_dates(replace(old, stores=stores), hierarchy, labels)
    if stores.joining.dimension is None:
        return replace(grown_plan(old, hierarchy), stores=stores)
    if not old.cuts:
        return _with_first_regions(old, hierarchy, stores)
    cuts = tuple(grown_cuts(old.cuts, stores, old.region_length))
    arrays = tuple(
        array_with_cuts(
            spec, None if spec.name in stores.kept else stores.place(spec.name).axis, cuts
        )
        for spec in hierarchy.arrays
    )
    crooked = [array.spec.name for array in arrays if not array.is_aligned(old.record_size)]
    if crooked:
        raise InputError(
            f"{crooked[0]}: a region begins within a record file of {old.record_size:,} rows: "
            "build anew, with a --record-size that divides the chunks of every store (--overwrite, "
            "or another OUT)"
        )
    return replace(old, hierarchy=hierarchy, arrays=arrays, cuts=cuts, stores=stores)


def _with_first_regions(old: Plan, hierarchy: Hierarchy, stores: StoreSet) -> Plan:
    """Return a plan that had no regions, as all arrays were kept inline, with those it needs now.

    That is none, unless an array came that is not kept, or one grew too large for it.
    """
    try:
        made = plan_stores(hierarchy, stores, old.location, record_size=old.record_size)
    except InputError as error:
        # What it says to give are options of a build.
        raise InputError(f"{error}: build anew (--overwrite, or another OUT)") from None
    return replace(
        old,
        hierarchy=hierarchy,
        arrays=made.arrays,
        split=made.split,
        region_length=made.region_length,
        cuts=made.cuts,
        stores=stores,
    )


def store_problems(old: StoreSet, new: StoreSet, may_shrink: bool) -> list[str]:
    """Return why stores are not those of before with others behind, a phrase each."""
    found = [*_moved_arrays(old, new)]
    there = {(one.url, one.below) for one in new.stores}
    series = [[new.stores[at] for at in some] for some in new.ranges]
    for number, some in enumerate(old.ranges):
        now = series[number] if number < len(series) else []
        last = some[-1] if old.joining.dimension is not None else None
        place = moved = 0  # what is behind a store that is gone lies that much further forward
        for at in some:
            one = old.stores[at]
            if (one.url, one.below) not in there:
                found.append(f"{one.url} is gone")
                moved -= one.stop - one.start
                continue
            is_last = at == last
            its = replace(one, start=one.start + moved, stop=one.stop + moved)
            held = now[place : place + 1]
            problem = _problem(its, held, is_last, is_last and may_shrink)
            found += [problem] if problem else []
            moved += held[0].stop - its.stop if held and held[0].url == one.url else 0
            place += 1
    return found


def _problem(
    one: PlannedStore, now: Sequence[PlannedStore], may_grow: bool, may_shrink: bool
) -> str | None:
    """Return what became of a store; ``now`` is the one in its place, or empty."""
    if not now or (now[0].url, now[0].below, now[0].start) != (one.url, one.below, one.start):
        return f"{one.url} is not where it was: others came before it"
    more = now[0].stop - one.stop
    if (more < 0 and not may_shrink) or (more > 0 and not may_grow):
        found = f"{one.url} has {now[0].stop - one.start} elements, {one.stop - one.start} before"
        return f"{found}, which --allow-shrink takes in" if more < 0 and may_grow else found
    return None


def _moved_arrays(old: StoreSet, new: StoreSet) -> Iterator[str]:
    """Yield the arrays without the dimension that would be taken from another store than before."""
    for name, place in old.places.items():
        if place.axis is not None or not place.stores or name in old.kept or name in new.kept:
            continue
        held = new.place(name).stores
        if new.place(name).axis is None and held and held[0] != place.stores[0]:
            was, now = old.stores[place.stores[0]].url, new.stores[held[0]].url
            if was != now:
                yield f"{name} is in {now} now, too, which comes before {was}"
