"""Objects that an array's rows point at: its chunks, or shards that hold many of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa

from parchunk.auditing.row_faults import Ranges, RowFault, range_faults
from parchunk.keys.numbers import Int64Array
from parchunk.keys.parsing import parse_paths
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.shards import shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.paths import ArrayPaths
from parchunk.planning.plan import Partition


class Objects(Protocol):
    """What an audit has to know of an array's objects."""

    @property
    def word(self) -> str:
        """What they are, in the plural."""

    @property
    def zero_sized(self) -> tuple[str, str]:
        """What is said of one chunk of zero bytes, and of several."""

    @property
    def index_bytes(self) -> int:
        """Bytes of the index of each; 0 where there is none."""

    def shards(self, partition: Partition) -> int:
        """Return how many shards a partition has."""

    def paths(self, paths: ArrayPaths, numbers: Int64Array) -> pa.StringArray:
        """Return the path that the row of each chunk number must have, shape (n,)."""

    def chunks_at(self, paths: pa.StringArray, base: str) -> Int64Array:
        """Return the chunk numbers that paths below ``base`` are of, where a path is of one."""

    def offset_faults(self, rows: Ranges) -> Iterator[RowFault]:
        """Yield what is wrong with rows' offsets."""

    #: What is said of those that are others than they were, though references to them hold.
    written_anew: str

    def resized_text(self, resized: int, rewritten: int) -> str:
        """Return what is said of so many changed objects."""


def objects_of(spec: ArraySpec) -> Objects:
    """Return what an array's objects are."""
    return ChunkObjects(spec) if spec.inner_chunks is None else ShardObjects(spec)


class ChunkObjects:
    """Objects that are a chunk each."""

    word = "chunks"
    written_anew = "were written anew in the same size since the build"
    zero_sized = ("chunk is an object of zero bytes", "chunks are objects of zero bytes")
    index_bytes = 0

    def __init__(self, spec: ArraySpec) -> None:
        self._spec = spec

    def shards(self, partition: Partition) -> int:
        """Return 0: no object holds several chunks."""
        return 0

    def paths(self, paths: ArrayPaths, numbers: Int64Array) -> pa.StringArray:
        """Return each chunk's own path."""
        return paths.build(numbers)

    def chunks_at(self, paths: pa.StringArray, base: str) -> Int64Array:
        """Return the numbers of the chunks that the paths are of."""
        return parse_paths(paths, base, self._spec.space).numbers

    def offset_faults(self, rows: Ranges) -> Iterator[RowFault]:
        """Yield rows that do not begin where their object does."""
        yield RowFault(
            "wrong-offset",
            rows.offsets != 0,
            "offset is not 0, so that readers get a part of the chunk's object",
        )

    def resized_text(self, resized: int, rewritten: int) -> str:
        """Return how many have another size, and how many the same."""
        return f"{resized:,} of another size, {rewritten:,} written again in the same"


class ShardObjects:
    """Objects that hold the inner chunks of an expanded array."""

    word = "shards"
    written_anew = "were written anew since the build"
    zero_sized = (
        "inner chunk has zero bytes, or its shard has",
        "inner chunks have zero bytes, or their shards have",
    )

    def __init__(self, spec: ArraySpec) -> None:
        self._spec = spec

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index."""
        return shard_layout(self._spec).index_bytes

    def shards(self, partition: Partition) -> int:
        """Return how many shards a partition has."""
        return partition.objects.total

    def paths(self, paths: ArrayPaths, numbers: Int64Array) -> pa.StringArray:
        """Return the path of each inner chunk's shard."""
        shards = pa.array(shard_numbers(self._spec, numbers)).dictionary_encode()
        return paths.build(np.asarray(shards.dictionary)).take(shards.indices)

    def chunks_at(self, paths: pa.StringArray, base: str) -> Int64Array:
        """Return none: many rows share a path, which says nothing of chunks told twice."""
        return np.empty(0, np.int64)

    def offset_faults(self, rows: Ranges) -> Iterator[RowFault]:
        """Yield what is wrong with the ranges of inner chunks within their shards."""
        return range_faults(self._spec, rows)

    def resized_text(self, resized: int, rewritten: int) -> str:
        """Return how many are too short. Those that are not may hold the same chunks or others."""
        return f"{resized:,} end before what references ask for"
