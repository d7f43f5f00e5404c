"""A store that says at once what goes wrong is the same store otherwise, or there is none."""

from __future__ import annotations

from typing import Any

import pytest
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from parchunk.stores.at_once import store_at_once
from parchunk.stores.options import environment_mark
from parchunk.stores.same_store import SameStore


def given() -> Any:
    """Return credentials as a caller's own function does."""
    return {"access_key_id": "a", "secret_access_key": "b", "expires_at": None}


@pytest.mark.parametrize(
    "store",
    [
        S3Store("b", region="us-east-1", skip_signature=True),
        S3Store("b", region="us-east-1", credential_provider=given),
        GCSStore("b", skip_signature=True),
        AzureStore("b", account_name="a", skip_signature=True),
    ],
)
def test_stores_that_say_at_once_what_goes_wrong_are_the_same_otherwise(store: Any) -> None:
    made = store_at_once(SameStore(store), environment_mark())
    assert made.retry_config["max_retries"] == 0
    for what in ("config", "prefix", "client_options", "credential_provider"):
        assert getattr(made, what) == getattr(store, what)
    assert store_at_once(SameStore(store), environment_mark() + 1) is None  # it would ask another
    assert store_at_once(SameStore(made), environment_mark()) is None
    assert store_at_once(SameStore(MemoryStore()), environment_mark()) is None
