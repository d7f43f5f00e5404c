"""Decoding shard indexes against zarr-python's own codecs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.metadata.shard_index import EMPTY, ZERO_SIZED, IndexDamage, decode
from parchunk.metadata.shards import ShardLayout

NEVER = 2**64 - 1


def layout(entries: tuple[int, ...], byte_order: str = "<") -> ShardLayout:
    return ShardLayout((1,) * len(entries), entries, (), "end", byte_order, True)  # type: ignore[arg-type]


def encode(pairs: list[tuple[int, int]], byte_order: str = "<") -> bytes:
    return np.array(pairs, f"{byte_order}u8").tobytes()


entry = st.one_of(st.just((NEVER, NEVER)), st.tuples(st.integers(0, 500), st.integers(0, 500)))


@settings(deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 6), st.sampled_from("<>"))
def test_entries_are_what_was_encoded(
    data: st.DataObject, shards: int, count: int, byte_order: str
) -> None:
    tables = [data.draw(st.lists(entry, min_size=count, max_size=count)) for _ in range(shards)]
    indexes = [encode(table, byte_order) for table in tables]
    sizes = np.full(shards, 1000)
    found = decode(layout((count,), byte_order), indexes, 0, sizes)
    for table, offsets, lengths in zip(tables, found.offsets, found.sizes, strict=True):
        for (offset, size), got_offset, got_size in zip(table, offsets, lengths, strict=True):
            if offset == NEVER:
                assert (got_offset, got_size) == (0, EMPTY)
            elif size == 0:
                assert (got_offset, got_size) == (0, ZERO_SIZED)
            else:
                assert (got_offset, got_size) == (offset, size)


@settings(deadline=None)
@given(st.integers(0, NEVER), st.integers(0, NEVER), st.integers(0, 2**40))
def test_an_entry_is_within_its_shard_or_refused(offset: int, size: int, shard: int) -> None:
    pairs = [(NEVER, NEVER), (offset, size)]
    fits = offset + size <= shard or (offset, size) == (NEVER, NEVER)
    if fits:
        decode(layout((2,)), [encode(pairs)], 0, np.array([shard]))
    else:
        with pytest.raises(IndexDamage, match="inner chunk 1 is said to be") as caught:
            decode(layout((2,)), [encode(pairs)], 0, np.array([shard]))
        assert caught.value.shard == 0


def test_the_first_damaged_shard_of_a_batch_is_named() -> None:
    good, bad = encode([(0, 5), (5, 5)]), encode([(0, 5), (96, 5)])
    with pytest.raises(IndexDamage, match="inner chunk 8 is said to be 5 bytes from 96") as caught:
        decode(layout((9,)), [good, good, bad, good], 7, np.full(4, 100))
    assert caught.value.shard == 2
