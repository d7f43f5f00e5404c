"""The in-process twin of the synthetic server: obstore's Arrow batches without HTTP.

For measurements in which a real listing would take longer than what is measured.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from arro3.core import RecordBatch

from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import Run

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("size", pa.uint64(), nullable=False),
        pa.field("e_tag", pa.string()),
        pa.field("version", pa.string()),
    ]
)
"""The columns of obstore's ``list(..., return_arrow=True)``."""


@functools.lru_cache(maxsize=8)
def _constants(rows: int) -> tuple[pa.Array, pa.Array, pa.Array, np.ndarray]:
    """Return the columns last_modified, e_tag and version, alike in all batches, and 1 to rows."""
    moment = datetime.fromisoformat(FormulaStore.last_modified)
    return (
        pa.repeat(pa.scalar(moment, SCHEMA.field("last_modified").type), rows),
        pa.repeat(pa.scalar(FormulaStore.e_tag), rows),
        pa.nulls(rows, pa.string()),
        np.arange(1, rows + 1, dtype=np.int64),
    )


class Body(bytes):
    """An object's bytes, which can be asked for with ``bytes()`` as obstore's results are."""

    def bytes(self) -> Body:
        """Return the bytes."""
        return self

    @property
    def meta(self) -> dict[str, int]:
        """What obstore says of the object."""
        return {"size": len(self)}


class FormulaListing:
    """A formula store that is listed and read as obstore lists and reads an S3 store.

    ``requests`` counts the LIST requests that S3 would have been sent, by the page: a page is
    fetched when its first row is needed, and whoever stops iterating fetches no more. Streams of
    one listing may be iterated in different threads. It does what parchunk asks of an obstore
    store, so it may stand for one in a source.
    """

    def __init__(self, store: FormulaStore, *, page: int = 1000) -> None:
        """List ``store`` in pages of ``page`` keys."""
        self.store = store
        self.page = page
        self.requests = 0
        self.keys = 0
        self.streams = 0
        self._lock = threading.Lock()

    def list(
        self,
        prefix: str | None = None,
        *,
        offset: str | None = None,
        chunk_size: int = 50,
        return_arrow: bool = True,
    ) -> Iterator[RecordBatch]:
        """Iterate over batches of ``chunk_size`` objects under ``prefix`` after ``offset``.

        As in ``obstore.list``, ``prefix`` is whole segments (``foo/bar`` is no prefix of
        ``foo/bar_baz``) and ``offset`` is a key and exclusive. Only Arrow is given.
        """
        if not return_arrow:
            raise ValueError("the twin lists in Arrow only: pass return_arrow=True")
        if chunk_size > 1 << 22:
            raise ValueError(f"chunk_size={chunk_size}: the paths of a batch must stay under 2 GB")
        start, stop = self.store.span(f"{prefix.strip('/')}/" if prefix and prefix != "/" else "")
        if offset:
            start = max(start, self.store.slot_after(offset.strip("/")))
        return self._batches(start, stop, chunk_size)

    def _batches(self, start: int, stop: int, chunk_size: int) -> Iterator[RecordBatch]:
        with self._lock:
            self.streams += 1
        pulled = pages = 0
        rest: Run | None = None
        following = self.store.runs(start, stop)
        while True:
            runs: list[Run] = []
            rows = 0
            while rows < chunk_size and (run := rest or next(following, None)):
                rest = None
                if rows + len(run) > chunk_size:
                    run, rest = run.split(chunk_size - rows)
                runs.append(run)
                rows += len(run)
            pulled += rows
            needed = max(1, -(-pulled // self.page))
            with self._lock:
                self.requests += needed - pages
                self.keys += rows
            pages = needed
            if rows:
                yield self._batch(runs, rows)
            if rows < chunk_size:
                return

    def _batch(self, runs: list[Run], rows: int) -> RecordBatch:
        modified, e_tags, versions, steps = _constants(rows)
        offsets = np.empty(rows + 1, dtype=np.int32)
        offsets[0] = 0
        numbers = np.empty(rows, dtype=np.int64)
        parts: list[bytes] = []
        at = end = 0
        for run in runs:
            count = len(run)
            tails = run.pick(run.table.tails)
            parts += (run.prefix, run.prefix.join(tails))
            if run.kept is None:
                ends = run.table.ends[run.start + 1 : run.stop + 1] + (
                    end - run.table.ends[run.start]
                )
            else:
                ends = np.cumsum(run.table.lengths[run.kept]) + end
            ends += steps[:count] * len(run.prefix)
            offsets[at + 1 : at + count + 1] = ends
            numbers[at : at + count] = run.numbers()
            at += count
            end = int(ends[-1])
        # sizes of an array's chunks all at once, as its runs are many and short
        sizes = np.empty(rows, dtype=np.int64)
        at = 0
        for array, group in itertools.groupby(runs, key=lambda run: run.array):
            stop = at + sum(map(len, group))
            here = numbers[at:stop]
            sizes[at:stop] = here if array is None else array.sizes(here)
            at = stop
        data = pa.py_buffer(b"".join(parts))
        paths = pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), data])
        size = pa.Array.from_buffers(pa.uint64(), rows, [None, pa.py_buffer(sizes)])
        columns = [paths, modified, size, e_tags, versions]
        return RecordBatch.from_arrow(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))

    def list_with_delimiter(self, prefix: str | None = None) -> dict[str, Any]:
        """Return ``common_prefixes`` and ``objects`` directly under ``prefix``, as obstore does."""
        wanted = f"{prefix.strip('/')}/" if prefix and prefix != "/" else ""
        runs, commons, _ = self.store.entries(*self.store.span(wanted), wanted, self.store.slots)
        moment = datetime.fromisoformat(self.store.last_modified)
        entries = len(commons) + sum(map(len, runs))
        with self._lock:
            self.requests += max(1, -(-entries // self.page))
        objects = [
            {
                "path": (run.prefix + tail).decode(),
                "last_modified": moment,
                "size": size,
                "e_tag": self.store.e_tag,
                "version": None,
            }
            for run in runs
            for tail, size in zip(run.pick(run.table.tails), run.sizes().tolist(), strict=True)
        ]
        return {
            "common_prefixes": [common.decode().rstrip("/") for common in commons],
            "objects": objects,
        }

    def get(self, key: str) -> Body:
        """Return the object at ``key``; FileNotFoundError when there is none."""
        return Body(self.store.get(key))

    def get_range(
        self, key: str, *, start: int, end: int | None = None, length: int | None = None
    ) -> bytes:
        """Return bytes ``[start, end)`` of the object at ``key``, or ``length`` from ``start``."""
        if (end is None) == (length is None):
            raise ValueError("give one of end= and length=")
        return self.store.get(key, start, start + length if length is not None else end)

    def head(self, key: str) -> dict[str, Any]:
        """Return the object's metadata as obstore does; FileNotFoundError when there is none."""
        size = self.store.head(key)
        if size is None:
            raise FileNotFoundError(key)
        return {
            "path": key,
            "last_modified": datetime.fromisoformat(self.store.last_modified),
            "size": size,
            "e_tag": self.store.e_tag,
            "version": None,
        }

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self.requests = self.keys = self.streams = 0
