"""Bounds: arrays that CF reads in the units of the coordinate that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parchunk.metadata.names import group_of
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.misfits import Misfit, Misfits


def bounds_of(specs: Iterable[ArraySpec]) -> dict[str, str]:
    """Return the arrays that CF calls bounds, each with the coordinate that names it."""
    found = {}
    for spec in specs:
        for attribute in ("bounds", "climatology"):
            name = spec.attributes.get(attribute)
            if isinstance(name, str) and name:
                above = group_of(spec.name)
                found[f"{above}/{name}" if above else name] = spec.name
    return found


def units_of(spec: ArraySpec, units_from: ArraySpec | None) -> Mapping[str, Any]:
    """Return the attributes ``units`` and ``calendar`` that an array's values are read by."""
    given = spec.attributes
    if "units" not in given and units_from is not None:
        given = units_from.attributes
    return {"units": given.get("units"), "calendar": given.get("calendar")}


def sharing_units(name: str, bounds: Mapping[str, str], specs: Mapping[str, ArraySpec]) -> set[str]:
    """Return the others of ``specs`` whose values are in the units of one: one choice for all.

    Bounds without units of their own have those of what they bound, which ``bounds`` says.
    """
    bounded = bounds.get(name, name)
    found = {bounded} & specs.keys()
    found |= {
        other
        for other, spec in specs.items()
        if bounds.get(other) == bounded and "units" not in spec.attributes
    }
    return found - {name} if name in found else set()


def check_shared_units(
    misfits: Misfits,
    parts: Mapping[int, ArraySpec],
    bounded: Mapping[int, ArraySpec],
    labels: Sequence[str],
) -> None:
    """Add to ``misfits`` where chunks that stay are in units that differ between the stores.

    Bounds (``parts``, by store) without units of their own have those of what they bound.
    """
    first: tuple[int, Mapping[str, Any]] | None = None
    for store, spec in parts.items():
        units = units_of(spec, bounded.get(store))
        if first is None:
            first = store, units
        elif units != first[1]:
            names = [name for name in units if units[name] != first[1][name]]
            for name in names:
                one, other = repr(first[1][name]), repr(units[name])
                what = f"attribute {name} (of what they bound)"
                misfits.add(Misfit(spec.name, what, labels[first[0]], one, labels[store], other))
