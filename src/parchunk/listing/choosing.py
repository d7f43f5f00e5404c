"""Who lists a source: obstore, or requests of our own whose pages are read off the wire.

Both are the same to all that is above them. Off the wire costs a fraction, and is chosen by itself
only where the suite that both must pass (tests/listing/test_pages_conformance.py) has such a store
and such credentials; `PROVEN` is its table.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from obstore.store import GCSStore, LocalStore, MemoryStore, S3Store

from parchunk.errors import InputError, MissingExtraError
from parchunk.listing.inventory_pages import InventoryPages
from parchunk.listing.obstore_pages import ObstorePages
from parchunk.listing.pages import Pages
from parchunk.listing.wire.gcs import GCS
from parchunk.listing.wire.reaching import NotHere
from parchunk.listing.wire.s3 import S3
from parchunk.listing.wire.s3_place import s3_place
from parchunk.listing.wire.wire_pages import Dialect, WirePages
from parchunk.stores.options import environment_mark
from parchunk.stores.same_store import SameStore
from parchunk.stores.source import Source
from parchunk.stores.throttle import throttle_of

#: Stores and kinds of credentials that the suite has. AWS itself it has by its parts alone, which
#: is no proof.
PROVEN = frozenset(
    (server, kind)
    for server in ("S3 endpoint", "S3 endpoint with TLS")
    for kind in ("anonymous", "static", "session token", "web identity", "provider")
)


#: By process, who chooses.
_CHOOSING: dict[int, threading.Lock] = {}


@dataclass(frozen=True)
class Choice:
    """Who lists a source, and ``why``, as a clause."""

    way: Literal["obstore", "wire", "inventory", "probe"]
    why: str
    dialect: Dialect | None = None

    def __str__(self) -> str:
        return f"{self.way} ({self.why})"


def choose(source: Source) -> Choice:
    """Return who lists a source.

    Raises
    ------
    InputError
        When it was told to be read off the wire, and cannot; when it was told who lists it, and
        is not listed.
    """
    if source.objects is not None or source.manner.probed:
        if source.listing != "auto":
            raise InputError(
                f"--listing {source.listing} is for sources that are listed: leave it out beside "
                "--inventory and --probe"
            )
        if source.objects is None:
            return Choice("probe", "each chunk is asked for")
        return Choice("inventory", f"of {source.objects.date}")
    source.require_listing()
    identity = source.identity
    # Of those who choose at once, one: a dialect holds the credentials that all of them use. A
    # fork has none of the threads that may hold a lock.
    with _CHOOSING.setdefault(os.getpid(), threading.Lock()):
        return _chosen(SameStore(source.store), source.listing, source.environment, identity)


def pages_of(
    source: Source, page: int, quiet: float, stop: threading.Event, rate: float = math.inf
) -> Pages:
    """Return how a source is asked for pages, ``rate`` of them a second at most.

    See `ObstorePages` for what the others say.
    """
    if source.objects is not None:
        return InventoryPages(source.objects, stop)
    dialect = choose(source).dialect
    throttle = throttle_of(SameStore(source.store), source.prefix, rate, os.getpid())
    if dialect is None:
        return ObstorePages(source, page, quiet, stop, throttle)
    return WirePages(dialect, quiet, stop, throttle, source.unsigned)


@lru_cache(maxsize=32)
def _chosen(same: SameStore, listing: str, environment: int, identity: str) -> Choice:
    if listing == "obstore":
        return Choice("obstore", "as told")
    try:
        dialect, kind = _dialect(same.store, environment, identity)
    except NotHere as error:
        if listing == "wire":
            raise InputError(
                f"--listing wire: {error}, so it is left to obstore: give --listing auto"
            ) from None
        return Choice("obstore", str(error))
    if listing == "wire":
        return Choice("wire", "as told", dialect.ready())
    if kind not in PROVEN:
        return Choice("obstore", f"{kind[0]} with credentials of kind {kind[1]!r} is not proven")
    try:
        return Choice("wire", f"{kind[0]}, {kind[1]}", dialect.ready())
    except MissingExtraError as error:
        return Choice("obstore", str(error))


def _dialect(store: object, environment: int, identity: str) -> tuple[S3 | GCS, tuple[str, str]]:
    """Return the dialect of a store, and of which kind it and its credentials are.

    Its pages say of objects what ``identity`` needs, as reading and obstore's pages do.

    Raises
    ------
    NotHere
        When only obstore can list it.
    """
    if isinstance(store, LocalStore | MemoryStore):
        raise NotHere("it is not listed over a network")
    if environment != environment_mark():
        # obstore goes on asking the server, with the credentials, that were named then.
        raise NotHere("the environment has changed since the store was opened")
    if isinstance(store, S3Store):
        place = s3_place(store)
        server = "AWS" if not place.endpoint else "S3 endpoint"
        if place.endpoint and place.origin.encrypted:
            server = "S3 endpoint with TLS"
        return S3(place, tagged=identity == "etag"), (server, place.kind)
    if isinstance(store, GCSStore) and identity == "etag":
        raise NotHere("entity tags on the wire of Google are not those that objects are read by")
    if isinstance(store, GCSStore) and identity == "time":
        raise NotHere("times on the wire of Google may not be those that obstore lists")
    if isinstance(store, GCSStore):
        gcs = GCS.of(store)
        return gcs, ("GCS endpoint" if gcs.endpoint else "GCS", gcs.kind)
    raise NotHere("only S3 and GCS are read off the wire")
