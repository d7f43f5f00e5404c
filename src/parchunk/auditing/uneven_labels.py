"""Whether the labels of the split dimension, where they are dates, go on in even steps.

A month that no store has leaves no chunk missing: the coordinate steps over it. Said is only what
is exactly so: nearly all steps are of one length, and the others so many times as long. Dates of
any other kind, such as those of scenes, are as they are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parchunk.auditing.findings import Finding, finding
from parchunk.keys.numbers import Int64Array
from parchunk.planning.joining.calendars import days_of
from parchunk.planning.joining.time_units import UNITS
from parchunk.planning.labels import Labels, calendar_of, coordinate_of
from parchunk.planning.plan import Plan
from parchunk.wording import counted

_DATE = (
    r"^(?P<year>\d{4,})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?: (?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<part>\d{1,9}))?)?)?$"
)
#: More steps than these, and than one in so many, are how the dates are when they are longer.
_FEW = 3
_ONE_IN = 10
#: Steps that are named.
_NAMED = 3
#: Days between two labels that can be told in nanoseconds, at most.
_MOST_DAYS = 100_000
_REMEDY = (
    "where that is not meant, have the producer write what lies between, or mend the coordinate, "
    "then run parchunk update OUT; else nothing need be done"
)


def uneven_labels(plan: Plan, labels: Labels, incomplete: Container[str] = ()) -> Iterator[Finding]:
    """Yield a notice where the dates of the split dimension fall or repeat, or step over some.

    Elements that a chunk of the coordinate is missing of are told as its gaps: it may be among the
    arrays that are ``incomplete``.
    """
    spec = coordinate_of(plan)
    calendar = None if spec is None else calendar_of(spec)
    if spec is None or calendar is None or len(labels) < _FEW:
        return
    without = labels.texts.is_null().to_numpy(zero_copy_only=False)
    if without.any() and not without.all():
        if spec.name in incomplete:
            return
        places = np.flatnonzero(without)
        named = [f"{at:,}" for at in places[:_NAMED].tolist()]
        named += ["..."] if len(places) > _NAMED else []
        these = counted(len(places), "element has", "elements have")
        message = f"{spec.name}: {these} no date (NaT or masked): {', '.join(named)}"
        yield finding("uneven-labels", message, _REMEDY, array=spec.name, count=len(places))
        return
    dates = _dates(labels.texts, calendar)
    if dates is None:
        return
    months, days, clock = (np.diff(numbers) for numbers in dates)
    places = np.flatnonzero((days < 0) | ((days == 0) & (clock <= 0)))
    if len(places):
        said = f"dates fall or repeat at {counted(len(places), 'place')}"
    elif days.max() > _MOST_DAYS:
        return
    else:
        spans = days * UNITS["days"] + clock
        if _is_even(months) or _is_even(spans):
            return
        steps, text = (spans, _span) if _is_stepped_over(spans) else (months, _months)
        if not _is_stepped_over(steps):
            return
        step = int(steps.min())
        places = np.flatnonzero(steps > step)
        over = int((steps[places] // step - 1).sum())
        even = counted(len(steps) - len(places), "step is", "steps are")
        said = (
            f"{even} of {text(step)}, and {len(places):,} longer, over {counted(over, 'date')} "
            "that would lie between"
        )
    named = [f"{labels.of(at)} then {labels.of(at + 1)}" for at in places[:_NAMED].tolist()]
    named += ["..."] if len(places) > _NAMED else []
    message = f"{spec.name}: {said}: {', '.join(named)}"
    yield finding("uneven-labels", message, _REMEDY, array=spec.name, count=len(places))


def _is_even(steps: Int64Array) -> bool:
    """Whether all steps are as long, and none is nothing."""
    return bool(steps[0] > 0 and (steps == steps[0]).all())


def _is_stepped_over(steps: Int64Array) -> bool:
    """Whether all steps are as long, but for few, which are so many times as long."""
    step = steps.min()
    if step <= 0 or (steps % step).any():
        return False
    longer = int((steps > step).sum())
    return 2 * longer < len(steps) and longer <= max(_FEW, len(steps) // _ONE_IN)


def _dates(
    texts: pa.StringArray, calendar: str
) -> tuple[Int64Array, Int64Array, Int64Array] | None:
    """Return labels as months since the year 0, days, and nanoseconds of the day; None: not all.

    Each has the shape (n,).
    """
    found = pc.extract_regex(texts, _DATE)
    if found.null_count:
        return None
    numbers = {
        name: pc.if_else(pc.equal(found.field(name), ""), "0", found.field(name))
        for name in ("year", "month", "day", "hour", "minute", "second")
    }
    part = pc.utf8_rpad(found.field("part"), 9, "0")
    year, month, day, hour, minute, second, rest = (
        column.cast(pa.int64()).to_numpy() for column in (*numbers.values(), part)
    )
    months = year * 12 + month - 1
    different, places = np.unique(months * 32 + day, return_inverse=True)
    try:
        counted_days = [
            days_of(calendar, at // 32 // 12, at // 32 % 12 + 1, at % 32)
            for at in different.tolist()
        ]
    except ValueError:
        return None  # labels of another calendar than the plan's
    days = np.array(counted_days, np.int64)[places.reshape(-1)]
    return months, days, ((hour * 60 + minute) * 60 + second) * UNITS["seconds"] + rest


def _months(step: int) -> str:
    return counted(step // 12, "year") if step % 12 == 0 else counted(step, "month")


def _span(step: int) -> str:
    """Return nanoseconds in the longest unit that they are whole numbers of."""
    names = ("day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond")
    name = next(name for name in names if step % UNITS[f"{name}s"] == 0)
    return counted(step // UNITS[f"{name}s"], name)
