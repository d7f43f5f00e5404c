"""Pages as obstore lists them: of every store that it knows."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from parchunk.listing.batches import Batches
from parchunk.listing.listed_rows import Listed
from parchunk.listing.pages import PAGE_ROWS, PageError, Spent
from parchunk.stores.explaining import explain, is_final
from parchunk.stores.source import Source

#: Rows of a page where rows cost no requests: enough to make the kernels' fixed costs small.
LOCAL_ROWS = 10_000

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class ObstorePages:
    """Pages of a source through its obstore store. Each is waited for ``quiet`` seconds at most.

    obstore does not tell its requests: they are counted by what they hold at most, ``page`` keys.
    """

    source: Source
    page: int
    quiet: float
    stop: threading.Event

    def pages(self, prefix: str, after: str | None, spent: Spent) -> Generator[Listed, None, None]:
        """Yield pages; see `parchunk.listing.pages.Pages`."""
        try:
            for batch in self._batches(prefix, after):
                if batch.num_rows:
                    spent.keys += batch.num_rows
                    yield _rows(pa.record_batch(batch))
        except GeneratorExit:
            raise
        except FileNotFoundError:
            return  # a directory that is not there holds nothing
        except Exception as error:  # obstore's classes do not tell which ones pass
            raise PageError(explain(error, self.source.unsigned), is_final(error)) from None
        finally:
            remote = self.source.manner.remote
            spent.lists = max(-(-spent.keys // self.page), 1) if remote else 0

    def _batches(self, prefix: str, after: str | None) -> Iterator[Any]:
        store, remote = self.source.store, self.source.manner.remote
        rows = PAGE_ROWS if remote else LOCAL_ROWS

        def open_stream() -> Iterator[Any]:
            found = store.list(prefix or None, offset=after, chunk_size=rows, return_arrow=True)
            return iter(found)

        return iter(Batches(open_stream, self.quiet, self.stop)) if remote else open_stream()


def _rows(batch: pa.RecordBatch) -> Listed:
    """Return a batch's rows; entity tags and versions, half of its bytes, are not needed."""
    modified = _as(batch.column("last_modified"), _TIME, safe=False)
    return Listed(
        _as(batch.column("path"), pa.string()),
        _as(batch.column("size"), pa.uint64()).to_numpy(),
        modified.view(pa.int64()).to_numpy(),
    )


def _as(column: pa.Array, kind: pa.DataType, safe: bool = True) -> pa.Array:
    """Return a column as of a type; to ask for a cast costs more than all else, page by page."""
    return column if column.type == kind else column.cast(kind, safe=safe)
