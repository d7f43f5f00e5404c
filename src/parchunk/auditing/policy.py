"""Policies: which missing chunks are by design, so that the verdict is about the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.expected import Expected, ExpectedDates, parse_expected
from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Plan


@dataclass(frozen=True)
class Policy:
    """What may be missing.

    ``expect`` narrows where chunks are expected at all; ``allow_missing`` are globs of arrays
    that may have any gaps; ``max_missing`` is the percentage of an array's expected chunks that
    may be missing. ``dates`` are such of ``expect`` as are dates, until `for_plan`.
    """

    expect: tuple[Expected, ...] = ()
    dates: tuple[ExpectedDates, ...] = ()
    allow_missing: tuple[str, ...] = ()
    max_missing: float = 0.0

    @classmethod
    def of(
        cls, expect: Sequence[str], allow_missing: Sequence[str], max_missing: float | str
    ) -> Policy:
        """Return the policy that options say.

        Raises
        ------
        InputError
            When they say nothing sensible.
        """
        wanted = list(map(parse_expected, expect))
        return cls(
            tuple(one for one in wanted if isinstance(one, Expected)),
            tuple(one for one in wanted if isinstance(one, ExpectedDates)),
            tuple(allow_missing),
            parse_percent(max_missing),
        )

    def for_plan(self, plan: Plan, labels: Labels) -> Policy:
        """Return the policy with all dates as elements, by the labels of the split dimension.

        Raises
        ------
        InputError
            Naming what is not in the plan; where dates cannot be told, or none is there.
        """
        self.check(plan)
        dimension = None if plan.split is None else plan.split.dimension
        more = tuple(dates.elements(dimension, labels) for dates in self.dates)
        return replace(self, expect=(*self.expect, *more))

    def check(self, plan: Plan) -> None:
        """Check that what it names is in the plan: a misspelt policy would excuse nothing.

        Raises
        ------
        InputError
            Naming what is not there.
        """
        known = {name for array in plan.arrays for name in array.spec.dimension_names if name}
        for dimension in [one.dimension for one in self.expect] + [
            one.dimension for one in self.dates
        ]:
            if dimension not in known:
                raise InputError(
                    f"--expect {dimension}: no array has that dimension; there are: "
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


def parse_percent(value: float | str) -> float:
    """Return a percentage, as a number or as text such as ``1%``.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        percent = float(str(value).strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise InputError(f"--max-missing is {value}: give a percentage, 0 to 100")
    return percent


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
