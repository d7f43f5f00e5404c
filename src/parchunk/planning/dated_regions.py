"""Regions by the calendar: a year, a month, a day, or so many days each. No I/O.

A region begins with the first chunk that begins in its period, in every array at the same element.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import gcd, lcm, prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.choosing import some_of
from parchunk.metadata.spec import Hierarchy
from parchunk.planning.choice import SPOILER_CHUNKS
from parchunk.planning.growth import axis_of_new
from parchunk.planning.joining.calendars import days_of
from parchunk.planning.joining.regions import array_with_cuts, record_size_of
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.labels import Labels, calendar_of, coordinate_of, without_labels
from parchunk.planning.plan import MOST_PARTITIONS, ArrayPlan, Plan
from parchunk.wording import counted

#: Where each period of a label ends, counted from the end of its date.
_ENDS = {"year": 6, "month": 3, "day": 0}
_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)(?: \d\d:\d\d\S*)?")
_DAYS = re.compile(r"([1-9]\d{0,5})D")
#: Rows of a record file, at least: shards, or a dimension before this one, may leave fewer.
_LEAST_ROWS = 100


def as_period(region: int | str | None) -> str | None:
    """Return the period that a wish for regions names; None for a length, or no wish.

    Raises
    ------
    InputError
        When it is neither.
    """
    if not isinstance(region, str):
        return None
    if region in _ENDS or _DAYS.fullmatch(region):
        return region
    raise InputError(
        f"--region {region}: give a length in elements, year, month, day, or days such as 31D"
    )


def with_dated_regions(made: Plan, labels: Labels, period: str, record_size: int | None) -> Plan:
    """Return a plan whose regions are periods of the split dimension.

    Raises
    ------
    InputError
        When its elements have no dates that rise, or record files would be too small.
    """
    if made.split is None:
        raise InputError(f"--region {period}: nothing is split, as every array is in one piece")
    begins = _begins(made, labels, period)
    cuts = _joined(made.stores, _cuts(made, begins, _base(made)))
    arrays = tuple(array_with_cuts(array.spec, array.axis, cuts) for array in made.arrays)
    size = record_size_of(arrays, record_size)
    if record_size is None:
        size = _lasting(arrays, _base(made), size)
    large = [one for one in arrays if one.axis is not None and not one.by_first_row]
    spoilt = [one.spec for one in large if one.spec.reference_total > SPOILER_CHUNKS]
    if size < _LEAST_ROWS and spoilt:
        raise InputError(
            f"--region {period}: periods differ in length, and leave record files of {size} rows "
            f"in {spoilt[0].name}, which has shards or another dimension first: give elements"
        )
    notes = _sharing(made, period, len(begins) + 1, len(cuts) - 1)
    made = replace(made, arrays=arrays, cuts=cuts, record_size=size, period=period)
    return _checked(replace(made, period_notes=notes))


def _sharing(plan: Plan, period: str, periods: int, regions: int) -> tuple[str, ...]:
    """Return what to say where chunks leave several periods in one region, if so."""
    if regions >= periods:
        return ()
    chunks: dict[int, str] = {}
    for array in plan.arrays:
        if array.axis is not None:
            chunks.setdefault(array.spec.chunks[array.axis], array.spec.name)
    grids = some_of([f"{length:,} ({name})" for length, name in sorted(chunks.items())])
    of = counted(periods, f"period of {period}", f"periods of {period}")
    apart = "; --exclude leaves arrays out that are better built apart" if len(chunks) > 1 else ""
    return (
        f"{of} lie in {counted(regions, 'region')}, as regions begin where chunks of all arrays "
        f"do: every {counted(_base(plan), 'element')} of {plan.split}, with chunks of "
        f"{grids}{apart}",
    )


def with_more_dates(old: Plan, hierarchy: Hierarchy, labels: Labels) -> Plan:
    """Return a plan of periods for its source as it is now; regions and record size stay.

    Behind them come those of later periods; the last region may have become longer. Of a source
    that became shorter, regions behind its end are gone, and the last one may be shorter.

    Raises
    ------
    InputError
        When elements have no dates that rise, or record files would straddle regions.
    """
    assert old.period is not None
    base = _base(old)
    axes = _axes(old, hierarchy, base)
    arrays = [array_with_cuts(spec, axes[spec.name], (0, 1)) for spec in hierarchy.arrays]
    grown = replace(old, hierarchy=hierarchy, arrays=tuple(arrays), cuts=(0, 1))
    if not any(array.axis is not None for array in arrays):
        return replace(grown, split=None, period=None, cuts=(), region_length=0)
    remedy = "update again when all have one, or build anew (--overwrite, or another OUT)"
    found = _cuts(grown, _begins(grown, labels, old.period, remedy), base)
    # Where they were they stay, whatever dates the coordinate has now.
    later = (cut for cut in found if cut >= old.cuts[-1])
    cuts = _joined(old.stores, (*old.cuts[:-1], *later, found[-1]))
    made = tuple(array_with_cuts(spec, axes[spec.name], cuts) for spec in hierarchy.arrays)
    for array in made:
        if not array.is_aligned(old.record_size):
            raise InputError(
                f"{array.spec.name}: a {old.period} begins within a record file of "
                f"{old.record_size:,} rows: build anew (--overwrite, or another OUT)"
            )
    return _checked(replace(grown, arrays=made, cuts=cuts))


def _joined(stores: StoreSet | None, cuts: Sequence[int]) -> tuple[int, ...]:
    """Return cuts, of which the last is the end, with those at the borders of stores along them."""
    borders: Sequence[int] = ()
    if stores is not None and stores.joining.dimension is not None:
        borders = [store.start for store in stores.stores if store.start < store.stop]
    end = cuts[-1]
    return (*sorted({cut for cut in (*cuts, *borders) if cut < end}), end)


def _axes(old: Plan, hierarchy: Hierarchy, base: int) -> dict[str, int | None]:
    """Return the axis that each array is split along, None for a whole one.

    Stores that lie along the dimension split all arrays that have it; else one that came is whole
    where its chunks do not fit regions that begin at multiples of ``base``.
    """
    found: dict[str, int | None] = {}
    stores = old.stores
    for spec in hierarchy.arrays:
        if stores is not None and stores.joining.dimension is not None:
            found[spec.name] = None if spec.name in stores.kept else stores.place(spec.name).axis
            continue
        array = old.by_name.get(spec.name)
        axis = axis_of_new(old, spec) if array is None else array.axis
        found[spec.name] = None if axis is not None and base % spec.chunks[axis] else axis
    return found


def _lasting(arrays: Sequence[ArrayPlan], base: int, size: int) -> int:
    """Return up to ``size`` rows of which record files end wherever a later period may begin.

    That is wanted of expanded arrays, of which no record file may lie in two regions.
    """
    shared = 0
    for array in arrays:
        if array.axis == 0 and array.spec.inner_chunks is not None:
            chunks = base // array.spec.reference_chunks[0]
            shared = gcd(shared, prod(array.spec.reference_grid[1:]) * chunks)
    return gcd(shared, size) if shared else size


def _checked(plan: Plan) -> Plan:
    """Return a plan with the length of its longest region, unless it has too many partitions."""
    count = sum(array.regions for array in plan.arrays)
    if count > MOST_PARTITIONS:
        raise InputError(
            f"{count:,} partitions are more than the {MOST_PARTITIONS:,} that receipts are kept "
            "for: give a longer --region"
        )
    return replace(plan, region_length=max(after - low for low, after in pairwise(plan.cuts)))


def _base(plan: Plan) -> int:
    """Return what regions begin at multiples of: the chunks of every split array."""
    split = [array for array in plan.arrays if array.axis is not None]
    return lcm(*(array.spec.chunks[array.axis or 0] for array in split))


def _extent(plan: Plan) -> int:
    """Return the length of the split dimension."""
    return max(array.spec.shape[array.axis] for array in plan.arrays if array.axis is not None)


def _cuts(plan: Plan, begins: Sequence[int], base: int) -> tuple[int, ...]:
    """Return the elements at which regions begin, where periods do so at some, and the end."""
    extent = _extent(plan)
    cuts = {-(-begin // base) * base for begin in begins}
    return (0, *sorted(cut for cut in cuts if 0 < cut < extent), extent)


def _begins(
    plan: Plan, labels: Labels, period: str, remedy: str = "give a length in elements"
) -> list[int]:
    """Return the elements at which periods begin but the first; ``remedy`` is for messages."""
    extent = _extent(plan)
    texts = labels.texts.slice(0, extent)
    match = _DATE.fullmatch(labels.of(0) or "")
    if match is None or texts.null_count or len(texts) < extent:
        what = without_labels(plan)
        if texts.null_count or match is not None:
            what = "not all have one"
        elif len(texts):
            what = f"they are such as {labels.of(0)!r}"
        raise InputError(
            f"--region {period}: the elements of {plan.split} have no dates ({what}): {remedy}"
        )
    numbers = _numbers(plan, texts, match, period)
    if numbers is None or np.any(np.diff(numbers) < 0) or not _rise(texts):
        raise InputError(
            f"--region {period}: the elements of {plan.split} do not rise in time: {remedy}"
        )
    begins: list[int] = (np.flatnonzero(np.diff(numbers)) + 1).tolist()
    return begins


def _numbers(
    plan: Plan, texts: pa.StringArray, match: re.Match[str], period: str
) -> Int64Array | None:
    """Return the number of the period that each element is in; None where dates are none."""
    days = _DAYS.fullmatch(period)
    # All labels are spelled down to the same unit: what follows a period is as long in all.
    rest = len(match[0]) - match.end(3) + (0 if days else _ENDS[period])
    keys = (pc.utf8_slice_codeunits(texts, 0, -rest) if rest else texts).dictionary_encode()
    spelled = keys.dictionary.to_pylist()
    numbers = list(range(len(spelled)))
    if days:
        spec = coordinate_of(plan)
        calendar = None if spec is None else calendar_of(spec)
        try:
            each = [
                days_of(calendar or "proleptic_gregorian", *map(int, date.rsplit("-", 2)))
                for date in spelled
            ]
        except (TypeError, ValueError):
            return None
        numbers = [(day - each[0]) // int(days[1]) for day in each]
    found: Int64Array = np.array(numbers, np.int64)[np.asarray(keys.indices)]
    return found


def _rise(texts: pa.StringArray) -> bool:
    after, before = texts.slice(1), texts.slice(0, max(len(texts) - 1, 0))
    return bool(pc.all(pc.less_equal(before, after)).as_py() is not False)
