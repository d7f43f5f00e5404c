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

from parchunk.cover.digit_tree import Ints
from parchunk.cover.walks import Walk, named_walks
from parchunk.metadata.spec import ArraySpec

#: Sorts before ``/`` and after nearly all that begins with ``.``; stores take it in a key.
BEFORE_SLASH = ".~"
#: The character after ``/``.
_AFTER_SLASH = "0"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys of one walk over one array, below the source's root: ``first <= key < stop``.

    ``owner`` is whose they are. ``directory``, the array's or one in it, holds them all. A listing
    of them asks for keys that sort ``after`` and goes on up to ``last``, either of which may name
    no object. ``final`` is the last chunk's key (None: not known).
    """

    owner: int
    array: str
    directory: str
    after: str
    first: str
    last: str
    stop: str
    final: str | None = None


def key_range(owner: int, array: str, walk: Walk) -> KeyRange:
    """Return the range of a walk over the array named ``array``."""
    directory = f"{array}/{walk.prefix}" if walk.prefix else array
    if walk.offset is None:
        after, first = directory + BEFORE_SLASH, f"{directory}/"
    else:
        after = f"{array}/{walk.offset}"
        first = after + "\0"  # no string lies between
    if walk.last is None:
        last = stop = directory + _AFTER_SLASH
    else:
        last = f"{array}/{walk.last}"
        stop = last + "\0"
    final = None if walk.final is None else f"{array}/{walk.final}"
    return KeyRange(owner, array, directory, after, first, last, stop, final)


def common_directory(first: str, last: str) -> str:
    """Return the narrowest directory that holds two directories, and all that sort between."""
    one, other = first.split("/"), last.split("/")
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return "/".join(one[:shared])


def ranges_of(spec: ArraySpec, spans: Ints, owner: int) -> list[KeyRange]:
    """Return the ranges of the walks over intervals of an array's ranks."""
    return [key_range(owner, spec.name, walk) for walk in named_walks(spec.space, spans)]
