"""How stores are put together, as the command line says it: --concat, --stack, --merge."""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.errors import InputError
from parchunk.metadata.document import shorten
from parchunk.metadata.names import name_problem
from parchunk.planning.joining.gathering import check_join

STATIC = ("equal", "first")


class UnjoinedError(InputError):
    """Stores of which nobody said how they are put together."""


@dataclass(frozen=True)
class Joining:
    """``concat`` (a dimension) or ``stack`` (a new dimension), with or without ``merge``, or none.

    With both, stores of the same arrays are joined along the dimension, and those series merged.
    ``labels`` are those of the new dimension; ``join`` says what becomes of arrays that only some
    stores have, ``static`` whether arrays without the dimension are compared; coordinates along
    it are held inline if so. ``by_pattern`` stores are put in the order of their coordinates.
    """

    concat: str | None = None
    stack: str | None = None
    merge: bool = False
    labels: tuple[str, ...] = ()
    join: str = "exact"
    static: str = "equal"
    inline: bool = True
    by_pattern: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises
        ------
        InputError
            Naming the option.
        """
        given = [
            option
            for option, value in (
                ("--concat", self.concat is not None),
                ("--stack", self.stack is not None),
            )
            if value
        ]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: give one of them")
        for option, value in (("--concat", self.concat), ("--stack", self.stack)):
            if value is not None and not value.strip():
                raise InputError(f"{option}: the dimension's name is empty")
        if self.stack is not None:
            # Its coordinate is an array of that name.
            problem = "its name has a slash" if "/" in self.stack else name_problem(self.stack)
            if problem:
                raise InputError(f"--stack {shorten(self.stack)}: {problem}: give another name")
        if self.labels and self.stack is None:
            raise InputError("--labels are for --stack: give that, or leave them out")
        check_join(self.join)
        if self.static not in STATIC:
            raise InputError(f"--static {self.static}: give equal or first")

    @property
    def dimension(self) -> str | None:
        """The dimension along which stores lie."""
        return self.concat if self.concat is not None else self.stack

    def __str__(self) -> str:
        """Return what messages call it."""
        merged = " --merge" if self.merge else ""
        if self.concat is not None:
            return f"--concat {self.concat}{merged}"
        if self.stack is not None:
            return f"--stack {self.stack}{merged}"
        return "--merge"

    def differences(self, other: Joining) -> list[str]:
        """Return what differs from ``other``, which is now, a phrase each."""
        found = [f"{self} there, {other} now"] if str(self) != str(other) else []
        for option, there, now in (
            ("--labels", ",".join(self.labels), ",".join(other.labels)),
            ("--join", self.join, other.join),
            ("--static", self.static, other.static),
        ):
            if there != now:
                words = shorten(there) or "none", shorten(now) or "none"
                found.append(f"{option} {words[0]} there, {words[1]} now")
        if self.inline != other.inline:
            found.append(f"--{'' if self.inline else 'no-'}inline-coordinates there, and not now")
        if self.by_pattern != other.by_pattern:
            one_by_one, pattern = "named one by one", "by a pattern, in quotes"
            there, now = (pattern, one_by_one) if self.by_pattern else (one_by_one, pattern)
            found.append(f"stores {there} there, {now} now")
        return found

    def check(self, count: int, named: bool) -> None:
        """Refuse ``count`` stores without a word on how they are to be put together.

        Stores that are ``named`` groups need none.

        Raises
        ------
        UnjoinedError
            Naming the options.
        """
        if count > 1 and not named and self.dimension is None and not self.merge:
            raise UnjoinedError(
                f"{count:,} stores: say how they go together: --concat DIM (one after another), "
                "--stack DIM (a new dimension) or --merge (side by side)"
            )
