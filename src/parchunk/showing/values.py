"""Values that people see: a line in a terminal, more in a notebook, a page or a picture to keep.

What draws them uses their rooms, and not the other way round: it is registered here by type.
"""

from __future__ import annotations

import sys
from functools import singledispatch
from html import escape
from importlib import import_module
from os import PathLike
from pathlib import Path

#: Imported, it registers what draws values.
_REGISTERS = "parchunk.public"


class Shown:
    """A value with one line for a terminal, and a table with fold-outs for a notebook."""

    __slots__ = ()

    @property
    def in_short(self) -> str:
        """Return it in one line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the line, with what it is of."""
        return f"<parchunk.{type(self).__name__} {self.in_short}>"

    def _repr_html_(self) -> str:
        return fragment_of(self)


class Png(bytes):
    """A picture: bytes of a PNG, which a notebook draws."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return how large it is: the bytes themselves say nothing to people."""
        return f"<parchunk PNG, {len(self):,} bytes>"

    __str__ = __repr__

    def _repr_png_(self) -> bytes:
        return bytes(self)


def _is_late() -> bool:
    """Whether what draws values is registered only now: one was unpickled, and none asked for."""
    late = _REGISTERS not in sys.modules
    import_module(_REGISTERS)
    return late


@singledispatch
def fragment_of(value: Shown) -> str:
    """Return what a notebook shows of a value: HTML, all text in it escaped."""
    if _is_late():
        return fragment_of(value)
    return f"<pre>{escape(repr(value))}</pre>"


@singledispatch
def page_of(value: object) -> str:
    """Return a value as a document of its own."""
    if _is_late():
        return page_of(value)
    raise TypeError(f"there is no page of {type(value).__name__}")


@singledispatch
def picture_of(value: object) -> bytes:
    """Return a value as a PNG."""
    if _is_late():
        return picture_of(value)
    raise TypeError(f"there is no picture of {type(value).__name__}")


def kept(path: str | PathLike[str] | None, data: bytes) -> None:
    """Write what was drawn to a file, where one is named."""
    if path is not None:
        Path(path).write_bytes(data)
