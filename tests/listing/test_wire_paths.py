"""Keys taken out of pages: hundreds of threads do so at the same time."""

import numpy as np
import pyarrow as pa
import pytest

from parchunk.listing.wire.paths import paths


def test_keys_take_nothing_of_arrows_own_memory() -> None:
    """It would keep some megabytes for each of those threads."""
    pool = pa.default_memory_pool()
    if pool.backend_name == "system":
        pytest.skip("Arrow has no other memory here")
    keys = [f"a/{number}" for number in range(1_000)]
    body, before = ";".join(keys).encode(), pool.bytes_allocated()
    stops = np.cumsum([len(key) + 1 for key in keys]) - 1
    found = paths(body, stops - [len(key) for key in keys], stops)
    assert found is not None
    assert pool.bytes_allocated() == before
    assert found.to_pylist() == keys
