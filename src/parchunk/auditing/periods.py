"""Completeness by year, month, day or hour, as the labels of the split dimension say.

A chunk is of the period of its first element along the dimension; so the chunks of all periods are
those of the array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parchunk.auditing.gaps import Steps
from parchunk.auditing.policy import Policy
from parchunk.errors import InputError
from parchunk.keys.numbers import Int64Array
from parchunk.planning.labels import Labels, without_labels
from parchunk.planning.plan import Plan
from parchunk.wording import counted

UNITS = ("year", "month", "day", "hour")
#: In place of a unit: the one that suits the dates there are, or none.
FITTING = "fitting"
#: Periods that a page has room for.
_ROOM = 60
#: A label that is a date, and where each unit of it ends.
_DATE = re.compile(r"(?P<year>\d{4,})-(?P<month>\d\d)-(?P<day>\d\d)(?: (?P<hour>\d\d):\d\d\S*)?")
#: Arrays of a period that are named.
_NAMED = 3


@dataclass(frozen=True)
class Period:
    """What is there of one period, over the arrays that have the split dimension.

    ``name`` is such as ``2015-01``, None for elements without a date. ``start`` and ``stop`` are
    its first element and the one after its last. ``unread`` are chunks of which nothing is known:
    their partitions are not built, or their record files are damaged. ``by_array`` has the missing
    chunks of each array that lacks some.
    """

    name: str | None
    start: int
    stop: int
    expected: int
    missing: int
    unread: int
    by_array: dict[str, int]

    @property
    def present(self) -> int:
        """Chunks that are there."""
        return self.expected - self.missing - self.unread

    @property
    def complete(self) -> bool:
        """Whether every expected chunk is there."""
        return not self.missing and not self.unread

    @property
    def arrays_text(self) -> str:
        """The arrays that lack most, in words."""
        most = sorted(self.by_array.items(), key=lambda item: (-item[1], item[0]))
        said = ", ".join(f"{name} ({missing:,})" for name, missing in most[:_NAMED])
        rest = len(most) - _NAMED
        return f"{said} and {rest:,} more" if rest > 0 else said

    def to_json(self) -> dict[str, Any]:
        """Return the period as JSON values."""
        return {
            "period": self.name,
            "elements": [self.start, self.stop],
            "expected": self.expected,
            "present": self.present,
            "missing": self.missing,
            "unread": self.unread,
            "complete": self.complete,
            "missing_by_array": self.by_array,
        }


@dataclass(frozen=True)
class Periods:
    """All periods of a dimension in its order; ``unit`` is one of `UNITS`."""

    unit: str
    dimension: str
    periods: tuple[Period, ...]

    @property
    def incomplete(self) -> tuple[Period, ...]:
        """Those that lack something."""
        return tuple(period for period in self.periods if not period.complete)

    @property
    def text(self) -> str:
        """How many are complete, in words."""
        whole = len(self.periods) - len(self.incomplete)
        return f"{whole:,} of {counted(len(self.periods), self.unit)} are complete"

    def to_json(self) -> dict[str, Any]:
        """Return the periods as JSON values."""
        return {
            "unit": self.unit,
            "dimension": self.dimension,
            "periods": [period.to_json() for period in self.periods],
        }


def check_unit(unit: str | None) -> None:
    """Refuse a unit that is none, and not `FITTING`.

    Raises
    ------
    InputError
        Naming those there are.
    """
    if unit is not None and unit not in (*UNITS, FITTING):
        raise InputError(f"--by {unit}: give {', '.join(UNITS[:-1])} or {UNITS[-1]}")


def unit_of(by: str | None, plan: Plan, labels: Labels) -> str | None:
    """Return the periods to tell of a plan's split dimension: of `FITTING` those that fit, if any.

    Raises
    ------
    InputError
        When others are asked, and there are no dates.
    """
    dimension = None if plan.split is None else plan.split.dimension
    if by == FITTING:
        return fitting_unit(dimension, labels)
    if by is not None:
        _require_dates(by, dimension, labels, without_labels(plan))
    return by


def _require_dates(
    unit: str, dimension: str | None, labels: Labels, without: str = "they have no labels"
) -> re.Match[str]:
    """Return the first date of a dimension's elements; ``without`` is why they have no labels.

    Raises
    ------
    InputError
        When there is none, or its elements have no dates.
    """
    if dimension is None:
        raise InputError(f"--by {unit}: there is no split dimension with a name to tell dates of")
    first = next(iter(labels.texts.drop_null()), None)
    match = None if first is None else _DATE.fullmatch(first.as_py())
    if match is None:
        said = without if first is None else f"they are such as {first.as_py()!r}"
        raise InputError(
            f"--by {unit}: the elements of {dimension} have no dates ({said}): audit without --by, "
            f"or see docs/sql.md for which coordinates are told as dates"
        )
    return match


def fitting_unit(dimension: str | None, labels: Labels) -> str | None:
    """Return the finest of years, months and days of which a page has room for all.

    None where the dimension's elements have no dates.
    """
    found, before = None, 0
    for unit in UNITS[:3]:
        try:
            names, _ = _named(unit, dimension, labels, len(labels))
        except InputError:
            break
        # As many days as months would be months under longer names.
        if found is not None and (len(names) > _ROOM or len(names) == before):
            break
        found, before = unit, len(names)
    return found


def periods_of(
    unit: str,
    dimension: str | None,
    labels: Labels,
    arrays: Iterable[tuple[Steps, Sequence[tuple[int, int]]]],
    policy: Policy,
) -> Periods:
    """Return what is there by period; ``arrays`` are those along ``dimension``.

    Beside the steps of each are those that are in no store: they are not expected.

    Raises
    ------
    InputError
        When the dimension's elements have no dates.
    """
    steps = list(arrays)
    extent = max((each.spec.shape[each.axis] for each, _ in steps), default=0)
    names, codes = _named(unit, dimension, labels, extent)
    counted = np.zeros((3, len(names)), np.int64)
    by_array: list[dict[str, int]] = [{} for _ in names]
    for each, lacking in steps:
        at = codes[:: each.spec.reference_chunks[each.axis]][: each.size]
        expected = policy.expectation(each.spec).along(each.axis)
        for low, high in lacking:
            expected[low:high] = 0
        unread = np.where(each.unknown, np.maximum(expected - each.missing, 0), 0)
        for row, values in enumerate((expected, each.missing, unread)):
            counted[row] += _summed(values, at, len(names))
        missing = _summed(each.missing, at, len(names))
        for place in np.flatnonzero(missing).tolist():
            by_array[place][each.spec.name] = int(missing[place])
    first, last = _ends(codes, len(names))
    return Periods(
        unit,
        dimension or "",
        tuple(
            Period(name, start, stop, expected, missing, unread, by)
            for name, start, (expected, missing, unread), stop, by in zip(
                names,
                first.tolist(),
                counted.T.tolist(),
                (last + 1).tolist(),
                by_array,
                strict=True,
            )
        ),
    )


def _named(
    unit: str, dimension: str | None, labels: Labels, extent: int
) -> tuple[list[str | None], Int64Array]:
    """Return the periods in order, and which of them each element is in."""
    match = _require_dates(unit, dimension, labels)
    known = labels.texts.slice(0, extent)
    # All labels are spelled down to the same unit: what follows a period is as long in all.
    end = match.end(unit) if match[unit] is not None else match.end("day")
    rest = len(match[0]) - end
    keys = pc.utf8_slice_codeunits(known, 0, -rest) if rest else known
    encoded = pa.concat_arrays([keys, pa.nulls(extent - len(keys), pa.string())]).dictionary_encode(
        null_encoding="encode"
    )
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices).astype(np.int64)


def _summed(values: Int64Array, codes: Int64Array, count: int) -> Int64Array:
    total = np.zeros(count, np.int64)
    np.add.at(total, codes, values)
    return total


def _ends(codes: Int64Array, count: int) -> tuple[Int64Array, Int64Array]:
    """Return the first and the last element of each period."""
    places = np.arange(len(codes))
    first, last = np.full(count, len(codes), np.int64), np.zeros(count, np.int64)
    np.minimum.at(first, codes, places)
    np.maximum.at(last, codes, places)
    return first, last


def period_rows(found: Sequence[Period]) -> list[tuple[str, str, int, int, int, int, str]]:
    """Return a row of a table for each period: of its chunks, and the arrays that lack most."""
    return [
        (
            period.name or "no date",
            f"{period.start:,}-{period.stop - 1:,}",
            period.expected,
            period.present,
            period.missing,
            period.unread,
            period.arrays_text,
        )
        for period in found
    ]


#: What the columns of `period_rows` are called.
PERIOD_COLUMNS = ("elements", "expected", "present", "missing", "unread", "arrays that lack some")
