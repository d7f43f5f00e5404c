"""Values of all stores as one array to be kept inline: their units made one, their masks kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.metadata.data_type import ZARR_ERRORS
from parchunk.metadata.document import shorten
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.encoding import InexactError, TimedValues, in_common_units
from parchunk.planning.joining.masking import masked, sentinels_of, with_sign
from parchunk.planning.joining.members import ToRead
from parchunk.planning.joining.misfits import MisfitError
from parchunk.planning.joining.order import Span, order_problems
from parchunk.planning.joining.time_units import TimeUnits, is_time, parse_time_units
from parchunk.planning.joining.values import KeptArray, write_values

#: Whole numbers up to this are floats without loss.
_WHOLE_FLOATS = 1 << 53
#: Attributes that make other numbers of those that are stored.
_PACKED = frozenset({"scale_factor", "add_offset", "_Unsigned"})


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
    masks = [masked(h.values, h.spec, wanted.is_coordinate) for h in holdings]
    values, units = _in_one_unit(doing, wanted, holdings, beside)
    if wanted.is_coordinate:
        check_order(doing, wanted, holdings, values, masks, units)
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
    try:
        return write_values(
            spec.name, joined, spec.dimension_names, attributes, spec.zarr_format, fill[1]
        )
    except ZARR_ERRORS as error:
        raise MisfitError(
            doing,
            [f"{spec.name}: its values are not written anew ({shorten(str(error), 100)})"],
            "take them where they are with --no-inline-coordinates, or leave the array out with "
            "--exclude",
        ) from None


def check_order(
    doing: str,
    wanted: ToRead,
    holdings: Sequence[Holding],
    values: Sequence[NDArray[Any]],
    masks: Sequence[NDArray[np.bool_]],
    units: TimeUnits | None,
) -> None:
    """Raise `MisfitError` where the stores' coordinates do not follow each other."""
    spans = [
        Span(holding.label, np.atleast_1d(with_sign(some, holding.spec)), np.atleast_1d(mask))
        for holding, some, mask in zip(holdings, values, masks, strict=True)
    ]
    text = str if units is None else units.text
    found = order_problems(wanted.joined.spec.name, spans, text)
    if found:
        remedy = "give stores that follow each other, in their order, or leave some out"
        if any(span.none.any() for span in spans) and len(spans) > 1:
            remedy = "mend the coordinate there, or leave these stores out"
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
        packed = _PACKED & holding.spec.attributes.keys()
        if packed:
            raise MisfitError(doing, [f"{name}: is packed by {min(packed)}, and has units {both}"])
    timed = []
    for at, holding in enumerate(holdings):
        mask = masked(holding.values, holding.spec, wanted.is_coordinate and at < len(own))
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
        back = values.astype(dtype).astype(values.dtype)
        return np.array_equal(back, values, equal_nan=dtype.kind in "mM")
    return False


def _fill(
    doing: str,
    wanted: ToRead,
    holdings: Sequence[Holding],
    joined: NDArray[Any],
    mask: NDArray[np.bool_],
) -> tuple[Any, Any]:
    """Return what masked values become, and the fill value of the document, None for none."""
    first = holdings[0].spec
    if joined.dtype.kind not in "iuf":
        return None, None  # every chunk is there, so it is never read
    sentinels, fill = sentinels_of(first, wanted.is_coordinate)
    valid = joined[~mask]
    taken = [one for one in sentinels if (valid == one).any()]
    if not taken:
        return next((one for one in sentinels if _is_one(joined.dtype, one)), None), fill
    if (
        not mask.any()
        and taken == [fill]
        and first.zarr_format == 2
        and "_FillValue" not in first.attributes
    ):
        return None, None
    raise MisfitError(
        doing,
        [f"{wanted.joined.spec.name}: its fill value {taken[0]} would be one of its values"],
        "leave the array out with --exclude",
    )


def _is_one(dtype: np.dtype[Any], number: Any) -> bool:
    """Whether a data type has a number, so that values can be set to it."""
    return _holds(dtype, np.array(number)) and number == number
