"""What keeps stores apart: all of it at once, each with the array, the stores and both values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from parchunk.errors import InputError
from parchunk.metadata.document import shorten

#: Stores that a message names.
_STORES = 3
#: Misfits that a message spells out; the error holds all of them.
_SHOWN = 12


def some_stores(labels: Sequence[str]) -> str:
    """Return the first of some stores for a message, whole: their ends tell them apart."""
    shown = ", ".join(shorten(label, 300) for label in labels[:_STORES])
    return shown if len(labels) <= _STORES else f"{shown} and {len(labels) - _STORES:,} more"


@dataclass(frozen=True)
class Misfit:
    """``what`` of an array is ``value`` in one store, and ``other_value`` in another.

    ``more`` counts further stores that differ from the first in the same way.
    """

    array: str
    what: str
    store: str
    value: str
    other_store: str
    other_value: str
    remedy: str = ""
    more: int = 0

    def __str__(self) -> str:
        """Return all of it in a phrase."""
        more = f" and {self.more:,} more" if self.more else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return (
            f"{self.array}: {self.what} {self.value} in {self.store}, {self.other_value} in "
            f"{self.other_store}{more}{remedy}"
        )


def some_of(misfits: Sequence[Misfit | str]) -> str:
    """Return the first of some misfits for a message, and how many more there are."""
    shown = "; ".join(map(str, misfits[:_SHOWN]))
    more = len(misfits) - _SHOWN
    return shown + (f"; and {more:,} more" if more > 0 else "")


class MisfitError(InputError):
    """Stores do not fit together: ``misfits`` are all the reasons."""

    def __init__(self, doing: str, misfits: Sequence[Misfit | str], remedy: str = "") -> None:
        """Report that stores cannot be put together, as ``doing`` asks."""
        self.doing, self.misfits, self.remedy = doing, tuple(misfits), remedy
        super().__init__(
            f"{doing}: the stores do not fit: {some_of(self.misfits)}: "
            + (remedy or "leave out the arrays with --exclude, or the stores")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.doing, self.misfits, self.remedy)


class Misfits:
    """Gathers misfits; those that many stores share count as one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], Misfit] = {}
        self._said: dict[str, None] = {}

    def add(self, misfit: Misfit) -> None:
        """Add one, or count it to those of its kind."""
        key = (misfit.array, misfit.what, misfit.store, misfit.value, misfit.other_value)
        known = self._found.get(key)
        self._found[key] = misfit if known is None else replace(known, more=known.more + 1)

    def say(self, text: str) -> None:
        """Add what is no comparison of two values, in words."""
        self._said[text] = None

    @property
    def found(self) -> tuple[Misfit | str, ...]:
        """All of them: what was said, then the others by array."""
        return (*self._said, *sorted(self._found.values(), key=lambda one: one.array))


class Notes:
    """Gathers what differs and does no harm: a line an array, the attributes named once."""

    def __init__(self) -> None:
        self._attributes: dict[str, set[str]] = {}
        self._lines: dict[str, None] = {}
        self._first = ""

    def attributes(self, node: str, names: Sequence[str], first: str) -> None:
        """Say that attributes differ, and that those of the store ``first`` are taken."""
        self._attributes.setdefault(node, set()).update(names)
        self._first = first

    def line(self, text: str) -> None:
        """Say something, once."""
        self._lines[text] = None

    @property
    def lines(self) -> tuple[str, ...]:
        """All notes, a line each."""
        differing = tuple(
            f"{node or 'the root'}: attributes that differ between stores are those of "
            f"{self._first}: {shorten(', '.join(sorted(names)), 200)}"
            for node, names in sorted(self._attributes.items())
        )
        return (*self._lines, *differing)
