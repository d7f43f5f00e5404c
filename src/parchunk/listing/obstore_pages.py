"""Pages as obstore lists them: of every store that it knows."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from parchunk.errors import ListingError
from parchunk.listing.asking import Asking, open_stream
from parchunk.listing.listed_rows import Listed
from parchunk.listing.pages import EACH, Enough, PageError, Spent
from parchunk.stores.explaining import explain, is_final
from parchunk.stores.identity import tags_of
from parchunk.stores.source import Source
from parchunk.stores.throttle import Throttle

#: Rows of a page where rows cost no requests: enough to make the kernels' fixed costs small.
LOCAL_ROWS = 10_000

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class ObstorePages:
    """Pages of a source through its obstore store. Each is waited for ``quiet`` seconds at most.

    obstore does not tell its requests: they are counted by what they hold at most, ``page`` keys,
    and those that failed, where it was told not to try them again by itself (see `Asking`).
    """

    source: Source
    page: int
    quiet: float
    stop: threading.Event
    throttle: Throttle

    def pages(
        self, prefix: str, after: str | None, spent: Spent, enough: Enough = EACH
    ) -> Generator[Listed, None, None]:
        """Yield pages; see `parchunk.listing.pages.Pages`."""
        try:
            for batch in self._batches(prefix, after, spent):
                if batch.num_rows:
                    spent.keys += batch.num_rows
                    yield rows_of(pa.record_batch(batch), self.source.identity == "etag")
        except (GeneratorExit, ListingError):
            raise
        except FileNotFoundError:
            return  # a directory that is not there holds nothing
        except Exception as error:  # obstore's classes do not tell which ones pass
            raise PageError(explain(error, self.source.unsigned), is_final(error)) from None
        finally:
            if self.source.manner.remote:
                spent.lists = max(-(-spent.keys // self.page), 1) + spent.retries

    def _batches(self, prefix: str, after: str | None, spent: Spent) -> Iterator[Any]:
        if self.source.manner.remote:
            return Asking(self.source, self.quiet, self.stop, self.throttle).batches(
                prefix, after, spent
            )
        return open_stream(self.source.store, prefix, after, LOCAL_ROWS)


def rows_of(batch: pa.RecordBatch, tagged: bool) -> Listed:
    """Return a batch's rows; entity tags, half of its bytes, only where they are wanted."""
    modified = _as(batch.column("last_modified"), _TIME, safe=False)
    paths = _as(batch.column("path"), pa.string())
    return Listed(
        paths,
        _as(batch.column("size"), pa.uint64()).to_numpy(),
        modified.view(pa.int64()).to_numpy(),
        tags_of(_as(batch.column("e_tag"), pa.string()), paths) if tagged else None,
    )


def _as(column: pa.Array, kind: pa.DataType, safe: bool = True) -> pa.Array:
    """Return a column as of a type; to ask for a cast costs more than all else, page by page."""
    return column if column.type == kind else column.cast(kind, safe=safe)
