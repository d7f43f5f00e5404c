"""The manner in which a store lists: found once for a source, and carried by it."""

from __future__ import annotations

from dataclasses import dataclass

from obstore.store import AzureStore, LocalStore, MemoryStore, S3Store


@dataclass(frozen=True)
class Manner:
    """How a store lists, as S3 does unless something else is said.

    ``page``: keys of one LIST request, at most. ``remote``: a listing costs requests over a
    network, and may break, hang or be cut short. ``ordered``: keys are promised to come in the
    order of their bytes; where they do not, an early stop loses chunks. ``in_memory``: no other
    process reaches the store, and each listing copies all of its keys that come later. ``frozen``:
    an inventory stands for the listing, which is as it was taken however often it is looked at.
    ``probed``: nothing is listed, and each chunk is asked for by itself.
    """

    @property
    def settled(self) -> bool:
        """Whether what was not there at one look would not be there at another."""
        return self.frozen or self.probed

    page: int = 1000
    remote: bool = True
    ordered: bool = True
    in_memory: bool = False
    frozen: bool = False
    probed: bool = False


#: How an inventory lists: to find a key costs as much as some thousand of them.
FROZEN = Manner(page=10_000, remote=False, frozen=True)
#: How a store is asked for each chunk: a key is a request, and walks are short.
PROBED = Manner(page=1, remote=False, probed=True)


def manner_of(store: object) -> Manner:
    """Return the manner of an obstore store; what is none is taken to list as S3 does."""
    if isinstance(store, LocalStore):
        return Manner(remote=False, ordered=False)
    if isinstance(store, MemoryStore):
        return Manner(remote=False, in_memory=True)
    if isinstance(store, AzureStore):
        return Manner(page=5000)
    # S3 Express, by the name that it prescribes: reading `.config` panics on some options.
    return Manner(ordered=not (isinstance(store, S3Store) and '--x-s3"' in repr(store)))
