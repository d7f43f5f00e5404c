"""Counts, sizes, durations and grids as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def count(number: int) -> str:
    """Return a count with thousands separators."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are: ``1 chunk``, ``2,000 chunks``; ``many`` where no s does it."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def part_of(number: int, total: int, one: str, many: str = "") -> str:
    """Return how many of all there are: ``1 of 1 chunk``, ``0 of 2,000 chunks``, as `counted`."""
    return f"{count(number)} of {counted(total, one, many)}"


def changes_text(changes: Mapping[str, int]) -> str:
    """Return what became more or fewer: ``12 more present, 2 fewer missing``; nothing for zeros."""
    said = (
        f"{count(abs(by))} {'more' if by > 0 else 'fewer'} {n}" for n, by in changes.items() if by
    )
    return ", ".join(said)


def short_count(number: int) -> str:
    """Return a count in at most three digits and a letter: ``999``, ``43.0 k``, ``1.25 M``."""
    value, unit = float(number), ""
    for following in ("k", "M", "G", "T"):
        if round(value, 0 if value >= 99.95 else 2) < 1000:
            break
        value, unit = value / 1000, f" {following}"
    if not unit:
        return str(number)
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"


def bytes_text(number: float) -> str:
    """Return bytes in binary units, three digits: ``1.53 GiB``."""
    units = ["PiB", "TiB", "GiB", "MiB", "KiB", "B"]
    while round(number) >= 1024 and len(units) > 1:
        units.pop()
        number /= 1024
    # Three digits of 1,000 to 1,023 would be a power of ten.
    digits = ".0f" if units[-1] == "B" or number >= 999.5 else ".3g"
    return f"{number:{digits}} {units[-1]}"


def duration(seconds: float) -> str:
    """Return a duration for people: ``2.4 s``, ``28 min``, ``3.1 h``."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def grid_text(sizes: Sequence[int]) -> str:
    """Return a shape or grid: ``87020 x 127 x 1 x 1``; a scalar's is ``()``."""
    return " x ".join(map(str, sizes)) or "()"
