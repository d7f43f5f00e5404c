"""Policies: which missing chunks are by design, so that the verdict is about the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import Plan

_EXPECT = re.compile(r"(?P<dimension>.+)=(?P<start>-?\d*):(?P<stop>-?\d*)")


@dataclass(frozen=True)
class Expected:
    """Chunks are expected only where ``start <= element < stop`` along a dimension."""

    dimension: str
    start: int
    stop: int | None

    @classmethod
    def parse(cls, text: str) -> Expected:
        """Return the value of ``DIM=START:STOP``; either number may be left out.

        Raises
        ------
        InputError
            When the text is something else.
        """
        match = _EXPECT.fullmatch(text)
        if not match:
            raise InputError(
                f"--expect {text!r} is not DIM=START:STOP: give elements, e.g. time=0:87600"
            )
        start = int(match["start"] or 0)
        stop = int(match["stop"]) if match["stop"] else None
        if start < 0 or (stop is not None and stop < start):
            raise InputError(f"--expect {text!r}: give 0 <= START <= STOP, in elements")
        return cls(match["dimension"], start, stop)


@dataclass(frozen=True)
class Policy:
    """What may be missing.

    ``expect`` narrows where chunks are expected at all; ``allow_missing`` are globs of arrays
    that may have any gaps; ``max_missing`` is the percentage of an array's expected chunks that
    may be missing.
    """

    expect: tuple[Expected, ...] = ()
    allow_missing: tuple[str, ...] = ()
    max_missing: float = 0.0

    @classmethod
    def of(cls, expect: Sequence[str], allow_missing: Sequence[str], max_missing: float) -> Policy:
        """Return the policy that options say.

        Raises
        ------
        InputError
            When they say nothing sensible.
        """
        if not 0 <= max_missing <= 100:
            raise InputError(f"--max-missing is {max_missing}: give a percentage, 0 to 100")
        return cls(tuple(map(Expected.parse, expect)), tuple(allow_missing), max_missing)

    def check(self, plan: Plan) -> None:
        """Check that what it names is in the plan: a misspelt policy would excuse nothing.

        Raises
        ------
        InputError
            Naming what is not there.
        """
        known = {name for array in plan.arrays for name in array.spec.dimension_names if name}
        for expected in self.expect:
            if expected.dimension not in known:
                raise InputError(
                    f"--expect {expected.dimension}: no array has that dimension; there are: "
                    f"{', '.join(sorted(known)) or 'none with names'}"
                )
        for glob in self.allow_missing:
            if not any(fnmatchcase(array.spec.name, glob) for array in plan.arrays):
                raise InputError(f"--allow-missing {glob}: no array has such a name")

    def allows_gaps(self, array: str) -> bool:
        """Whether any chunk of an array may be missing."""
        return any(fnmatchcase(array, glob) for glob in self.allow_missing)

    def bounds(self, spec: ArraySpec) -> tuple[tuple[int, int, int], ...]:
        """Return (axis, first, end) chunk indices outside which nothing is expected.

        A chunk that holds any expected element is expected.
        """
        found = []
        for expected in self.expect:
            for axis, name in enumerate(spec.dimension_names):
                if name == expected.dimension:
                    size = spec.reference_chunks[axis]
                    stop = spec.shape[axis] if expected.stop is None else expected.stop
                    end = min(-(-stop // size), spec.reference_grid[axis]) if size else 0
                    found.append((axis, expected.start // size if size else 0, end))
        return tuple(found)


def inside(
    numbers: NDArray[np.int64], grid: tuple[int, ...], bounds: Sequence[tuple[int, int, int]]
) -> NDArray[np.bool_]:
    """Return which chunk numbers lie within all bounds, shape (n,)."""
    mask = np.ones(len(numbers), bool)
    for axis, first, end in bounds:
        inner = int(np.prod(grid[axis + 1 :], dtype=np.int64))
        index = numbers // inner % grid[axis]
        mask &= (index >= first) & (index < end)
    return mask
