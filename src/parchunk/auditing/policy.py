"""Policies: which missing chunks are by design, so that the verdict is about the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TypeVar

from parchunk.auditing.expectation import Bound, Box, Expectation
from parchunk.auditing.expected import Expected, ExpectedDates, parse_expected
from parchunk.errors import InputError
from parchunk.metadata.choosing import fits
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.labels import Labels
from parchunk.planning.plan import Plan

_T = TypeVar("_T")
#: Where along one dimension.
Where = Expected | ExpectedDates


@dataclass(frozen=True)
class Rule:
    """What is said of the arrays whose names match a glob.

    ``expect`` narrows where chunks are expected at all; what lies in all the ranges of one of
    ``empty`` is meant to be empty. ``gaps`` allows any; ``most`` is the percentage of an array's
    expected chunks that may be missing. None says nothing. ``given`` is what messages call it.
    """

    arrays: str = "*"
    given: str = ""
    expect: tuple[Where, ...] = ()
    empty: tuple[tuple[Where, ...], ...] = ()
    gaps: bool | None = None
    most: float | None = None

    @property
    def ranges(self) -> Iterator[Where]:
        """All ranges of dimensions that it names."""
        yield from self.expect
        for box in self.empty:
            yield from box

    def matches(self, array: str) -> bool:
        """Whether it is about an array."""
        return fits(array, self.arrays)


@dataclass(frozen=True)
class Policy:
    """What may be missing: of each thing that rules say, the last about an array counts.

    Ranges that are to be empty add up.
    """

    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(
        cls,
        expect: Sequence[str] = (),
        allow_missing: Sequence[str] = (),
        max_missing: float | str | None = None,
        before: Sequence[Rule] = (),
    ) -> Policy:
        """Return the policy that options say, which come after the rules ``before``.

        Raises
        ------
        InputError
            When they say nothing sensible.
        """
        wanted = tuple(parse_expected(text, "--expect ") for text in expect)
        most = None if max_missing is None else parse_percent(max_missing)
        of_all = [Rule(expect=wanted, most=most)] if wanted or most is not None else []
        allowed = [Rule(glob, f"--allow-missing {glob}", gaps=True) for glob in allow_missing]
        return cls((*before, *of_all, *allowed))

    @property
    def has_dates(self) -> bool:
        """Whether it names dates, for which the labels of the split dimension are needed."""
        return any(isinstance(one, ExpectedDates) for rule in self.rules for one in rule.ranges)

    def ends(self, spec: ArraySpec) -> list[list[Where]]:
        """Return the ranges with an end in which chunks of an array are expected, by dimension.

        Dates are there no more in what `for_plan` returns.
        """
        found: dict[str, list[Where]] = {}
        for one in self._expected(spec.name):
            if one.stop is not None and one.dimension in spec.dimension_names:
                found.setdefault(one.dimension, []).append(one)
        return list(found.values())

    def for_plan(self, plan: Plan, labels: Labels) -> Policy:
        """Return the policy with all dates as elements, by the labels of the split dimension.

        Raises
        ------
        InputError
            Naming what is not in the plan; where dates cannot be told, or none is there; two
            ranges of a dimension that have nothing in common.
        """
        self.check(plan)
        dimension = None if plan.split is None else plan.split.dimension

        def told(ranges: Sequence[Where]) -> tuple[Expected, ...]:
            return tuple(
                one.elements(dimension, labels) if isinstance(one, ExpectedDates) else one
                for one in ranges
            )

        return Policy(
            tuple(
                replace(
                    rule,
                    expect=_in_common(told(rule.expect)),
                    empty=tuple(map(told, rule.empty)),
                )
                for rule in self.rules
            )
        )

    def check(self, plan: Plan) -> None:
        """Check that what it names is in the plan: a misspelt policy would excuse nothing.

        Raises
        ------
        InputError
            Naming what is not there.
        """
        for rule in self.rules:
            specs = [array.spec for array in plan.arrays if rule.matches(array.spec.name)]
            if not specs and rule.given:
                raise InputError(f"{rule.given}: no array has such a name")
            known = {name for spec in specs for name in spec.dimension_names if name}
            for one in rule.ranges:
                if one.dimension not in known:
                    raise InputError(
                        f"{one.given}: no array{' of these' if rule.given else ''} has that "
                        f"dimension; there are: {', '.join(sorted(known)) or 'none with names'}"
                    )
            for one in rule.expect:
                if isinstance(one, Expected):
                    _require_some(one, specs)

    def allows_gaps(self, array: str) -> bool:
        """Whether any chunk of an array may be missing."""
        return bool(_last([rule.gaps for rule in self._about(array)]))

    def most_missing(self, array: str) -> float:
        """Return the percentage of an array's expected chunks that may be missing."""
        return _last([rule.most for rule in self._about(array)]) or 0.0

    def expectation(self, spec: ArraySpec) -> Expectation:
        """Return which chunks of an array are expected.

        A chunk that holds any expected element is; one that is to be empty lies there wholly.
        """
        bounds = [bound for one in self._expected(spec.name) for bound in _bounds(spec, one)]
        empty = []
        for rule in self._about(spec.name):
            for box in rule.empty:
                if all(one.dimension in spec.dimension_names for one in box):
                    whole = [_bounds(spec, one, whole=True) for one in box]
                    empty.append(tuple(bound for some in whole for bound in some))
        return Expectation(spec.reference_grid, tuple(bounds), tuple(empty))

    def stop(self, spec: ArraySpec, axis: int) -> int:
        """Return the element along an axis behind which nothing is expected of an array."""
        name = spec.dimension_names[axis]
        said = [one for one in self._expected(spec.name) if name and one.dimension == name]
        ends = [one.stop for one in said if isinstance(one, Expected) and one.stop is not None]
        return min([spec.shape[axis], *ends])

    def _about(self, array: str) -> list[Rule]:
        return [rule for rule in self.rules if rule.matches(array)]

    def _expected(self, array: str) -> list[Where]:
        """Return where chunks are expected: of each dimension, what the last rule says."""
        expect: dict[str, tuple[Where, ...]] = {}
        for rule in self._about(array):
            for dimension in {one.dimension for one in rule.expect}:
                expect[dimension] = tuple(o for o in rule.expect if o.dimension == dimension)
        return [one for some in expect.values() for one in some]


def _last(said: Sequence[_T | None]) -> _T | None:
    return next((one for one in reversed(said) if one is not None), None)


def _require_some(expected: Expected, specs: Sequence[ArraySpec]) -> None:
    """Refuse a range behind the end of all arrays: none of their chunks would be expected."""
    longest = max(
        length
        for spec in specs
        for name, length in zip(spec.dimension_names, spec.shape, strict=True)
        if name == expected.dimension
    )
    if expected.start >= max(longest, 1):
        raise InputError(
            f"{expected.given}: {expected.dimension} has {longest:,} elements, counted from 0: no "
            "chunk would be expected"
        )


def _in_common(ranges: tuple[Expected, ...]) -> tuple[Expected, ...]:
    """Return ranges, of each dimension those that some element is in all of: else none were left.

    Raises
    ------
    InputError
        Naming two that exclude each other.
    """
    for one, other in permutations(ranges, 2):
        last = other.stop if other.dimension == one.dimension else None
        if last is not None and one.start >= last > other.start:
            raise InputError(
                f"{other.given} and {one.given}: no element is in both, so that no chunk would be "
                "expected: give one range; what is meant to be empty within it, a --policy says"
            )
    return ranges


def _bounds(spec: ArraySpec, where: Where, whole: bool = False) -> Box:
    """Return the bounds of a range on each axis: of chunks that lie in it, ``whole`` or partly."""
    assert isinstance(where, Expected)
    found: list[Bound] = []
    for axis, name in enumerate(spec.dimension_names):
        if name == where.dimension:
            size, grid = spec.reference_chunks[axis], spec.reference_grid[axis]
            extent = spec.shape[axis]
            stop = extent if where.stop is None else min(where.stop, extent)
            if not size:
                found.append((axis, 0, 0))
            elif whole:
                end = grid if stop == extent else stop // size
                found.append((axis, -(-where.start // size), end))
            else:
                found.append((axis, where.start // size, min(-(-stop // size), grid)))
    return tuple(found)


def parse_percent(value: float | str, given: str = "--max-missing") -> float:
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
        raise InputError(f"{given} is {value}: give a percentage, 0 to 100")
    return percent
