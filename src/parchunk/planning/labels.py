"""Labels of a dimension's elements: its coordinate as text, dates where CF says that it is a time.

All labels of one dimension are spelled alike, down to the same unit, so that those of dates sort as
the dates do, and what begins a label is its year, month, day or hour. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.metadata.names import group_of
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.coordinates import MOST_CHUNKS, is_coordinate_of_own
from parchunk.planning.joining.calendars import date_of, days_of
from parchunk.planning.joining.masking import masked, with_sign
from parchunk.planning.joining.time_units import UNITS, TimeUnits, parse_time_units
from parchunk.planning.plan import Plan

#: A coordinate that is longer is not read.
MOST_ELEMENTS = 2_000_000
#: Days that a date is told of, at most: farther ones are numbers.
_LAST_DAY = 4_000_000_000
#: Values that are labelled at once.
_AT_ONCE = 100_000
_DAY = UNITS["days"]
#: Down to what the time of day is told: the first of these that loses nothing of any label.
_TICKS = ("days", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds")
_NUMPY_UNITS = {
    "W": "weeks", "D": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
}  # fmt: skip


def coordinate_of(plan: Plan) -> ArraySpec | None:
    """Return the split dimension's coordinate: the array along it alone that is named like it.

    None where there is none, where several groups have their own of other lengths, or where it is
    too long. Where there are several, they have to say the same (`coordinates_of`).
    """
    return next(iter(coordinates_of(plan)), None)


def coordinates_of(plan: Plan) -> tuple[ArraySpec, ...]:
    """Return the split dimension's coordinate, and those of other groups that must say the same.

    That is for who reads them to see. Those of series side by side that are kept, and the same,
    count once; none of many stores are read to be compared. Nor is there one where a group that has
    none, nor lies below one that has, has arrays of another length along the dimension.
    """
    named = own_coordinates(plan)
    kept = {} if plan.stores is None else plan.stores.kept
    found = [*named[:1], *(spec for spec in named[1:] if not _is_same(spec, named[0], kept))]
    if len(found) > 1 and plan.stores is not None:
        return ()
    if len({spec.shape for spec in found}) > 1 or sum(spec.total for spec in found) > MOST_CHUNKS:
        return ()
    if not found or found[0].shape[0] > MOST_ELEMENTS or _is_of_others(plan, named):
        return ()
    return tuple(found)


def _is_of_others(plan: Plan, named: Sequence[ArraySpec]) -> bool:
    """Whether a split array is in no group of a coordinate, nor below one, and as long as none."""
    groups = {group_of(spec.name) for spec in named}
    lengths = {spec.shape[0] for spec in named}
    if "" in groups:
        return False
    return any(
        array.axis is not None
        and array.spec.shape[array.axis] not in lengths
        and not any(f"{array.spec.name}/".startswith(f"{group}/") for group in groups)
        for array in plan.arrays
    )


def own_coordinates(plan: Plan) -> list[ArraySpec]:
    """Return the coordinates of the split dimension in all groups; that of the root comes first."""
    dimension = None if plan.split is None else plan.split.dimension
    named = (
        array.spec
        for array in plan.arrays
        if is_coordinate_of_own(array.spec) and array.spec.dimension_names[0] == dimension
    )
    return sorted(named, key=lambda spec: spec.name != dimension)


def labels_of_all(each: Iterable[Iterable[pa.StringArray]]) -> Labels:
    """Return the labels that several coordinates have in common; none where they differ."""
    found: Labels | None = None
    for parts in each:
        labels = Labels(pa.concat_arrays([*parts] or [Labels().texts]))
        if found is not None and not labels.texts.equals(found.texts):
            return Labels()
        found = labels
    return found or Labels()


def without_labels(plan: Plan) -> str:
    """Return why the elements of the split dimension have no labels, for messages."""
    named = own_coordinates(plan)
    if named and _is_of_others(plan, named):
        return f"{named[0].name} is of another group than arrays of other lengths"
    if len(named) < 2:
        return "it has no coordinate that can be read"
    names = ", ".join(spec.name for spec in named[:3])
    return f"{names}{', ...' if len(named) > 3 else ''} do not say the same, or cannot be read"


def _is_same(one: ArraySpec, other: ArraySpec, kept: Mapping[str, bytes | None]) -> bool:
    """Whether two coordinates are known to have the same values, in the same units."""
    return one.name == other.name or (
        one.name in kept
        and kept[one.name] == kept.get(other.name)
        and (one.document, one.attributes) == (other.document, other.attributes)
    )


def label_values(
    values: NDArray[Any], spec: ArraySpec, absent: NDArray[np.bool_]
) -> Iterator[pa.StringArray]:
    """Yield the labels of a coordinate's values, some at a time, null where there is none.

    ``values`` are what zarr-python reads of it, one-dimensional; those that are ``absent`` were
    never written, and are fill values.
    """
    time = _times(values, spec, absent)
    for part, none in _parts(values, spec, absent):
        if time is None:
            yield pa.array(_texts(part), pa.string(), mask=none)
        else:
            yield time.texts(part, none)


def _parts(
    values: NDArray[Any], spec: ArraySpec, absent: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield some values at a time, and which of them are none: those are 0."""
    for begin in range(0, len(values), _AT_ONCE):
        part = values[begin : begin + _AT_ONCE]
        none = absent[begin : begin + _AT_ONCE] | masked(part, spec, is_coordinate=True)
        if part.dtype.kind == "M":
            none |= np.isnat(part)
            part = part.astype(np.int64)
        part = _unpacked(part, spec)
        if part.dtype.kind == "f":
            none |= ~np.isfinite(part)
        if part.dtype.kind in "iuf":
            part = np.where(none, np.zeros((), part.dtype), part)
        yield part, none


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "S":
        return np.array([value.decode("utf-8", "replace") for value in values.tolist()], object)
    if values.dtype.kind in "iufU":
        texts = values.astype("U").astype(object)  # the shortest text that is the number
        return np.array([text.removesuffix(".0") for text in texts.tolist()], object)
    return np.array([str(value) for value in values.tolist()], object)


def _unpacked(values: NDArray[Any], spec: ArraySpec) -> NDArray[Any]:
    """Return what packed values stand for."""
    values = with_sign(values, spec)
    scale, offset = (spec.attributes.get(name) for name in ("scale_factor", "add_offset"))
    if values.dtype.kind not in "iuf" or (scale is None and offset is None):
        return values
    try:
        unpacked: NDArray[Any] = values * float(1 if scale is None else scale) + float(offset or 0)
    except (TypeError, ValueError):
        return values
    return unpacked


@dataclass(frozen=True)
class _Times:
    """How numbers are told as dates: ``ticks`` is the unit that the time of day goes down to.

    Floats of which some are not whole are ``rounded`` to milliseconds: days and hours in floats do
    not hold a second exactly.
    """

    units: TimeUnits
    rounded: bool = False
    ticks: str = "days"

    @property
    def farthest(self) -> float:
        """The largest number whose day and time of day are told in 64 bits."""
        if self.rounded:
            return 2.0**62 / max(self.units.length / UNITS["milliseconds"], 1.0)
        return 2.0**53 if self.units.length >= _DAY else 2.0**63 - 2048

    def days(self, values: NDArray[Any]) -> tuple[Int64Array, Int64Array]:
        """Return the day of each value, as calendars count them, and the nanoseconds within it."""
        units = self.units
        if self.rounded:
            # of floats of 32 bits a product would be off by minutes
            values = np.round(values.astype(np.float64) * (units.length / UNITS["milliseconds"]))
            units = replace(units, unit="milliseconds")
        return _days(values.astype(np.int64), units)

    def texts(self, values: NDArray[Any], none: NDArray[np.bool_]) -> pa.StringArray:
        """Return the dates of values, null where they are none."""
        days, clock = self.days(values)
        found = _spelled(days, partial(_date, self.units.calendar))
        if self.ticks != "days":
            found = pc.binary_join_element_wise(
                found, _spelled(clock, partial(_clock, self.ticks)), " "
            )
        return pc.if_else(pa.array(none), pa.scalar(None, pa.string()), found)


def _times(values: NDArray[Any], spec: ArraySpec, absent: NDArray[np.bool_]) -> _Times | None:
    """Return how all values are told as dates; None when they are no times, or one is too far."""
    units = _units(spec) if values.dtype.kind in "iuf" else _numpy_units(values.dtype)
    if units is None:
        return None
    rounded = any(
        part.dtype.kind == "f" and bool(np.any(part != np.floor(part)))
        for part, _ in _parts(values, spec, absent)
    )
    time = _Times(units, rounded)
    first = days_of(units.calendar, 1, 1, 1)
    finest = 0
    for part, none in _parts(values, spec, absent):
        if time.farthest < float(max(part.max(initial=0), -float(part.min(initial=0)))):
            return None
        days, clock = (found[~none] for found in time.days(part))
        if len(days) and not (first <= days.min() and days.max() <= _LAST_DAY):
            return None
        while finest + 1 < len(_TICKS) and np.any(clock % UNITS[_TICKS[finest]]):
            finest += 1
    return replace(time, ticks=_TICKS[finest])


def _units(spec: ArraySpec) -> TimeUnits | None:
    """Return the coordinate's units, where they are a time since a date that can be read."""
    try:
        return parse_time_units(spec.attributes.get("units"), spec.attributes.get("calendar"))
    except ValueError:
        return None


def calendar_of(spec: ArraySpec) -> str | None:
    """Return the calendar of a coordinate of dates; None where it is none."""
    units = _units(spec) or _numpy_units(np.dtype(spec.dtype))
    return None if units is None else units.calendar


def _numpy_units(dtype: np.dtype[Any]) -> TimeUnits | None:
    if dtype.kind != "M":
        return None
    unit, count = np.datetime_data(dtype)
    name = _NUMPY_UNITS.get(unit)
    if name is None or count != 1:
        return None
    calendar = "proleptic_gregorian"
    origin = days_of(calendar, 1970, 1, 1) * _DAY
    return TimeUnits(name, origin, calendar, "1970-01-01")


def _days(values: Int64Array, units: TimeUnits) -> tuple[Int64Array, Int64Array]:
    """Return the day of each value, as calendars count them, and the nanoseconds within it."""
    first, rest = divmod(units.origin, _DAY)
    if units.length >= _DAY:
        days = values * (units.length // _DAY)
        clock = np.full(len(values), rest, np.int64)
    else:
        per_day = _DAY // units.length
        days = values // per_day
        clock = (values - days * per_day) * units.length + rest
    carried = clock // _DAY
    return days + (first + carried), clock - carried * _DAY


def _spelled(numbers: Int64Array, spell: Callable[[int], str]) -> pa.StringArray:
    """Return the text of each number; each different one is spelled once."""
    different, places = np.unique(numbers, return_inverse=True)
    texts = pa.array([spell(number) for number in different.tolist()], pa.string())
    return texts.take(pa.array(places.reshape(-1)))


def _date(calendar: str, day: int) -> str:
    year, month, of_month = date_of(calendar, day)
    return f"{year:04d}-{month:02d}-{of_month:02d}"


def _clock(unit: str, moment: int) -> str:
    """Return nanoseconds within a day as a time of day, to the unit."""
    seconds, part = divmod(moment, UNITS["seconds"])
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    if unit == "minutes":
        return text
    text += f":{seconds % 60:02d}"
    if unit == "seconds":
        return text
    digits = {"milliseconds": 3, "microseconds": 6, "nanoseconds": 9}[unit]
    return f"{text}.{part:09d}"[: len(text) + 1 + digits]


class Labels:
    """The labels of one dimension's elements; empty when it has no coordinate that can be read."""

    def __init__(self, texts: pa.StringArray | None = None) -> None:
        """Label elements by ``texts``, one an element, null where there is none."""
        self.texts = pa.array([], pa.string()) if texts is None else texts

    def __len__(self) -> int:
        """Return how many elements are labelled."""
        return len(self.texts)

    def of(self, element: int) -> str | None:
        """Return the label of an element, or None."""
        if not 0 <= element < len(self.texts):
            return None
        label: str | None = self.texts[element].as_py()
        return label

    def between(self, start: int, stop: int) -> str | None:
        """Return ``first to last`` of the elements ``[start, stop)``, or None."""
        first, last = self.of(start), self.of(stop - 1)
        if first is None or last is None:
            return None
        return first if first == last else f"{first} to {last}"
