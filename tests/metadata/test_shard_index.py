"""Decoding shard indexes against zarr-python's own codecs."""

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.metadata.shard_index import EMPTY, ZERO_SIZED, IndexDamage, decode_indexes
from parchunk.metadata.shards import ShardLayout

NEVER = 2**64 - 1


def layout(entries: tuple[int, ...], byte_order: str = "<", checksum: bool = True) -> ShardLayout:
    return ShardLayout((1,) * len(entries), entries, (), "end", byte_order, checksum)  # type: ignore[arg-type]


def encode(pairs: list[tuple[int, int]], byte_order: str = "<", checksum: bool = True) -> bytes:
    data = np.array(pairs, f"{byte_order}u8").tobytes()
    return data + google_crc32c.value(data).to_bytes(4, "little") * checksum


entry = st.one_of(st.just((NEVER, NEVER)), st.tuples(st.integers(0, 500), st.integers(0, 500)))


@settings(deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 6), st.sampled_from("<>"), st.booleans())
def test_entries_are_what_was_encoded(
    data: st.DataObject, shards: int, count: int, byte_order: str, checksum: bool
) -> None:
    tables = [data.draw(st.lists(entry, min_size=count, max_size=count)) for _ in range(shards)]
    indexes = [encode(table, byte_order, checksum) for table in tables]
    sizes = np.full(shards, 1000)
    found = decode_indexes(layout((count,), byte_order, checksum), indexes, sizes)
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
        decode_indexes(layout((2,)), [encode(pairs)], np.array([shard]))
    else:
        with pytest.raises(IndexDamage, match="inner chunk 1 is said to be") as caught:
            decode_indexes(layout((2,)), [encode(pairs)], np.array([shard]))
        assert caught.value.shard == 0


def test_the_first_damaged_shard_of_a_batch_is_named() -> None:
    good, bad = encode([(0, 5)]), bytearray(encode([(0, 5)]))
    bad[3] ^= 1
    with pytest.raises(IndexDamage, match="checksum") as caught:
        decode_indexes(layout((1,)), [good, good, bytes(bad), good], np.full(4, 100))
    assert caught.value.shard == 2


def test_an_index_of_another_length_is_damage() -> None:
    with pytest.raises(IndexDamage, match="16 bytes instead of 20"):
        decode_indexes(layout((1,)), [encode([(0, 5)], checksum=False)], np.array([100]))
