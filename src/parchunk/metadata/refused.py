"""The exceptions by which valid Zarr is refused: a feature where it is met, then whole arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parchunk.errors import UnsupportedError
from parchunk.metadata.spec import Refusal

EXCLUDE = "leave the array out with --exclude or --skip-unsupported"


class UnsupportedFeatureError(UnsupportedError):
    """Valid Zarr that a kerchunk reference cannot express, or that is not known to parchunk.

    Raised where the feature is met, without the array's name; whoever knows the name makes a
    `Refusal` of it.
    """

    def __init__(self, feature: str, remedy: str = EXCLUDE) -> None:
        """Refuse ``feature``, which reads on after "array 'a': "."""
        super().__init__(f"{feature}: {remedy}")
        self.feature = feature
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.feature, self.remedy)

    def of(self, name: str) -> Refusal:
        """Return the refusal of the array ``name`` for this feature."""
        return Refusal(name, self.feature, self.remedy)


class UnsupportedArraysError(UnsupportedError):
    """One or more arrays are refused: one line names them all, and ``refusals`` has them."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        """Refuse the arrays of ``refusals``, of which there is one or more."""
        self.refusals = tuple(refusals)
        if len(self.refusals) == 1:
            item = self.refusals[0]
            message = f"array {item.name!r} cannot be referenced: {item.feature}: {item.remedy}"
        else:
            listed = "; ".join(map(str, self.refusals))
            message = f"{len(self.refusals)} arrays cannot be referenced: {listed}"
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.refusals,)
