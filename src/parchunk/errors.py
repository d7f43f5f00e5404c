"""The errors a caller can meet, grouped by what a handler would do about them.

Every message is one line: what happened, where (array, region or key), and what to do.
"""

from __future__ import annotations


class ParchunkError(Exception):
    """Base of every error that parchunk raises on purpose."""


class InputError(ParchunkError, ValueError):
    """An argument, option or plan cannot be used as given: change the call."""


class SourceError(ParchunkError, OSError):
    """The source store cannot be reached, listed or read: check the store, then run again."""


class MetadataError(ParchunkError, ValueError):
    """The source's Zarr metadata is broken or contradicts itself: repair the store."""


class UnsupportedError(ParchunkError, NotImplementedError):
    """The source is valid Zarr, but kerchunk references cannot express it."""


class OutputError(ParchunkError, OSError):
    """The output cannot be written, or holds something else: choose or clear the output."""


class HeldError(OutputError):
    """Another build holds the output, or has taken it over: wait for it."""


class ListingError(SourceError):
    """A listing failed for good, or broke a promise (order, offset) that counts rely on."""


class SourceChangedError(ParchunkError, RuntimeError):
    """The source's metadata changed while it was listed: nothing was published."""


class MissingExtraError(ParchunkError, ImportError):
    """An optional part is not installed; the message names the extra."""


class DamagedShardError(SourceError):
    """A shard's index is wrong, so that nothing can be said of its inner chunks."""


class ShortListingError(SourceError):
    """A listing that lacks what is known to be there: its end was no end, so it is not believed."""


class UnlistedError(InputError):
    """A store that has no listing, and nothing that stands for one: give an inventory."""


class UnreadableFolderError(SourceError):
    """A folder that cannot be listed however often it is tried."""
