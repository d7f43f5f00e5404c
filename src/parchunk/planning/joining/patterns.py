"""Stores by pattern: ``s3://bucket/era5/*.zarr``, by listing directories, one request each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import escape
from typing import Protocol

from parchunk.errors import InputError
from parchunk.metadata.choosing import some_of
from parchunk.stores.local_paths import local_path, refuse_broken_url

_MAGIC = re.compile(r"[*?\[]")
#: Stores that a pattern matches, at most: more is a pattern of chunks, not of stores.
MOST_STORES = 100_000


class Directories(Protocol):
    """What finding stores asks of where they are: see `parchunk.stores.source.Source`."""

    def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the objects right below ``prefix``."""


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """Return the URL above the first wildcard, and the segments from there on.

    Raises
    ------
    InputError
        Where it is a URL that lost a slash, a bucket has one, or ``**`` is asked for.
    """
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        refuse_broken_url(pattern)
        scheme, rest = "", pattern
    segments = rest.rstrip("/").split("/")
    first = next(at for at, segment in enumerate(segments) if _MAGIC.search(segment))
    if separator and first == 0:
        raise InputError(f"{pattern}: a bucket's name cannot have wildcards: name the bucket")
    if any("**" in segment for segment in segments):
        raise InputError(f"{pattern}: ** is not known: write a * for each level of folders")
    above = "/".join(segments[:first])
    if not separator:
        above = above or ("/" if pattern.startswith("/") else ".")
    return scheme + separator + above, segments[first:]


def _literally(pattern: str, segments: list[str], seen: list[str]) -> str | None:
    """Return the pattern with those segments escaped that are what folders are called.

    ``seen`` are folders that do not match, each the segment at its level. None: no segment is one.
    """
    names = [name.split("/") for name in seen]
    levels = {len(name) - 1 for name in names if name[-1] == segments[len(name) - 1]}
    if not levels:
        return None
    written = [escape(one) if at in levels else one for at, one in enumerate(segments)]
    return pattern.rstrip("/").removesuffix("/".join(segments)) + "/".join(written)


def is_there(pattern: str) -> bool:
    """Whether what looks like a pattern is the path of a folder that is so called."""
    return "://" not in pattern and os.path.exists(local_path(pattern))  # noqa: PTH110 (Path's raises)


def matches(pattern: str, segments: list[str], source: Directories) -> list[str]:
    """Return the folders below ``source`` that match, as keys relative to it, in text order.

    Each level costs a listing for each folder that matched above it.

    Raises
    ------
    InputError
        When none matches, or far too many.
    """
    seen: list[str] = []
    found = sorted(_below(source, "", segments, seen))
    if not found:
        there = f"there are {some_of(sorted(seen))}" if seen else "nothing is there"
        literal = _literally(pattern, segments, seen)
        if literal is not None:
            there = f"for the folder of that name write {literal}"
        raise InputError(f"{pattern} matches no folder: {there}")
    if len(found) > MOST_STORES:
        raise InputError(
            f"{pattern} matches {len(found):,} folders, more than the {MOST_STORES:,} stores that "
            "are joined: narrow it"
        )
    return found


def _below(source: Directories, prefix: str, segments: list[str], seen: list[str]) -> Iterator[str]:
    names = source.list_dir(prefix)[0]
    first, rest = segments[0], segments[1:]
    fitting = [name for name in names if fnmatchcase(name, first)]
    if not fitting:
        seen.extend(f"{prefix}/{name}" if prefix else name for name in names)
    for name in fitting:
        if name.startswith(".") and not first.startswith("."):
            continue  # as a shell has it: hidden folders are not meant
        key = f"{prefix}/{name}" if prefix else name
        if rest:
            yield from _below(source, key, rest, seen)
        else:
            yield key
