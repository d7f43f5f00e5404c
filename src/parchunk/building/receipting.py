"""Receipts of what jobs wrote, and what each partition cost."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

from parchunk.building.ready_jobs import Owned, ReadyJobs
from parchunk.listing.choosing import choose
from parchunk.listing.patience import Requests
from parchunk.listing.strays import encode_strays
from parchunk.out.counts import Counts
from parchunk.out.receipts import (
    Receipt,
    check_counts,
    strays_path,
    write_receipt,
    write_receipt_once,
)
from parchunk.planning.plan import Partition
from parchunk.writing.written import Written


@dataclass(frozen=True)
class Cost:
    """What the partitions between two receipts cost."""

    lists: int
    retries: int
    seconds: float


class Costs:
    """The costs of a ready, shared out among its receipts so that they add up, in any thread."""

    def __init__(self, counted: Requests) -> None:
        self._counted = counted
        self._lists = self._retries = 0
        self._since = time.monotonic()
        self._lock = threading.Lock()

    def since(self) -> Cost:
        """Return what was spent since it was asked last."""
        with self._lock:
            now, lists, retries = time.monotonic(), self._counted.lists, self._counted.retries
            spent = Cost(lists - self._lists, retries - self._retries, round(now - self._since, 3))
            self._lists, self._retries, self._since = lists, retries, now
            return spent


def receipt_of(
    ready: ReadyJobs, owned: Owned, written: Written, ordered: bool, cost: Cost
) -> Receipt:
    """Return the receipt of a partition, all of which is written."""
    partition, elements = owned.partition, owned.elements
    expected = partition.rows.total
    counts = written.counts + Counts(
        expected=expected,
        missing=expected - written.counts.present,
        strays=written.strays.count,
    )
    return Receipt(
        **counts.values(),
        requests=cost.lists,
        requests_least=owned.least,
        retries=cost.retries,
        seconds=cost.seconds,
        index_requests=written.index_requests,
        fingerprint=ready.fingerprint,
        array=partition.array,
        region=partition.region,
        dimension=ready.dimension if elements else None,
        start=elements[0] if elements else None,
        stop=elements[1] if elements else None,
        stray_reasons=written.reasons,
        last_modified=written.modified,
        verified=not ready.share.trust_listing
        and not ready.source.manner.frozen
        and (owned.known is None or owned.known.verified),
        ordered=ordered,
        record_files=tuple(sorted(written.files, key=lambda file: file.index)),
        inventory=None if ready.source.objects is None else ready.source.objects.date,
        listing=sys.intern(str(choose(ready.source))),  # the same of very many
    )


def finish(ready: ReadyJobs, partition: Partition, written: Written, receipt: Receipt) -> None:
    """Write the strays and the receipt of a partition: from here on it counts as done."""
    check_counts(receipt, partition)
    if written.strays.count:
        ready.output.put(strays_path(partition), encode_strays(partition.array, written.strays))
    write = write_receipt_once if ready.share.shared else write_receipt
    write(ready.output, partition, receipt)
