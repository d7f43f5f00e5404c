"""The same store without patience: what goes wrong is said at once, and not asked for again."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from obstore.store import AzureStore, GCSStore, S3Store

from parchunk.stores.options import environment_mark
from parchunk.stores.same_store import SameStore


@lru_cache(maxsize=32)
def store_at_once(same: SameStore, environment: int) -> Any:
    """Return a store that says at once what goes wrong; None where there can be none, or is.

    ``environment`` is that in which the store was made: the other one reads it again.
    """
    store = same.store
    if not isinstance(store, S3Store | GCSStore | AzureStore) or environment != environment_mark():
        return None
    retry: dict[str, Any] = dict(store.retry_config or {})
    if retry.get("max_retries") == 0:
        return None
    made: dict[str, Any] = {
        "prefix": store.prefix,
        "config": store.config,
        "client_options": store.client_options,
        "retry_config": retry | {"max_retries": 0},
        "credential_provider": store.credential_provider,
    }
    try:
        return type(store)(**made)
    except Exception:  # obstore raises several unrelated classes here
        return None
