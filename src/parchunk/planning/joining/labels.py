"""Labels of stacked stores as their dimension's coordinate: whole numbers, dates, or names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.metadata.document import shorten
from parchunk.metadata.spec import JSONObject
from parchunk.planning.joining.values import KeptArray, write_values
from parchunk.wording import counted

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?Z?)?")
_UNITS = (
    ("days", timedelta(days=1)),
    ("hours", timedelta(hours=1)),
    ("minutes", timedelta(minutes=1)),
    ("seconds", timedelta(seconds=1)),
    ("milliseconds", timedelta(milliseconds=1)),
    ("microseconds", timedelta(microseconds=1)),
)


def parse_labels(text: str | Sequence[object] | None) -> tuple[str, ...]:
    """Return labels given as ``A,B,..`` or as a list of dates, numbers or names, if any are."""
    if text is None or (isinstance(text, str) and not text):
        return ()
    found = text.split(",") if isinstance(text, str) else [_spelled(one) for one in text]
    labels = tuple(label.strip() for label in found)
    if not all(labels):
        raise InputError("--labels has an empty one: give a label for each store, with commas")
    return labels


def keep_labels(
    dimension: str, labels: Sequence[str], count: int, zarr_format: int, below: str = ""
) -> KeptArray:
    """Return the coordinate of ``dimension``, in the group ``below``, that the labels of ``count``
    stores are.

    All whole numbers become numbers, all dates a CF time, anything else names.

    Raises
    ------
    InputError
        When they are not as many as the stores, or one comes twice.
    """
    if len(labels) != count:
        raise InputError(
            f"--labels: {counted(len(labels), 'label')} for {counted(count, 'store')}: give "
            "one for each, in their order"
        )
    attributes: JSONObject = {}
    if all(map(_NUMBER.fullmatch, labels)):
        values = np.array([int(label) for label in labels], np.int64)
    elif all(map(_DATE.fullmatch, labels)):
        values, attributes = _times(labels)
    else:
        width = max(map(len, labels))
        values = np.array(labels, f"<U{width}")
    seen: dict[object, str] = {}
    for label, value in zip(labels, values.tolist(), strict=True):
        if value in seen:
            same = seen[value]
            both = "comes twice" if same == label else f"is what {shorten(same)} is"
            raise InputError(f"--labels: {shorten(label)} {both}: give each store its own")
        seen[value] = label
    name = f"{below}/{dimension}" if below else dimension
    return write_values(name, values, (dimension,), attributes, zarr_format, None)


def _spelled(label: object) -> str:
    if getattr(label, "ndim", None) == 0:  # of xarray, whose text is a repr
        label = np.asarray(label)[()]
    if label is None or isinstance(label, bytes) or label != label:
        raise InputError(
            f"--labels: {label!r} is no date, number or name: give one of these for each store"
        )
    if isinstance(label, np.datetime64):
        exact = (label.astype(f"datetime64[{unit}]") for unit in ("s", "us"))
        return str(next((one for one in exact if one == label), label))
    if isinstance(label, datetime) and label.tzinfo:
        label = label.astimezone(UTC).replace(tzinfo=None)  # as CF times are
    if isinstance(label, (date, datetime)):
        return label.isoformat()
    return str(label)


def _times(labels: Sequence[str]) -> tuple[NDArray[np.int64], JSONObject]:
    try:
        times = [datetime.fromisoformat(label.rstrip("Z")) for label in labels]
    except ValueError as error:
        raise InputError(
            f"--labels: {error}: give dates as 2020-01-31 or 2020-01-31T06:00"
        ) from None
    first = times[0].replace(microsecond=0)  # not all that decode units take parts of a second
    apart = [time - first for time in times]
    clock = first - datetime(first.year, first.month, first.day)
    unit, length = next(
        (unit, length)
        for unit, length in _UNITS
        if not any(step % length for step in (*apart, clock))
    )
    values = np.array([step // length for step in apart], np.int64)
    since = first.isoformat(sep=" ") if clock else first.date().isoformat()
    return values, {"units": f"{unit} since {since}", "calendar": "proleptic_gregorian"}
