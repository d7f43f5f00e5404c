"""Sizes as people write them: ``512MiB``."""

from __future__ import annotations

import re

from parchunk.errors import InputError

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?)?b?\s*")
_UNITS = {
    "": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
    "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Return the bytes that ``512MiB``, ``2GB`` or ``1000000`` says.

    Raises
    ------
    InputError
        When it says none.
    """
    match = _SIZE.fullmatch(text.lower())
    if not match:
        raise InputError(f"{text!r} is no size: write e.g. 512MiB or 2GB")
    return int(float(match.group(1)) * _UNITS[match.group(2) or ""])
