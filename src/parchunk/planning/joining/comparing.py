"""Two stores' documents of one array: do their chunks mean the same, and their attributes?

No I/O. Documents that are the same text but for their shape are not looked into any further, so
that thousands of stores are compared in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from parchunk.metadata.meaning import attribute_differences, field_differences
from parchunk.metadata.spec import ArraySpec, JSONObject, canonical
from parchunk.metadata.v2 import DIMENSIONS
from parchunk.planning.joining.misfits import Misfit, Misfits, Notes

#: Attributes that say what the stored numbers mean: another one makes other values of them.
MEANING = frozenset(
    {
        "units",
        "calendar",
        "scale_factor",
        "add_offset",
        "_FillValue",
        "missing_value",
        "dtype",
        "_Unsigned",
        "grid_mapping",
    }
)
#: Units of a coordinate are changed, and need not be the same.
_CONVERTED = frozenset({"units", "calendar"})


def is_meaning(attribute: str) -> bool:
    """Whether an attribute changes what values are."""
    return attribute in MEANING or attribute.startswith("flag_")


class Reference:
    """The first store's document of one array, that the others' are held against."""

    def __init__(self, label: str, spec: ArraySpec) -> None:
        self.label = label
        self.spec = spec
        self._text = _text(spec)
        self._attributes = canonical(spec.attributes)

    def has_same_document(self, spec: ArraySpec) -> bool:
        """Whether a document says the same in the same words, its shape and attributes apart."""
        return _text(spec) == self._text and spec.chunks == self.spec.chunks

    def chunk_misfits(self, label: str, spec: ArraySpec) -> Iterator[Misfit]:
        """Yield what makes other values of the same chunks, or other keys; shapes apart."""
        if self.has_same_document(spec):
            return
        for one in field_differences(self.spec, spec, ("shape", "attributes", "dimension_names")):
            yield Misfit(self.spec.name, one.field, self.label, one.before, label, one.now)

    def shape_misfits(self, label: str, spec: ArraySpec, axis: int | None) -> Iterator[Misfit]:
        """Yield other dimensions and lengths; ``axis`` is the one that may have another length."""
        if spec.dimension_names != self.spec.dimension_names:
            yield Misfit(
                self.spec.name,
                "dimensions",
                self.label,
                _names(self.spec),
                label,
                _names(spec),
            )
            return
        for number, (name, mine, theirs) in enumerate(
            zip(spec.dimension_names, self.spec.shape, spec.shape, strict=True)
        ):
            if number != axis and mine != theirs:
                what = f"length along {name or f'axis {number}'}"
                yield Misfit(self.spec.name, what, self.label, str(mine), label, str(theirs))

    def meaning_changed(self, label: str, spec: ArraySpec) -> Misfit | None:
        """Return the first attribute that makes other values of the same numbers, if any does."""
        if canonical(spec.attributes) == self._attributes:
            return None
        for one in attribute_differences(self.spec.attributes, spec.attributes):
            name = one.field.removeprefix("attributes ")
            if is_meaning(name):
                found = (self.label, one.before, label, one.now)
                return Misfit(self.spec.name, f"attribute {name}", *found)
        return None

    def compare_attributes(
        self, label: str, spec: ArraySpec, misfits: Misfits, notes: Notes, converted: bool = False
    ) -> None:
        """Add attributes that change the meaning to ``misfits``, and name the others in ``notes``.

        ``converted`` values may have other units of time.
        """
        if canonical(spec.attributes) == self._attributes:
            return
        other = []
        for one in attribute_differences(self.spec.attributes, spec.attributes):
            name = one.field.removeprefix("attributes ")
            if name == DIMENSIONS or (converted and name in _CONVERTED):
                continue
            if is_meaning(name):
                found = (self.label, one.before, label, one.now)
                misfits.add(Misfit(self.spec.name, f"attribute {name}", *found))
            else:
                other.append(name)
        if other:
            notes.attributes(self.spec.name, other, self.label)


def compare_groups(
    first: JSONObject, other: JSONObject, name: str, label: str, notes: Notes
) -> None:
    """Name the attributes of a group that differ between stores."""
    if canonical(first) != canonical(other):
        names = [one.field.partition(" ")[2] for one in attribute_differences(first, other)]
        if names:
            notes.attributes(name, names, label)


def _text(spec: ArraySpec) -> str:
    document = {k: v for k, v in spec.document.items() if k not in ("shape", "attributes")}
    return canonical(document)


def _names(spec: ArraySpec) -> str:
    return f"({', '.join(name or '?' for name in spec.dimension_names)})"
