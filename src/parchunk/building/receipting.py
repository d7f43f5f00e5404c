"""Receipts of what jobs wrote, and what each partition cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from parchunk.building.ready_jobs import Owned, ReadyJobs
from parchunk.listing.patience import Requests
from parchunk.listing.strays import encode_strays
from parchunk.out.output import Output
from parchunk.out.receipt_blocks import Together, put_block
from parchunk.out.receipt_files import write_receipt
from parchunk.out.receipts import Receipt, check_counts, strays_path
from parchunk.out.receipts_at_once import write_block_once, write_receipt_once
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
    counted = written.counts.values()
    counted["expected"] += expected
    counted["missing"] += expected - written.counts.present
    counted["strays"] += written.strays.count
    return Receipt(
        **counted,
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
        listing=ready.lister,
    )


def together(
    output: Output,
    shared: bool,
    done: Callable[[Receipt], None],
    check: Callable[[], None] | None = None,
) -> Together:
    """Return what writes the receipts of small arrays in blocks; ``done`` is told which are there.

    ``shared``: others may do the same at the same time. ``check`` raises when OUT is somebody
    else's by now: what was kept meanwhile may not be so any more, and is not written.
    """
    write = write_block_once if shared else put_block

    def put(held: list[tuple[int, Receipt]]) -> None:
        if check is not None:
            check()
        write(output, held)
        for _, receipt in held:
            done(receipt)

    return Together(put)


class Receipting:
    """Writes the receipts of a ready's partitions, and says which are written, in any thread.

    Those of many small arrays are kept until they are written together: in the ``blocks`` that
    jobs share, which say so themselves, or in its own.
    """

    def __init__(
        self, ready: ReadyJobs, done: Callable[[Receipt], None], blocks: Together | None
    ) -> None:
        self._ready, self._done = ready, done
        self._own = blocks is None
        self._blocks = blocks or together(ready.output, ready.share.shared, done)

    def finish(self, owned: Owned, written: Written, receipt: Receipt) -> None:
        """Write the strays and, now or soon, the receipt of a partition: then it counts as done."""
        partition, output = owned.partition, self._ready.output
        check_counts(receipt, partition)
        if written.strays.count:
            output.put(strays_path(partition), encode_strays(partition.array, written.strays))
        if owned.place is not None:
            self._blocks.add(owned.place, receipt)
            return
        write = write_receipt_once if self._ready.share.shared else write_receipt
        write(output, partition, receipt)
        self._done(receipt)

    def end(self) -> None:
        """Write what is kept, unless it is in blocks of others, who do that: also if jobs fail."""
        if self._own:
            self._blocks.flush()
