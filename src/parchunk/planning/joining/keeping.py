"""Values of all stores as one array to be kept inline: their units made one, their masks kept."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.metadata.data_type import ZARR_ERRORS, read_data_type, read_fill_value
from parchunk.metadata.document import shorten
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.encoding import InexactError, TimedValues, in_common_units
from parchunk.planning.joining.members import ToRead
from parchunk.planning.joining.misfits import MisfitError
from parchunk.planning.joining.order import Span, order_problems
from parchunk.planning.joining.time_units import TimeUnits, is_time, parse_time_units
from parchunk.planning.joining.values import KeptArray, write_values

#: Whole numbers up to this are floats without loss.
_WHOLE_FLOATS = 1 << 53


@dataclass(frozen=True)
class Holding:
    """What one store holds of an array: its name for messages, its spec and its values.

    ``units`` and ``calendar`` are the attributes that count: bounds have those of what they
    bound.
    """

    label: str
    spec: ArraySpec
    values: NDArray[Any]
    units: Any = None
    calendar: Any = None


def keep(
    doing: str, wanted: ToRead, holdings: Sequence[Holding], beside: Sequence[Holding] = ()
) -> KeptArray:
    """Return the joined array of the values of all holdings, in the order of the stores.

    ``beside`` are holdings of other arrays that must have the same units in the end.

    Raises
    ------
    MisfitError
        When values have no common units in which they are exact, or stores overlap.
    """
    spec = wanted.joined.spec
    masks = [_mask(holding, wanted.is_coordinate) for holding in holdings]
    values, units = _in_one_unit(doing, wanted, holdings, beside)
    if wanted.is_coordinate:
        check_order(doing, wanted, holdings, values, units)
    dtype = _common_dtype(doing, spec.name, holdings, values)
    cast = [some.astype(dtype, casting="unsafe") for some in values]
    joined = np.stack(cast) if wanted.joined.stacked else np.concatenate(cast)
    mask = (np.stack if wanted.joined.stacked else np.concatenate)(masks)
    first = holdings[0]
    attributes = dict(first.spec.attributes)
    own_units = "units" in attributes or wanted.units_from is None
    if units is not None and own_units and str(units) != first.units:
        attributes["units"] = str(units)
    fill = _fill(doing, wanted, holdings, joined, mask)
    if mask.any():
        joined = np.where(mask, np.array(fill[0], joined.dtype), joined)
    document_fill = fill[1] if first.spec.zarr_format == 3 else fill[0]
    return write_values(
        spec.name, joined, spec.dimension_names, attributes, spec.zarr_format, document_fill
    )


def check_order(
    doing: str,
    wanted: ToRead,
    holdings: Sequence[Holding],
    values: Sequence[NDArray[Any]],
    units: TimeUnits | None,
) -> None:
    """Raise `MisfitError` where the stores' coordinates do not follow each other."""
    spans = [
        Span(holding.label, np.atleast_1d(some))
        for holding, some in zip(holdings, values, strict=True)
    ]
    text = str if units is None else units.text
    found = order_problems(wanted.joined.spec.name, spans, text)
    if found:
        remedy = "give stores that follow each other, in their order, or leave some out"
        raise MisfitError(doing, found, remedy)


def time_units(holding: Holding) -> TimeUnits | None:
    """Return the units of a holding where they are a time since a date that can be read."""
    if not is_time(holding.units):
        return None
    try:
        return parse_time_units(holding.units, holding.calendar)
    except ValueError:
        return None


def _in_one_unit(
    doing: str, wanted: ToRead, own: Sequence[Holding], beside: Sequence[Holding]
) -> tuple[list[NDArray[Any]], TimeUnits | None]:
    holdings, first = [*own, *beside], own[0]
    plain = [holding.values for holding in own]
    if all(
        (holding.units, holding.calendar) == (first.units, first.calendar) for holding in holdings
    ):
        return plain, time_units(first)
    name = wanted.joined.spec.name
    other = next(p for p in holdings if (p.units, p.calendar) != (first.units, first.calendar))
    both = f"{_spelled(first)} in {first.label}, {_spelled(other)} in {other.label}"
    if not all(is_time(holding.units) for holding in holdings):
        raise MisfitError(doing, [f"{name}: units {both}"])
    for holding in holdings:
        if {"scale_factor", "add_offset"} & holding.spec.attributes.keys():
            raise MisfitError(doing, [f"{name}: is packed by scale_factor, and has units {both}"])
    timed = []
    for at, holding in enumerate(holdings):
        mask = _mask(holding, wanted.is_coordinate and at < len(own))
        try:
            timed.append(
                TimedValues(holding.values, parse_time_units(holding.units, holding.calendar), mask)
            )
        except ValueError as error:
            raise MisfitError(doing, [f"{name}: units {both}, and {error}"]) from None
    try:
        values, units = in_common_units(timed)
    except InexactError as error:
        raise MisfitError(doing, [f"{name}: units {both}, which have {error}"]) from None
    return values[: len(own)], units


def _spelled(holding: Holding) -> str:
    calendar = "" if holding.calendar is None else f" ({shorten(holding.calendar)})"
    return f"{shorten(holding.units)!r}{calendar}"


def _common_dtype(
    doing: str, name: str, holdings: Sequence[Holding], values: Sequence[NDArray[Any]]
) -> np.dtype[Any]:
    """Return a data type that holds all values: the first's where it does."""
    dtypes = [holding.values.dtype for holding in holdings]
    try:
        candidates = [dtypes[0], np.result_type(*dtypes), np.result_type(*values)]
    except ZARR_ERRORS:
        candidates = [dtypes[0]]
    for candidate in candidates:
        if all(_holds(candidate, some) for some in values):
            return candidate
    shown = ", ".join(sorted({str(dtype) for dtype in dtypes}))
    raise MisfitError(doing, [f"{name}: data types {shown}, of which none holds all values"])


def _holds(dtype: np.dtype[Any], values: NDArray[Any]) -> bool:
    """Whether each value is one of a data type, without loss."""
    if values.dtype == dtype or not values.size:
        return True
    if dtype.kind in "iu" and values.dtype.kind in "iu":
        info = np.iinfo(dtype)
        return info.min <= int(values.min()) and int(values.max()) <= info.max
    if dtype.kind in "iu" and values.dtype.kind == "f":
        info = np.iinfo(dtype)
        low, high = max(info.min, -_WHOLE_FLOATS), min(info.max, _WHOLE_FLOATS)
        whole = (values == np.floor(values)) & (values >= low) & (values <= high)
        return bool(whole.all())
    if dtype.kind == "f" and values.dtype.kind in "iuf":
        with np.errstate(over="ignore"):
            there = values.astype(dtype).astype(np.longdouble)
        return np.array_equal(there, values.astype(np.longdouble), equal_nan=True)
    if dtype.kind == values.dtype.kind and dtype.kind in "SUmM":
        return np.array_equal(values.astype(dtype).astype(values.dtype), values)
    return False


def _mask(holding: Holding, is_coordinate: bool) -> NDArray[np.bool_]:
    """Return where a holding has no values: where it equals what readers mask.

    xarray masks a v2 array where it equals its fill value. A coordinate of its own dimension has
    no holes that could be meant, and 0, the fill value of most, is a value of many.
    """
    values = holding.values
    fill = _attribute_fill(holding.spec)
    if fill is None and holding.spec.zarr_format == 2 and not is_coordinate:
        fill = _document_fill(holding.spec)
    if fill is None or values.dtype.kind not in "iuf":
        return np.zeros(values.shape, bool)
    found: NDArray[np.bool_] = values == fill
    return found


def _attribute_fill(spec: ArraySpec) -> Any:
    """Return the attribute ``_FillValue`` as a number; xarray spells floats in base64."""
    value = spec.attributes.get("_FillValue")
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return float(np.frombuffer(raw, "<f8")[0]) if len(raw) == 8 else None
        except ValueError:
            return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _document_fill(spec: ArraySpec) -> Any:
    value = spec.document.get("fill_value")
    if spec.zarr_format == 3:
        try:
            return read_fill_value(value, read_data_type(spec.document["data_type"]))
        except (*ZARR_ERRORS, InputError):
            return 0
    if isinstance(value, str):
        return {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}.get(value, value)
    return value


def _fill(
    doing: str,
    wanted: ToRead,
    holdings: Sequence[Holding],
    joined: NDArray[Any],
    mask: NDArray[np.bool_],
) -> tuple[Any, Any]:
    """Return what masked values become, and the fill value of the document."""
    first = holdings[0].spec
    document = _document_fill(first)
    masking = _attribute_fill(first)
    if first.zarr_format == 2 and not wanted.is_coordinate:
        masking = document if masking is None else masking
    if joined.dtype.kind not in "iuf":
        return None, None  # every chunk is there, so it is never read
    if masking is None:
        return None, None if first.zarr_format == 2 and wanted.is_coordinate else document
    taken = (joined == masking) & ~mask
    if not taken.any():
        return masking, document
    if not mask.any() and first.zarr_format == 2 and "_FillValue" not in first.attributes:
        return None, None
    raise MisfitError(
        doing,
        [f"{wanted.joined.spec.name}: its fill value {masking} would be one of its values"],
        "leave the array out with --exclude",
    )


def units_of(spec: ArraySpec, units_from: ArraySpec | None) -> Mapping[str, Any]:
    """Return the attributes ``units`` and ``calendar`` that an array's values are read by."""
    given = spec.attributes
    if "units" not in given and units_from is not None:
        given = units_from.attributes
    return {"units": given.get("units"), "calendar": given.get("calendar")}
