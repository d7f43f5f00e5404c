"""Directories of a source, for finding its arrays: one level whole, or the first keys below one.

obstore ends a listing without an exception when an answer is an error in a page of success, so
what a store says over a network is believed when it is the same twice wherever it may have been
cut: where it is empty, ends early, or filled a page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from parchunk.errors import ShortListingError, SourceError, UnreadableFolderError
from parchunk.stores.explaining import explain, is_final

if TYPE_CHECKING:
    from parchunk.stores.source import Source

#: Keys that `first_keys` returns at most: one page of most stores.
FIRST = 1000
#: Listings of one directory, when they break or no two in a row agree, before giving up.
_TRIES = 6
#: Seconds after which one that breaks is not tried again.
_PATIENCE = 60.0

_T = TypeVar("_T")


def list_directory(source: Source, prefix: str) -> tuple[list[str], list[str]]:
    """Return the names of the directories and of the objects right below ``prefix``."""

    def doubtful(found: tuple[list[str], list[str]]) -> bool:
        count = len(found[0]) + len(found[1])
        return not count or count >= source.manner.page

    return _believed(source, prefix, lambda: _one_level(source, prefix), doubtful)


def first_keys(source: Source, prefix: str) -> tuple[list[str], bool]:
    """Return up to `FIRST` keys below ``prefix``, relative to it, and whether that is all."""
    return _believed(source, prefix, lambda: _first(source, prefix), lambda found: found[1])


def _believed(
    source: Source, prefix: str, read: Callable[[], _T], doubtful: Callable[[_T], bool]
) -> _T:
    found = _tried(read)
    if not source.manner.remote or not doubtful(found):
        return found
    for attempt in range(_TRIES):
        again = _tried(read)
        if again == found or not doubtful(again):
            return again
        found = again
        time.sleep(0.1 * 2**attempt)
    raise ShortListingError(
        f"listings of {source.describe(prefix)} do not agree with each other: run it again, and "
        "check the store if that does not help"
    )


def _tried(read: Callable[[], _T]) -> _T:
    """Return what ``read`` does, tried again where a listing broke; the client retries the rest."""
    began = time.monotonic()
    for attempt in range(_TRIES):
        try:
            return read()
        except UnreadableFolderError:
            raise
        except SourceError:
            if attempt + 1 == _TRIES or time.monotonic() - began > _PATIENCE:
                raise
        time.sleep(0.1 * 2**attempt)
    raise AssertionError("unreachable")


def _one_level(source: Source, prefix: str) -> tuple[list[str], list[str]]:
    path = source.path(prefix)
    try:
        listed = source.answer(lambda: source.store.list_with_delimiter(path or None))
    except FileNotFoundError:
        return [], []
    except Exception as error:
        raise _failure(source, prefix, error) from None
    depth = len(path.split("/")) if path else 0
    directories = [p.split("/")[depth] for p in listed["common_prefixes"]]
    objects = [
        segments[depth]
        for segments in (o["path"].split("/") for o in listed["objects"])
        if len(segments) == depth + 1
    ]
    return directories, objects


def _first(source: Source, prefix: str) -> tuple[list[str], bool]:
    path = source.path(prefix)

    def ask() -> Any:
        # The stream is left after a batch: no further page is asked for.
        stream = source.store.list(path or None, chunk_size=FIRST, return_arrow=True)
        return next(iter(stream), None)

    try:
        batch = source.answer(ask)
    except FileNotFoundError:
        return [], True
    except Exception as error:
        raise _failure(source, prefix, error) from None
    paths = [] if batch is None else pa.record_batch(batch)["path"].to_pylist()
    start = len(path) + 1 if path else 0
    # A marker of the directory itself comes without its trailing slash.
    return [found[start:] for found in paths if len(found) > start], len(paths) < FIRST


def _failure(source: Source, prefix: str, error: Exception) -> SourceError:
    kind = UnreadableFolderError if is_final(error) else SourceError
    return kind(f"cannot list {source.describe(prefix)}: {explain(error, source.unsigned)}")
