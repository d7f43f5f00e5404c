"""Key ranges: several arrays listed by one walk over full keys, its rows told apart again.

Keys sort as text, and ``-`` and ``.`` before ``/``, so ``air-x/0`` and ``air.x/0`` come before
``air/0``, and that before ``air_temp/0``. But what lies below one array stands together, between
``air/`` and ``air0`` (``0`` follows ``/``), as arrays are never nested. So the ranges of different
arrays are disjoint, and a walk in text order meets them one after another. What lies between them
belongs to nobody here; where a page of it ends, the walk goes on at the next range with a new
request, which costs no more than the next page would.
"""

from __future__ import annotations

from dataclasses import dataclass
from posixpath import commonpath

from parchunk.cover.digit_tree import Ints
from parchunk.cover.walks import Walk, named_walks
from parchunk.metadata.spec import ArraySpec

#: Sorts before ``/`` and after nearly all that begins with ``.``; stores take it in a key.
BEFORE_SLASH = ".~"
#: The character after ``/``.
_AFTER_SLASH = "0"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys of one ``walk`` over one array, below the source's root: ``first <= key < stop``.

    ``owner`` is whose they are. A listing of them asks for keys that sort ``after`` and goes on up
    to ``last``, either of which may name no object. They are spelled when they are asked for: there
    are as many ranges as arrays in all jobs that are under way, and those have walks in common.
    """

    owner: int
    array: str
    walk: Walk

    @property
    def directory(self) -> str:
        """The array, or what in it holds all of them."""
        return f"{self.array}/{self.walk.prefix}" if self.walk.prefix else self.array

    @property
    def after(self) -> str:
        """What sorts right before them."""
        if self.walk.offset is None:
            return self.directory + BEFORE_SLASH
        return f"{self.array}/{self.walk.offset}"

    @property
    def first(self) -> str:
        """The first key that may be one of them."""
        if self.walk.offset is None:
            return f"{self.directory}/"
        return self.after + "\0"  # no string lies between

    @property
    def last(self) -> str:
        """What sorts after them, or is the last of them."""
        if self.walk.last is None:
            return self.directory + _AFTER_SLASH
        return f"{self.array}/{self.walk.last}"

    @property
    def stop(self) -> str:
        """The first key that may not be one of them."""
        return self.last if self.walk.last is None else self.last + "\0"

    @property
    def final(self) -> str | None:
        """The last chunk's key; None where it is not known."""
        return None if self.walk.final is None else f"{self.array}/{self.walk.final}"


def common_directory(first: str, last: str) -> str:
    """Return the narrowest directory that holds two directories, and all that sort between."""
    return commonpath((first, last))


def ranges_of(spec: ArraySpec, spans: Ints, owner: int) -> list[KeyRange]:
    """Return the ranges of the walks over intervals of an array's ranks."""
    return [KeyRange(owner, spec.name, walk) for walk in named_walks(spec.space, spans)]
