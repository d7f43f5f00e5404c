"""Pages asked for through obstore, no more at a time than the store bears.

obstore asks again by itself, and does not say that a store is too busy: then all listings of a
process would go on at full width, each waiting for itself. So a second store that never asks again
is asked first, and obstore's own patience is for what else goes wrong.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from parchunk.listing.batches import Batches, Stalled
from parchunk.listing.pages import PAGE_ROWS, Spent
from parchunk.listing.wire.reaching import NotHere, limits_of
from parchunk.listing.wire.server import Limits
from parchunk.stores.at_once import store_at_once
from parchunk.stores.explaining import is_final, status
from parchunk.stores.same_store import SameStore
from parchunk.stores.source import Source
from parchunk.stores.throttle import BUSY, Throttle


@dataclass(frozen=True)
class Asking:
    """How a store on a network is asked for pages; see `ObstorePages`."""

    source: Source
    quiet: float
    stop: threading.Event
    throttle: Throttle

    def batches(self, prefix: str, after: str | None, spent: Spent) -> Iterator[Any]:
        """Yield batches of a listing; what obstore raises is raised once trying again is over."""
        patient = at_once = self.source.store
        if self.source.manner.ordered:  # else one that breaks off cannot be gone on with
            at_once = store_at_once(SameStore(patient), self.source.environment) or patient
        limits = _limits(SameStore(patient))
        store, failed, began = at_once, 0, 0.0
        while True:
            try:
                with closing(self._throttled(store, prefix, after)) as found:
                    for batch in found:
                        if batch.num_rows:
                            after, failed = batch.column("path")[-1].as_py(), 0
                        yield batch
                        if store is not at_once:
                            break  # what was wrong has passed
                    else:
                        return
                store = at_once
            except Exception as error:
                if store is patient or self._is_final(error):
                    raise
                began = began if failed else time.monotonic()
                failed += 1
                if failed > limits.retries or time.monotonic() - began > limits.give_up:
                    raise
                spent.retries += 1
                if _is_busy(error):
                    spent.busy += 1
                    longest = min(limits.first_wait * 2 ** (failed - 1), limits.longest_wait)
                    self.stop.wait(longest * random.uniform(0.5, 1.0))
                else:
                    store = patient

    def _is_final(self, error: Exception) -> bool:
        known = isinstance(error, FileNotFoundError | Stalled)
        return known or self.stop.is_set() or is_final(error)

    def _throttled(self, store: Any, prefix: str, after: str | None) -> Generator[Any, None, None]:
        stream = iter(
            Batches(lambda: open_stream(store, prefix, after, PAGE_ROWS), self.quiet, self.stop)
        )
        while True:
            begun, busy, batch = self.throttle.begin(self.stop), False, None
            try:
                batch = next(stream, None)
            except Exception as error:
                busy = _is_busy(error)
                raise
            finally:
                self.throttle.end(begun, busy, busy or batch is not None)
            if batch is None:
                return
            yield batch


def open_stream(store: Any, prefix: str, after: str | None, rows: int) -> Iterator[Any]:
    """Return the batches of a listing, of so many ``rows``."""
    return iter(store.list(prefix or None, offset=after, chunk_size=rows, return_arrow=True))


def _is_busy(error: Exception) -> bool:
    return status(error) in {str(code) for code in BUSY}


@lru_cache(maxsize=32)
def _limits(same: SameStore) -> Limits:
    try:
        return limits_of({}, getattr(same.store, "retry_config", None))
    except NotHere:
        return Limits()
