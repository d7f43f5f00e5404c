"""Labels of elements along a dimension, from its coordinate, for people: dates where they are.

Everything here is optional: a coordinate that is not there, or cannot be read within a moment,
gives no labels and no error.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from parchunk.errors import ParchunkError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.from_source import open_source
from parchunk.planning.joining.values import values_of
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Coordinates in more chunks, or longer, are not read for labels.
_CHUNKS = 200
_ELEMENTS = 5_000_000
#: Seconds to wait for the source.
_PATIENCE = 20.0

_UNITS = re.compile(
    r"\s*(?P<unit>[a-z]+)\s+since\s+(?P<year>\d{1,4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.0*)?)?)?"
    r"\s*(?:Z|UTC|\+?00:?00)?\s*",
    re.I,
)
_SECONDS = {
    "second": 1.0, "sec": 1.0, "s": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "hr": 3600.0,
    "h": 3600.0, "day": 86400.0, "d": 86400.0, "millisecond": 0.001, "ms": 0.001,
    "microsecond": 1e-6, "us": 1e-6, "nanosecond": 1e-9, "ns": 1e-9,
}  # fmt: skip
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


class Labels:
    """The labels of one dimension; empty when it has no coordinate that can be read."""

    def __init__(self, values: np.ndarray[Any, Any] | None = None) -> None:
        """Label elements by ``values``, numbers or times, one an element."""
        self._values = values

    def of(self, element: int) -> str | None:
        """Return the label of an element, or None."""
        if self._values is None or not 0 <= element < len(self._values):
            return None
        value = self._values[element]
        if isinstance(value, np.datetime64):
            if np.isnat(value):
                return None
            return str(value.astype(f"datetime64[{self._unit}]")).replace("T", " ")
        if isinstance(value, float | np.floating):
            return f"{value:.10g}"
        return str(value)

    @cached_property
    def _unit(self) -> str:
        """The coarsest unit that loses nothing of any label: D, m or s."""
        assert self._values is not None
        sample = self._values[:: max(len(self._values) // 1000, 1)]
        sample = sample[~np.isnat(sample)]
        for unit in ("D", "m"):
            if (sample == sample.astype(f"datetime64[{unit}]")).all():
                return unit
        return "s"

    def between(self, start: int, stop: int) -> str | None:
        """Return ``first to last`` of the elements ``[start, stop)``, or None."""
        first, last = self.of(start), self.of(stop - 1)
        if first is None or last is None:
            return None
        return first if first == last else f"{first} to {last}"


def read_labels(
    plan: Plan, dimension: str | None, store_options: Mapping[str, str] | None = None
) -> Labels:
    """Return the labels of a dimension: its coordinate, an array of the same name."""
    array = plan.by_name.get(dimension or "")
    if array is None or array.spec.rank != 1 or array.spec.dimension_names != (dimension,):
        return Labels()
    spec = array.spec
    if spec.total > _CHUNKS or spec.shape[0] > _ELEMENTS:
        return Labels()
    found: list[Labels] = []

    def read() -> None:
        try:
            values = _kept_values(plan, spec)
            if values is None:
                values = _values(open_source(plan, store_options), spec)
            found.append(Labels(decode(values, spec)))
        except Exception:
            return

    # In a thread that may be left behind: an unreachable source is retried for minutes.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return found[0] if found else Labels()


def _kept_values(plan: Plan, spec: ArraySpec) -> np.ndarray[Any, Any] | None:
    """Return a coordinate that OUT keeps inline, as many stores have; None: it is in the source."""
    chunk = None if plan.stores is None else plan.stores.kept.get(spec.name)
    if chunk is None:
        return None
    return values_of(spec.name, spec, {spec.keys.tail((0,) * spec.rank): chunk})


def _values(source: Source, spec: ArraySpec) -> np.ndarray[Any, Any]:
    """Return a coordinate's values, decoded by zarr from the documents and chunks as they are."""
    import zarr
    from zarr.storage import MemoryStore

    names = ["zarr.json"] if spec.zarr_format == 3 else [".zarray", ".zattrs"]
    tails = [spec.keys.tail((i,)) for i in range(spec.grid[0])]
    objects = {name: source.get(f"{spec.name}/{name}") for name in (*names, *tails)}
    if any(objects[tail] is None for tail in tails):
        # Fill values would be labels that are not true.
        raise ParchunkError("the coordinate has gaps")
    store = MemoryStore()
    array = None
    from zarr.core.buffer import cpu
    from zarr.core.sync import sync

    for key, data in objects.items():
        if data is not None:
            sync(store.set(key, cpu.Buffer.from_bytes(data)))
    array = zarr.open_array(store, mode="r", zarr_format=spec.zarr_format)  # type: ignore[arg-type]
    return np.asarray(array[...])


def decode(values: np.ndarray[Any, Any], spec: ArraySpec) -> np.ndarray[Any, Any]:
    """Return times where CF's ``units`` and ``calendar`` say so in plain terms, else the values."""
    units = spec.attributes.get("units")
    calendar = spec.attributes.get("calendar", "standard")
    match = _UNITS.fullmatch(units) if isinstance(units, str) else None
    if values.dtype.kind not in "iuf" or not match or calendar not in _CALENDARS:
        return values
    scale = _SECONDS.get(match["unit"].lower()) or _SECONDS.get(match["unit"].lower().rstrip("s"))
    if scale is None:
        return values
    origin = np.datetime64(
        f"{int(match['year']):04d}-{int(match['month']):02d}-{int(match['day']):02d}T"
        f"{int(match['hour'] or 0):02d}:{int(match['minute'] or 0):02d}:"
        f"{int(match['second'] or 0):02d}",
        "s",
    )
    seconds = values.astype(np.float64) * scale
    whole = np.where(np.isfinite(seconds), np.round(seconds), 0)
    times = origin + whole.astype("timedelta64[s]")
    times[~np.isfinite(seconds)] = np.datetime64("NaT", "s")
    return times
