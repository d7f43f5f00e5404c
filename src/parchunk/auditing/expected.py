"""Ranges of a dimension that policies name: in elements, or from one date to another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from parchunk.errors import InputError
from parchunk.planning.labels import Labels

_ELEMENTS = re.compile(r"(?P<dimension>.+)=(?P<start>-?\d*):(?P<stop>-?\d*)")
_DATE = r"\d{4,}-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d)?)?)?)?"
_DATES = re.compile(rf"(?P<dimension>.+?)=(?P<start>{_DATE})?:(?P<stop>{_DATE})?")

#: So many of the last steps tell when another element would come.
_STEPS = 32
#: The shortest of months, which are steps of the calendar where dates are all of one day.
_MONTH = timedelta(days=28)


@dataclass(frozen=True)
class Expected:
    """The elements ``start <= element < stop`` of a dimension; ``given`` is for messages."""

    dimension: str
    start: int
    stop: int | None
    given: str = field(default="", compare=False)


@dataclass(frozen=True)
class ExpectedDates:
    """From one date to another, both included; None: from or to the end.

    A date that leaves out the day or the hour is all of that month or day. ``given`` is what was
    asked for, for messages.
    """

    dimension: str
    start: str | None
    stop: str | None
    given: str

    def elements(self, dimension: str | None, labels: Labels) -> Expected:
        """Return the elements that they are, by the labels of the split ``dimension``.

        Raises
        ------
        InputError
            When another dimension is meant, its elements have no dates, or they do not rise, or
            none is between these dates.
        """
        if self.dimension != dimension:
            raise InputError(
                f"{self.given}: dates are known of the split dimension "
                f"{dimension or '(there is none)'} only: give elements of {self.dimension}"
            )
        texts = labels.texts
        problem = _problem(labels)
        if problem is not None:
            raise InputError(
                f"{self.given}: the elements of {dimension} {problem}: give elements, such as "
                f"{self.dimension}=0:100"
            )
        first, last = (_no_finer(date, labels) for date in (self.start, self.stop))
        start = 0 if first is None else _first_from(texts, first)
        stop = len(texts) if last is None else _first_behind(texts, last)
        if start >= stop:
            raise InputError(
                f"{self.given}: no element of {dimension} is between these dates; there "
                f"are {labels.of(0)} to {labels.of(len(texts) - 1)}"
            )
        return Expected(self.dimension, start, stop, self.given)

    def ends_early(self, labels: Labels) -> str | None:
        """Return the last label, where it is before the last date and another is expected by then.

        The steps before tell when that one would come: of daily data none does by 23:00 of the
        last day. Of a month or a day that is the last date any element will do.
        """
        last, stop = labels.of(len(labels) - 1), _no_finer(self.stop, labels)
        if last is None or stop is None or last[: len(stop)] >= stop:
            return None
        following = _next_date(labels)
        return None if following is not None and following[: len(stop)] > stop else last


def parse_expected(text: str, asked: str = "") -> Expected | ExpectedDates:
    """Return the value of ``DIM=START:STOP``; either may be left out.

    ``asked`` is what stands before it where a person wrote it.

    Raises
    ------
    InputError
        When the text is something else.
    """
    match = _ELEMENTS.fullmatch(text)
    if match:
        start = int(match["start"] or 0)
        stop = int(match["stop"]) if match["stop"] else None
        if start < 0 or (stop is not None and stop < start):
            raise InputError(f"{asked}{text!r}: give 0 <= START <= STOP, in elements")
        return Expected(match["dimension"], start, stop, f"{asked}{text}")
    match = _DATES.fullmatch(text)
    if not match:
        raise InputError(
            f"{asked}{text!r} is not DIM=START:STOP: give elements, e.g. time=0:87600, or dates, "
            "e.g. time=2015-01-11:2018-05-15"
        )
    first, last = ((match[end] or "").replace("T", " ") or None for end in ("start", "stop"))
    return ExpectedDates(match["dimension"], first, last, f"{asked}{text}")


def _problem(labels: Labels) -> str | None:
    """Return why dates do not name elements, as a predicate of these; None where they do."""
    texts = labels.texts
    first = next(iter(texts.drop_null()), None)
    if first is None or not re.match(r"\d{4,}-\d\d-\d\d", first.as_py()):
        return "have no dates"
    if texts.null_count:
        return "do not all have a date"
    rises = pc.all(pc.less(texts.slice(0, max(len(texts) - 1, 0)), texts.slice(1))).as_py()
    return None if rises else "do not rise in time"


def _no_finer(date: str | None, labels: Labels) -> str | None:
    """Return a date without hours, minutes or seconds that are 0 where labels do not have them.

    Midnight of a day is the day to labels that are days: as text, it would be behind it.
    """
    spelled = len(labels.of(0) or "")
    return date if date is None or date[spelled:].strip(" :0") else date[:spelled]


def _next_date(labels: Labels) -> str | None:
    """Return when the element behind the last would come at the soonest, by the steps before it.

    None where they are too few to tell, or are no dates that Python has, as 30 February is.
    """
    texts = labels.texts.slice(max(len(labels) - _STEPS - 1, 0)).to_pylist()
    try:
        dates = [datetime.fromisoformat(text or "") for text in texts]
        step = min(after - before for before, after in pairwise(dates))
        if len(dates) < 3:
            return None
        months = min(_months(after) - _months(before) for before, after in pairwise(dates))
        if step >= _MONTH and len({(date.day, date.time()) for date in dates}) == 1:
            following = _months_later(dates[-1], months)
        else:
            following = dates[-1] + step
        return following.isoformat(" ", "seconds")
    except (ValueError, OverflowError):
        return None


def _months(date: datetime) -> int:
    return 12 * date.year + date.month - 1


def _months_later(date: datetime, months: int) -> datetime:
    year, month = divmod(_months(date) + months, 12)
    return date.replace(year=year, month=month + 1)


def _first_from(texts: pa.StringArray, date: str) -> int:
    """Return how many labels are before a date."""
    return int(pc.sum(pc.less(texts, date)).as_py() or 0)


def _first_behind(texts: pa.StringArray, date: str) -> int:
    """Return how many labels are before the end of a date."""
    begins = pc.utf8_slice_codeunits(texts, 0, len(date))
    return int(pc.sum(pc.less_equal(begins, date)).as_py() or 0)
