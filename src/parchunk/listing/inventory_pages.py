"""Pages of an inventory: rows that were sorted stand for what a store would list."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parchunk.inventories.sorted_objects import SortedObjects
from parchunk.listing.listed_rows import Listed
from parchunk.listing.pages import EACH, Enough, Spent
from parchunk.stores.identity import tags_of


@dataclass(frozen=True)
class InventoryPages:
    """Pages of sorted objects. They cost no requests, and none of them can break."""

    objects: SortedObjects
    stop: threading.Event

    def pages(
        self, prefix: str, after: str | None, spent: Spent, enough: Enough = EACH
    ) -> Generator[Listed, None, None]:
        """Yield pages; see `parchunk.listing.pages.Pages`."""
        for rows in self.objects.after(prefix, after):
            if self.stop.is_set():
                return
            spent.keys += len(rows)
            paths, times = _paths(rows), rows["modified"]
            tags = tags_of(rows["etag"], paths) if "etag" in rows.schema.names else None
            untimed = None
            if times.null_count:
                untimed = np.asarray(pc.is_null(times)).astype(bool)
                times = pc.fill_null(times, self._taken)
            yield Listed(paths, rows["size"].to_numpy(), times.to_numpy(), tags, untimed)

    @property
    def _taken(self) -> int:
        """When what it has was there, in microseconds: no object is younger."""
        return round(self.objects.taken.timestamp() * 1_000_000)


def _paths(rows: pa.RecordBatch) -> pa.StringArray:
    """Return the keys as obstore spells them: a marker of a directory without its slash."""
    paths = rows["path"]
    markers = pc.ends_with(paths, "/")
    return pc.utf8_rtrim(paths, "/") if pc.any(markers).as_py() else paths
