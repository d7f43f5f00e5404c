"""What reading metadata asks of a store, and what it says when there is nothing to be read."""

from __future__ import annotations

from typing import Any, Protocol

from parchunk.errors import InputError, ShortListingError


class Reader(Protocol):
    """The least that reading metadata asks of a store. Called from several threads at once.

    Keys are relative to the store's root, without a leading or trailing slash; the root itself
    is ``""``. A store that cannot be reached raises `parchunk.errors.SourceError`.
    """

    def get(self, key: str) -> bytes | None:
        """Return the whole object at ``key``, or None when there is none.

        One too large to be a document may be `parchunk.stores.oversized.Oversized` instead.
        """

    def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the names (not keys) of the directories and of the objects in ``prefix``.

        ``"air"`` is the directory of ``air/x`` but not of ``air_temp/x``.
        """

    def first_keys(self, prefix: str) -> tuple[list[str], bool]:
        """Return some keys below ``prefix``, at any depth and relative to it; and if that is all.

        As many as one request returns. Raises `UnreadableFolderError` where trying again is in
        vain, as for a folder that may not be read.
        """

    def short_listing(self, prefix: str, lacking: str) -> ShortListingError:
        """Return the error for what is said to be in ``prefix`` without ``lacking``, a name.

        It is there, as it can be read, so that what was said is not believed.
        """

    def describe(self, key: str = "") -> str:
        """Return the URL of ``key`` (of the root, when empty), for messages."""


class RootIsArrayError(InputError):
    """What was to be read as a group is an array; ``group`` is its path ("" for the root).

    Read its parent instead: `read_array` takes one array by name, whether or not the directory
    that holds it is a group.
    """

    def __init__(self, url: str, group: str) -> None:
        """Report the array at ``url``, which is ``group`` of the reader's store."""
        super().__init__(f"{url} is an array, not a group: read its parent with --include")
        self.url = url
        self.group = group

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.url, self.group)


class NoMetadataError(InputError):
    """There is no Zarr metadata at ``url``, where ``key`` of the reader's store is."""

    def __init__(self, url: str, key: str) -> None:
        """Report that nothing is there to be read."""
        super().__init__(
            f"no Zarr metadata (zarr.json, .zgroup, .zarray or .zmetadata) at {url}: "
            "check the path, --group, and the permission to read it"
        )
        self.url = url
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments: an exception's default is its message."""
        return type(self), (self.url, self.key)
