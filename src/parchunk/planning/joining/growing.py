"""What becomes of a plan of many stores when others came, and when its last one grew. No I/O."""

from __future__ import annotations

from dataclasses import replace

from parchunk.errors import InputError
from parchunk.metadata.spec import Hierarchy
from parchunk.planning.growth import growth_problems
from parchunk.planning.joining.regions import array_with_cuts, region_cuts
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import Plan


def grown_stores(old: Plan, hierarchy: Hierarchy, stores: StoreSet) -> Plan:
    """Return ``old`` with more stores behind those that it has; its record size and regions stay.

    Raises
    ------
    InputError
        Naming what did more than come behind the others, or whose references would have to be
        written in other record files.
    """
    before = old.stores
    assert before is not None
    problems = [*_store_problems(before, stores), *growth_problems(old, hierarchy)]
    if problems:
        raise InputError(
            f"the stores of {old.location.url} did more than grow ({'; '.join(problems[:3])}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            + "): references cannot be updated; build them anew (--overwrite, or another OUT)"
        )
    if stores.joining.dimension is None:
        raise InputError(
            f"{stores.joining}: stores side by side are not updated: build them anew "
            "(--overwrite, or another OUT)"
        )
    cuts = tuple(region_cuts(stores, old.region_length))
    arrays = tuple(
        array_with_cuts(
            spec, None if spec.name in stores.kept else stores.place(spec.name).axis, cuts
        )
        for spec in hierarchy.arrays
    )
    crooked = [array.spec.name for array in arrays if not array.is_aligned(old.record_size)]
    if crooked:
        raise InputError(
            f"{crooked[0]}: a store begins within a record file of {old.record_size:,} rows: build "
            "anew, with a --record-size that divides the chunks of every store (--overwrite, or "
            "another OUT)"
        )
    return replace(old, hierarchy=hierarchy, arrays=arrays, cuts=cuts, stores=stores)


def _store_problems(old: StoreSet, new: StoreSet) -> list[str]:
    """Return why stores are not those of before with others behind, a phrase each."""
    found = []
    last = len(old.stores) - 1
    there = {(one.url, one.below) for one in new.stores}
    for at, one in enumerate(old.stores):
        if (one.url, one.below) not in there:
            found.append(f"{one.url} is gone")
            continue
        now = new.stores[at] if at < len(new.stores) else None
        if now is None or (now.url, now.below) != (one.url, one.below) or now.start != one.start:
            found.append(f"{one.url} is not where it was: others came before it")
        elif now.stop < one.stop or (now.stop > one.stop and at != last):
            found.append(
                f"{one.url} has {now.stop - now.start} elements, {one.stop - one.start} before"
            )
    return found
