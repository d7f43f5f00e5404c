"""Values of several stores in one unit of time: nothing rounded, whole numbers kept whole.

Months come as ``hours since 1990-01-01`` and ``hours since 1990-02-01``: the bytes of the second
are no dates in the first's units. Here they are shifted exactly, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from parchunk.planning.joining.time_units import UNITS, TimeUnits, one_calendar

Values: TypeAlias = NDArray[Any]

#: What floats that are no exact multiple of a longer unit are rounded to, the longest first.
_TICKS = ("seconds", "milliseconds", "microseconds")
_LARGEST = (1 << 63) - 1
#: Whole numbers up to this are floats without loss.
_WHOLE_FLOATS = 1 << 53


class InexactError(ValueError):
    """Values have no common units in which all of them are exact; the reason is the message."""


@dataclass(frozen=True)
class TimedValues:
    """What one store holds of an array: values in units of time, and which of them are none."""

    values: Values
    units: TimeUnits
    masked: NDArray[np.bool_] | None = None

    @property
    def valid(self) -> Values:
        """The values that are times."""
        none = np.zeros(self.values.shape, bool) if self.masked is None else self.masked
        if self.values.dtype.kind == "f":
            none = none | ~np.isfinite(self.values)
        found: Values = self.values[~none]
        return found


def in_common_units(parts: Sequence[TimedValues]) -> tuple[list[Values], TimeUnits]:
    """Return the values of all parts in the units returned; masked values are left as anything.

    Units that mean the same stay, and so do the values. Otherwise it is the first part's unit
    since its date, or the longest shorter one in which whole numbers stay whole.

    Raises
    ------
    InexactError
        When there are no such units.
    """
    first = parts[0].units
    if all(part.units.means_the_same(first) for part in parts):
        return [part.values for part in parts], first
    for part in parts:
        if part.values.dtype.kind not in "iuf":
            raise InexactError(f"{part.values.dtype} is no number of {part.units.unit}")
    try:
        calendars = one_calendar([p.units for p in parts], [_lowest(p) for p in parts])
    except ValueError as error:
        raise InexactError(str(error)) from None
    parts = [replace(p, units=units) for p, units in zip(parts, calendars, strict=True)]
    whole = [_whole(part) for part in parts]
    if all(part is not None for part in whole):
        values, units = _shifted([part for part in whole if part is not None])
        if all(part.values.dtype.kind in "iu" for part in parts):
            return values, units
        if all(np.abs(some).max(initial=0) <= _WHOLE_FLOATS for some in values):
            return [some.astype(np.float64) for some in values], units
        return values, units
    exact = [_moved(part, parts[0].units) for part in parts]
    if all(some is not None for some in exact):
        return [some for some in exact if some is not None], parts[0].units
    for tick in _TICKS:
        ticks = [_ticks(part, tick) for part in parts]
        if all(part is not None for part in ticks):
            return _shifted([part for part in ticks if part is not None], parts[0].units)
    raise InexactError(
        f"fractions of {first.unit} since {first.reference} that other units do not hold exactly"
    )


def _lowest(part: TimedValues) -> int:
    valid = part.valid
    if not valid.size:
        return part.units.origin
    low = valid.min()
    return part.units.origin + int(float(low) * part.units.length)


def _whole(part: TimedValues) -> TimedValues | None:
    """Return the part with whole numbers of 64 bits, or None when it holds a fraction."""
    values = part.values
    masked = np.zeros(values.shape, bool) if part.masked is None else part.masked
    if values.dtype.kind == "f":
        if not np.isfinite(values[~masked]).all():
            return None  # a NaN among times stays one, in floats
        values = np.where(masked, 0, values)
        if (values != np.floor(values)).any() or np.abs(values).max(initial=0) >= 2.0**63:
            return None
    elif values.dtype.kind == "u" and values.size and int(values.max()) > _LARGEST:
        return None
    return replace(part, values=np.where(masked, 0, values).astype(np.int64))


def _shifted(
    parts: Sequence[TimedValues], wanted: TimeUnits | None = None
) -> tuple[list[Values], TimeUnits]:
    """Return whole numbers in the longest units that hold all of them as whole numbers."""
    first = parts[0].units if wanted is None else wanted
    for units in first.finer():
        if all(_fits(part, units) for part in parts):
            return [_in_units(part, units) for part in parts], units
    raise InexactError("dates that are less than a nanosecond apart")


def _fits(part: TimedValues, units: TimeUnits) -> bool:
    """Whether all numbers of a part are whole numbers in other units."""
    apart = part.units.origin - units.origin
    if units.length <= part.units.length:
        return apart % units.length == 0
    if apart % part.units.length:
        return False
    ratio = units.length // part.units.length
    apart = apart // part.units.length % ratio
    return not ((part.valid % ratio + apart) % ratio).any()


def _in_units(part: TimedValues, units: TimeUnits) -> Values:
    """Return whole numbers in other units, in which they are whole."""
    apart = part.units.origin - units.origin
    length, unit = part.units.length, units.length
    ends = [int(end) for end in (part.values.min(initial=0), part.values.max(initial=0))]
    if unit <= length:
        steps = [end * (length // unit) for end in ends]
        steps += [apart // unit, *(step + apart // unit for step in steps)]
    else:
        steps = [apart // length, *(end + apart // length for end in ends)]
    if any(abs(step) > _LARGEST for step in steps):
        raise InexactError(f"{units} as whole numbers of more than 64 bits")
    if unit <= length:
        return part.values * (length // unit) + apart // unit
    shifted = part.values + apart // length
    return shifted // (unit // length)


def _moved(part: TimedValues, units: TimeUnits) -> Values | None:
    """Return floats in units that differ by their date only, None unless each sum is exact."""
    apart = part.units.origin - units.origin
    if part.units.length != units.length:
        return None
    by = apart / units.length
    if by * units.length != apart or part.values.dtype.kind not in "iuf":
        return None
    values = part.values.astype(np.float64)
    if part.values.dtype.kind in "iu" and np.abs(values).max(initial=0) > _WHOLE_FLOATS:
        return None
    total = values + by
    # What rounding took away, exactly (Knuth's two-sum).
    back = total - values
    lost = (values - (total - back)) + (by - back)
    finite = np.isfinite(values)
    return total if not lost[finite].any() else None


def _ticks(part: TimedValues, tick: str) -> TimedValues | None:
    """Return the part in whole ticks, where each value is one but for the rounding of a float."""
    values, per = part.values, part.units.length / UNITS[tick]
    if values.dtype.kind in "iu":
        return _whole(part)
    if values.dtype != np.float64 or per < 1:
        return None
    masked = np.zeros(values.shape, bool) if part.masked is None else part.masked
    if not np.isfinite(values[~masked]).all():
        return None
    values = np.where(masked, 0, values)
    ticks = np.rint(values * per)
    if np.abs(ticks).max(initial=0) > _WHOLE_FLOATS:
        return None
    if (np.abs(values - ticks / per) > np.spacing(np.abs(values))).any():
        return None
    units = replace(part.units, unit=tick)
    return replace(part, values=ticks.astype(np.int64), units=units)
