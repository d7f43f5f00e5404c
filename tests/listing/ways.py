"""The ways of listing, and what each makes of a source, as rows that can be compared."""

from __future__ import annotations

import threading
from typing import Any

from tests.listing.signed_bucket import KEY, SECRET, SESSION

import parchunk
from parchunk.listing.choosing import pages_of
from parchunk.listing.pages import Spent

WAYS = ["obstore", "wire"]
NEVER = threading.Event()
#: Kinds of credentials that both ways have, as store options.
KINDS: dict[str, dict[str, Any]] = {
    "anonymous": {"skip_signature": True},
    "static": {"access_key_id": KEY, "secret_access_key": SECRET},
    "session token": {
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "session_token": SESSION,
    },
}


def rows(
    source: parchunk.Source, prefix: str, after: str | None = None, spent: Spent | None = None
) -> list[tuple[str, int, int]]:
    """Return all that is listed, in the order that it came."""
    pages = pages_of(source, 1000, 60, NEVER).pages(prefix, after, spent or Spent())
    return [
        row
        for page in pages
        for row in zip(
            page.paths.to_pylist(), page.sizes.tolist(), page.modified.tolist(), strict=True
        )
    ]
