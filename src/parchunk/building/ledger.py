"""What has been written of partitions, and the receipts of those that are complete."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from parchunk.building.ready_jobs import ReadyJobs
from parchunk.building.receipting import Costs, Receipting, receipt_of
from parchunk.out.receipt_blocks import Together
from parchunk.out.receipts import Receipt
from parchunk.out.receipts_at_once import Others
from parchunk.planning.plan import PartitionKey
from parchunk.writing.written import Written


class Ledger:
    """Counts in what is written of each partition; the last part of one brings its receipt.

    Parts come from all legs, in any order and from any thread.
    """

    def __init__(
        self,
        ready: ReadyJobs,
        costs: Costs,
        notify: Callable[[Receipt], None] | None = None,
        blocks: Together | None = None,
    ) -> None:
        """Expect every unit of every leg, and every run of rows that no store has."""
        self._ready, self._costs = ready, costs
        self._owned = {one.partition.key: one for one in ready.owned}
        self._left = Counter(
            member.partitions[unit.partition].key
            for leg in ready.legs
            for member in leg.job.members
            for walked in member.passes
            for unit in walked.units
        )
        for key, one in self._owned.items():
            self._left[key] += len(one.absent) + (one.known is not None)
        self._written: dict[PartitionKey, Written] = {}
        self._unordered: set[PartitionKey] = set()
        #: Whether somebody else has done a partition since this began, where that can be.
        self._others: dict[PartitionKey, bool] = {}
        places = {one.partition.array: one.place for one in ready.owned if one.place is not None}
        self._look = Others(ready.output, ready.fingerprint, places)
        self._lock = threading.Lock()
        #: Those that ``notify`` was not told of.
        self.receipts = list[Receipt]()
        # No method: two that hold each other stay with all that they know of very many arrays.
        self._receipting = Receipting(ready, notify or self.receipts.append, blocks)

    def is_others(self, key: PartitionKey) -> bool:
        """Whether somebody else has done a partition meanwhile: then nothing of it is written.

        It is asked once for a partition, before anything of it is written.
        """
        if not self._ready.share.shared:
            return False
        with self._lock:
            if key not in self._others:
                self._others[key] = self._look.have(self._owned[key].partition)
            return self._others[key]

    def take(self, key: PartitionKey, written: Written, ordered: bool = True) -> None:
        """Count in what was written of a partition; ``ordered`` says how it was listed.

        Raises
        ------
        OutputError
            When its receipt cannot be written, or does not add up.
        """
        with self._lock:
            together = self._written.setdefault(key, written)
            if together is not written:
                together.add(written)
            if not ordered:
                self._unordered.add(key)
            self._left[key] -= 1
            if self._left[key]:
                return
            del self._left[key], self._written[key]
            if self._others.pop(key, False):
                return
        owned, ready = self._owned[key], self._ready
        receipt = receipt_of(
            ready, owned, together, key not in self._unordered, self._costs.since()
        )
        self._receipting.finish(owned, together, receipt)

    def end(self) -> None:
        """Write the receipts that are kept to be written together, where nobody else does.

        Raises
        ------
        OutputError
            When they cannot be written.
        """
        self._receipting.end()
