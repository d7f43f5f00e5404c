"""A question to a store of one object or folder, asked again while it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from parchunk.listing.patience import Patience, Requests
from parchunk.stores.explaining import is_final
from parchunk.stores.source import Source

_T = TypeVar("_T")


def asked(
    ask: Callable[[], _T],
    source: Source,
    patience: Patience,
    requests: Requests,
    stop: threading.Event,
) -> _T | None:
    """Return what ``ask`` gets from the store, or None where that says that nothing is there.

    Each attempt but the first is counted in ``requests``. What the last one raises is raised.

    Raises
    ------
    Cancelled
        When the build is ending.
    """
    try:
        return patience.tried(
            lambda: source.answer(ask),
            lambda error: isinstance(error, FileNotFoundError) or is_final(error),
            lambda: requests.add(retries=1),
            stop,
        )
    except FileNotFoundError:
        return None
