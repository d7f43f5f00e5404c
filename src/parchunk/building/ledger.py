"""What has been written of a task's partitions, and the receipts of those that are complete."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from parchunk.building.receipting import Costs, finish, receipt_of
from parchunk.building.task import Task
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import PartitionKey
from parchunk.writing.written import Written


class Ledger:
    """Counts in what is written of each partition; the last part of one brings its receipt.

    Parts come from all legs, in any order and from any thread.
    """

    def __init__(
        self, task: Task, costs: Costs, notify: Callable[[Receipt], None] | None = None
    ) -> None:
        """Expect every unit of every leg, and every run of rows that no store has."""
        self._task, self._costs, self._notify = task, costs, notify
        self._owned = {one.partition.key: one for one in task.owned}
        self._left = Counter(
            member.partitions[unit.partition].key
            for leg in task.legs
            for member in leg.job.members
            for walked in member.passes
            for unit in walked.units
        )
        for key, one in self._owned.items():
            self._left[key] += len(one.absent)
        self._written: dict[PartitionKey, Written] = {}
        self._unordered: set[PartitionKey] = set()
        self._lock = threading.Lock()
        self.receipts: list[Receipt] = []

    def take(self, key: PartitionKey, written: Written, ordered: bool = True) -> None:
        """Count in what was written of a partition; ``ordered`` says how it was listed.

        Raises
        ------
        OutputError
            When its receipt cannot be written, or does not add up.
        """
        with self._lock:
            together = self._written.setdefault(key, Written())
            together.add(written)
            if not ordered:
                self._unordered.add(key)
            self._left[key] -= 1
            if self._left[key]:
                return
            del self._left[key], self._written[key]
        owned, task = self._owned[key], self._task
        receipt = receipt_of(task, owned, together, key not in self._unordered, self._costs.since())
        finish(task, owned.partition, together, receipt)
        self.receipts.append(receipt)
        if self._notify:
            self._notify(receipt)
