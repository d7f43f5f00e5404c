"""Reading parts of shards: of their indexes, and the inner chunks that these tell of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from parchunk.errors import DamagedShardError, SourceError
from parchunk.keys.numbers import Int64Array
from parchunk.listing.inner_chunks import InnerChunks
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.waiting import result_unless
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.shard_spans import Span, spans
from parchunk.metadata.shards import ShardLayout, shard_layout
from parchunk.metadata.spec import ArraySpec
from parchunk.stores.explaining import is_final
from parchunk.stores.source import Source

#: Bytes of inner chunks that may be fetched side by side before the next are asked for.
_ASKED_BYTES = 8 << 20


@dataclass
class ShardReader:
    """Reads the shards of one array with the threads of ``pool``.

    ``concurrency`` is the number of those threads that an array may use, ``index_bytes`` how much
    of one index is read at once: whole entries.
    """

    spec: ArraySpec
    source: Source
    pool: Executor
    concurrency: int
    requests: Requests
    patience: Patience
    stop: threading.Event
    index_bytes: int

    def __post_init__(self) -> None:
        """Lay out one shard."""
        self.layout: ShardLayout = shard_layout(self.spec)

    def index_start(self, number: int, size: int) -> int:
        """Return where the index of a shard of ``size`` bytes begins."""
        length = self.layout.index_bytes
        if size < length:
            self.refuse(number, f"it has {size} bytes, fewer than its index needs ({length})")
        return 0 if self.layout.index_at == "start" else size - length

    def get(self, number: int, start: int, stop: int, size: int) -> tuple[bytes, int]:
        """Return a part of a shard, and a number that is another when the shard was rewritten.

        Raises
        ------
        SourceError
            When the shard cannot be read, or has not ``size`` bytes any more.
        """
        key = object_key(self.spec, number)
        try:
            data, now, version = self.patience.tried(
                lambda: self.source.get_part(key, start, stop),
                _is_final,
                lambda: self.requests.add(retries=1, gets=1),
                self.stop,
            )
        except FileNotFoundError:
            raise SourceError(
                f"{self.source.describe(key)} was listed and is gone now: the store "
                "changed meanwhile; run again to resume"
            ) from None
        if now != size:
            raise SourceError(
                f"{self.source.describe(key)} was listed with {size} bytes and has {now} now: "
                "the store changed meanwhile; run again to resume"
            )
        if len(data) != stop - start:
            raise self.changed(number)
        return data, hash(version)

    def chunks(
        self,
        found: InnerChunks,
        rows: Int64Array,
        shards: Int64Array,
        offsets: Int64Array,
        sizes: Int64Array,
    ) -> Iterator[tuple[int, bytes]]:
        """Yield ``rows`` and the bytes of their inner chunks, shard by shard, fetched side by side.

        Rows are places in ``shards``, ``offsets`` and ``sizes``, which say where each one lies.

        Raises
        ------
        SourceError
            When a shard cannot be read, or is not the one whose index is in ``found``.
        """
        asked: deque[tuple[Span, Future[bytes]]] = deque()
        try:
            for number, span in _spans_by_shard(rows, shards, offsets, sizes):
                ahead = sum(other.stop - other.start for other, _ in asked)
                while asked and (len(asked) >= self.concurrency or ahead > _ASKED_BYTES):
                    ahead -= asked[0][0].stop - asked[0][0].start
                    yield from self._cut(*asked.popleft(), offsets, sizes)
                asked.append((span, self.pool.submit(self._get_span, found, number, span)))
            while asked:
                yield from self._cut(*asked.popleft(), offsets, sizes)
        finally:
            for _, future in asked:
                future.cancel()

    def _get_span(self, found: InnerChunks, number: int, span: Span) -> bytes:
        """Return bytes of the shard whose index is in ``found``."""
        at = int(np.searchsorted(found.shards, number))
        data, version = self.get(number, span.start, span.stop, int(found.lengths[at]))
        if version != found.versions[at]:
            raise self.changed(number)
        return data

    def _cut(
        self, span: Span, asked: Future[bytes], offsets: Int64Array, sizes: Int64Array
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of a span, and their bytes."""
        data = result_unless(self.stop, asked)
        for row in span.rows:
            begin = int(offsets[row]) - span.start
            yield row, data[begin : begin + int(sizes[row])]

    def changed(self, number: int) -> SourceError:
        """Return the error of a shard that is not the one whose index was read."""
        shard = self.source.describe(object_key(self.spec, number))
        return SourceError(f"{shard} changed while it was read: run again to resume")

    def refuse(self, number: int, reason: str) -> NoReturn:
        """Raise for a shard that is not what it should be."""
        shard = self.source.describe(object_key(self.spec, number))
        raise DamagedShardError(
            f"shard {shard} is damaged: {reason}; write it anew or delete it, and run again; or "
            "leave the array out: build with --exclude, and --overwrite where OUT has begun"
        )


def _spans_by_shard(
    rows: Int64Array, shards: Int64Array, offsets: Int64Array, sizes: Int64Array
) -> Iterator[tuple[int, Span]]:
    """Yield the shards that rows lie in, and what to fetch of each."""
    rows = rows[np.lexsort((offsets[rows], shards[rows]))]
    edges = np.flatnonzero(np.diff(shards[rows])) + 1
    for of_shard in np.split(rows, edges) if len(rows) else ():
        for span in spans(of_shard.tolist(), offsets, sizes):
            yield int(shards[of_shard[0]]), span


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help."""
    cause = error.__cause__
    return cause is None or is_final(cause)
