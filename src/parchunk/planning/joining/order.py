"""Whether stores follow each other: their coordinates rise, or fall, across every border.

An overlap would give two values for one moment, a step backwards a dataset that no selection by
label finds its way in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.wording import counted


@dataclass(frozen=True)
class Span:
    """The coordinate's values in one store, and what messages call the store.

    ``masked`` says which of them stand for none; None where there are none of these.
    """

    label: str
    values: NDArray[Any]
    masked: NDArray[np.bool_] | None = None

    @property
    def none(self) -> NDArray[np.bool_]:
        """Which values are none: NaN, NaT and those that are masked."""
        found = np.zeros(self.values.shape, bool)
        if self.values.dtype.kind in "mM":
            found = np.isnat(self.values)
        elif self.values.dtype.kind == "f":
            found = np.isnan(self.values)
        return found if self.masked is None else found | self.masked


def order_problems(
    dimension: str, spans: Sequence[Span], text: Callable[[Any], str] = str
) -> list[str]:
    """Return a sentence for every border at which stores overlap or step backwards.

    ``text`` spells a number for people; NumPy's times are told as such. A coordinate that neither
    rises nor falls within its stores need not between them, but what one store has no other may
    have. What has no value has no place among the others.
    """
    spans = [span for span in spans if span.values.size]
    if len(spans) < 2:
        return []
    without = [(span.label, int(span.none.sum())) for span in spans if span.none.any()]
    if without:
        return [
            f"{dimension} has {counted(count, 'element')} in {label} without a value (NaN, NaT or "
            "masked)"
            for label, count in without
        ]
    unit = time_unit(spans)
    if unit is not None:
        spans = [Span(span.label, span.values.astype(unit)) for span in spans]
        text = partial(_time_text, unit)
    spans = [Span(span.label, _numbers(span.values)) for span in spans]
    if any(span.values.dtype.kind not in "iuf" for span in spans):
        return _repeats(dimension, spans, text)
    steps = {_direction(span.values) for span in spans if span.values.size > 1}
    if not steps:
        steps = {_direction(np.array([spans[0].values[0], spans[-1].values[0]]))} - {0}
        steps = steps or {1}
    if len(steps) > 1 or 0 in steps:
        return _repeats(dimension, spans, text)
    sign = steps.pop()
    found = []
    for before, after in pairwise(spans):
        low, high = before.values[-1], after.values[0]
        if (high > low) if sign > 0 else (high < low):
            continue
        ends = (before.values[0], after.values[-1])
        apart = ends[1] < ends[0] if sign > 0 else ends[1] > ends[0]
        what = "steps backwards" if apart else "overlaps"
        found.append(
            f"{dimension} {what}: {before.label} holds {_range(before, text)}, and "
            f"{after.label} after it {_range(after, text)}"
        )
    return found


def rising_order(spans: Sequence[Span]) -> list[int]:
    """Return the positions of the stores in the order of their first values; empty ones last."""

    def first(position: int) -> tuple[bool, Any]:
        values = spans[position].values
        return (False, values.min()) if values.size else (True, 0)

    found = sorted(range(len(spans)), key=first)
    falling = {_direction(span.values) for span in spans if span.values.size > 1} == {-1}
    if falling:
        full = [position for position in found if spans[position].values.size]
        return full[::-1] + found[len(full) :]
    return found


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return times as the numbers that they are stored as, anything else as it is."""
    return values.astype(np.int64) if values.dtype.kind in "mM" else values


#: NumPy's units of time, the coarsest first.
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic")


def time_unit(spans: Sequence[Span]) -> np.dtype[Any] | None:
    """Return the type in which NumPy's times are compared; None where values are no such times."""
    types = [span.values.dtype for span in spans]
    if {one.kind for one in types} not in ({"m"}, {"M"}):
        return None
    try:
        finest = np.result_type(*types).newbyteorder("=")
    except TypeError:  # of months and days, which are not written together later on
        return None
    # The year 3020 is none in nanoseconds: there it would be another one without an error.
    exact = (one for one in (finest, *types) if all(_is_exact(span.values, one) for span in spans))
    coarsest = min(types, key=lambda one: _UNITS.index(np.datetime_data(one)[0]))
    return next(exact, coarsest).newbyteorder("=")


def _is_exact(times: NDArray[Any], unit: np.dtype[Any]) -> bool:
    try:
        return np.array_equal(times.astype(unit).astype(times.dtype), times, equal_nan=True)
    except OverflowError:  # of newer NumPy; older ones give another year
        return False


def _time_text(unit: np.dtype[Any], number: int) -> str:
    """Return a time that is stored as ``number``, without a time of day at midnight."""
    time = np.array(number, np.int64).view(unit)[()]
    if unit.kind == "m":
        return str(time)
    date, _, clock = str(time).partition("T")
    if not clock.strip("0:."):
        return date
    if "." in clock:
        clock = clock.rstrip("0").rstrip(".")
    return f"{date} {clock[:-3] if len(clock) == 8 and clock.endswith(':00') else clock}"


def _direction(values: NDArray[Any]) -> int:
    """Return 1 where values rise, -1 where they fall, 0 where they do neither."""
    if (values[1:] > values[:-1]).all():
        return 1
    return -1 if (values[1:] < values[:-1]).all() else 0


def _range(span: Span, text: Callable[[Any], str]) -> str:
    # as Python's numbers, of which no product is too large
    first, last = text(span.values[0].item()), text(span.values[-1].item())
    return first if first == last else f"{first} to {last}"


def _repeats(dimension: str, spans: Sequence[Span], text: Callable[[Any], str]) -> list[str]:
    seen: dict[Any, str] = {}
    found = []
    for span in spans:
        for value in dict.fromkeys(span.values.tolist()):
            if seen.setdefault(value, span.label) != span.label:
                found.append(
                    f"{dimension} repeats: {text(value)} is in {seen[value]} and in {span.label}"
                )
                break
    return found
