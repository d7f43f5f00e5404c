"""Where a picture along a dimension is marked: at the borders of years, months, days or hours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from parchunk.planning.labels import Labels

#: A label that is a date: its year and what follows.
_DATE = re.compile(r"\d{4,}(-\d\d-\d\d)( \d\d(:\d\d\S*))?")
#: How many of a unit there are between two marks, the finest first; years come last.
_STEPS = {"hour": (1, 3, 6, 12), "day": (1, 2, 5, 10), "month": (1, 3, 6)}
_YEARS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Tick:
    """A mark before an element of the dimension, and what is written at it."""

    element: int
    text: str


def ticks_along(labels: Labels, extent: int, most: int = 8) -> tuple[Tick, ...]:
    """Return at most so many marks of a dimension of ``extent`` elements, in their order.

    Where its labels are dates, each mark is the first element of a year, or of every third month,
    and so on: the finest of which there are not too many. Other dimensions are marked at round
    numbers of elements.
    """
    texts = labels.texts.slice(0, extent)
    dated = texts.drop_null()
    match = _DATE.fullmatch(dated[0].as_py()) if len(dated) else None
    if match is None:
        return _round(labels, extent, most)
    found: list[Tick] = []
    for unit, rest, step in _candidates(match):
        # What is told to the hour is twice as long.
        borders = _borders(texts, unit, rest, step, most // 2 if unit == "hour" else most)
        if borders is None:
            if found:
                break
        elif len(borders) > len(found):
            found = borders
    return tuple(found)


def _candidates(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield units, how many characters of a label follow each, and steps: coarse to fine."""
    clock = len(match[2] or "")
    for step in reversed(_YEARS):
        yield "year", len(match[1]) + clock, step
    rests = {"month": 3 + clock, "day": clock, "hour": len(match[3] or "")}
    for unit in ("month", "day", *(["hour"] if clock else [])):
        for step in reversed(_STEPS[unit]):
            yield unit, rests[unit], step


def _borders(
    texts: pa.StringArray, unit: str, rest: int, step: int, most: int
) -> list[Tick] | None:
    """Return the first element of every period, None where there are more than ``most``."""
    keys = pc.utf8_slice_codeunits(texts, 0, -rest) if rest else texts
    known = pc.fill_null(keys, "")
    changed = np.asarray(pc.not_equal(known.slice(1), known.slice(0, max(len(known) - 1, 0))))
    # What begins with the dimension is marked only where a period begins there, too.
    begins = re.fullmatch(r"(-01)*( 00(:00)*\S*|:00\S*)?", _tail(texts, rest)) is not None
    places = [*([0] if begins else []), *(np.flatnonzero(changed) + 1).tolist()]
    if len(places) > most * step * 2:
        return None
    found = []
    for place in places:
        key = known[place].as_py()
        if key and _is_round(key, unit, step):
            found.append(Tick(place, f"{key}:00" if unit == "hour" else key))
    return found if len(found) <= most else None


def _tail(texts: pa.StringArray, rest: int) -> str:
    first = texts[0].as_py() if len(texts) else None
    return "none" if first is None else first[len(first) - rest :]


def _is_round(key: str, unit: str, step: int) -> bool:
    if unit == "year":
        return int(key) % step == 0
    number = int(key[-2:])
    if unit == "hour":
        return number % step == 0
    # Days 1, 11, 21: never the 31st, a day before the first.
    return (number - 1) % step == 0 and not (unit == "day" and step > 1 and number > 30 - step // 2)


def _round(labels: Labels, extent: int, most: int) -> tuple[Tick, ...]:
    """Return marks at round numbers of elements, and what these are called."""
    step = 1
    while -(-extent // step) > most:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return tuple(Tick(at, labels.of(at) or f"{at:,}") for at in range(0, extent, step))
