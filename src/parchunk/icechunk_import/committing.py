"""Writing one commit: references and inlined chunks set, those of an earlier import deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import OutputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.appending import Appending
from parchunk.icechunk_import.branches import AGAIN, Branch
from parchunk.icechunk_import.calls import Calls, Lot, Reading, calls_of
from parchunk.icechunk_import.forks import Forked, Setter
from parchunk.icechunk_import.history import History
from parchunk.icechunk_import.limits import Limits
from parchunk.icechunk_import.locations import chunk_key
from parchunk.icechunk_import.nodes import Nodes, write_nodes
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.icechunk_import.results import Commit
from parchunk.keys.numbers import ravel
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.spec import ArraySpec
from parchunk.metadata.to_v3 import V3Documents
from parchunk.planning.plan import Plan
from parchunk.reading.rows import Receipts


class Committer:
    """Writes commits to a branch; ``history`` is what that had when the import began.

    What is imported ``anew`` may lie where others have put or deleted chunks.
    """

    def __init__(
        self,
        branch: Branch,
        history: History,
        plan: Plan,
        receipts: Receipts,
        documents: V3Documents,
        reading: Reading,
        limits: Limits,
        appending: Appending | None = None,
        anew: bool = False,
    ) -> None:
        self._branch = branch
        self._history = history
        self._plan = plan
        self._receipts = receipts
        self._documents = documents
        self._appending = appending
        self._anew = anew
        self.url = branch.url
        self.reading = reading
        self.setter = Setter(branch, limits.merged_at)

    def lots(self, work: PlannedCommit) -> list[Lot]:
        """Return what is to be set for a commit."""
        return [
            Lot(
                partition,
                self._plan.by_name[partition.array].spec,
                self._receipts[partition.key],
                tuple(self.shift(partition.array)),
            )
            for partition in work.partitions
        ]

    def replaces(self, work: PlannedCommit) -> bool:
        """Whether chunks of an earlier import, or of others, may lie where a region's do."""
        may_hold = self._anew or self._history.may_hold(work.entry)
        return work.entry.kind == "region" and may_hold

    def commit(self, work: PlannedCommit, done: Iterator[Calls] | Forked) -> Commit | None:
        """Commit one item of work, whose calls are next or set; None if nothing was to change."""
        began = time.monotonic()
        branch = self._branch
        session = branch.session()
        with adapter.reported(f"import {work.name} into {branch.url}", AGAIN):
            replacing: frozenset[str] = frozenset()
            base = None
            if work.entry.kind == "hierarchy":
                base = branch.at(session.snapshot_id)
                nodes = self._nodes(work, session, base).after_loss(self._history.lost)
                replacing = nodes.replaced
                entry = replace(work.entry, reach=nodes.reach, kept=nodes.kept)
                work = replace(work, entry=entry)
            elif self.replaces(work):
                base = branch.at(session.snapshot_id)
                replacing = frozenset(partition.array for partition in work.partitions)
            self.setter.begin(session, work.entry.kind == "region")
            deleted = 0
            for lot, present in self._set_all(session.store, work, done, replacing):
                if present is not None:
                    rows = lot.partition.rows
                    deleted += _delete_others(session, base, lot.spec, rows, present, lot.shift)
            self.setter.merge()
            if not session.has_uncommitted_changes:
                return None
            snapshot = self._commit(session, work)
        if snapshot is None:
            return None
        entry = work.entry
        return Commit(
            entry.region,
            snapshot,
            entry.references,
            entry.inlined,
            entry.missing,
            deleted,
            time.monotonic() - began,
        )

    def shift(self, array: str) -> Sequence[int]:
        """Return by how many chunks along each axis those of an array are moved."""
        if self._appending is not None:
            return self._appending.shift(array)
        return (0,) * self._plan.by_name[array].spec.rank

    def _nodes(self, work: PlannedCommit, session: Any, base: Any) -> Nodes:
        if self._appending is not None:
            return self._appending.extend(session)
        ours, imported = self._history.begun, self._branch.has_imported
        others: Set[str] = frozenset()
        if ours and not self._history.is_of(work.entry.arrays):
            others = self._branch.made_by_others(self._plan.by_name.keys())
        return write_nodes(
            session, base, self._branch.url, self._plan, self._documents, ours, imported, others
        )

    def _commit(self, session: Any, work: PlannedCommit) -> str | None:
        """Commit, over commits of others where they touch nothing of ours."""
        entry = work.entry
        inlined = f", {entry.inlined:,} inlined" if entry.inlined else ""
        message = (
            f"{work.name}: {entry.references:,} references{inlined}, {entry.missing:,} missing, "
            f"from {entry.source}"
        )
        message = message[:1].upper() + message[1:]
        try:
            try:
                snapshot = str(session.commit(message, metadata=entry.to_metadata()))
                self.setter.committed(snapshot)
            except adapter.load().ConflictError:
                self.setter.committed(None)
                over = adapter.load().ConflictDetector()
                snapshot = str(
                    session.commit(message, metadata=entry.to_metadata(), rebase_with=over)
                )
            return snapshot
        except adapter.conflicts() as error:
            origin = None if self._appending is None else self._appending.append.origin
            was_in = self._history.has(entry)  # and is imported anew
            if not was_in and self._branch.history(origin).has(entry):
                return None  # another import of the same references was faster
            raise OutputError(
                f"cannot commit {work.name} to branch {self._branch.name} of {self._branch.url}: "
                "another writer changed the same arrays meanwhile "
                f"({adapter.one_line(error)}); {AGAIN}"
            ) from None

    def _set_all(
        self,
        store: Any,
        work: PlannedCommit,
        done: Iterator[Calls] | Forked,
        replacing: Collection[str],
    ) -> Iterator[tuple[Lot, NDArray[np.bool_] | None]]:
        """Set all of a commit; yield which chunks are there of arrays that are ``replacing``."""
        lots = self.lots(work)
        if isinstance(done, Forked):
            if self.setter.take(done):
                for lot, bits in zip(lots, done.present, strict=True):
                    count = lot.partition.rows.total
                    yield lot, None if bits is None else np.unpackbits(bits, count=count).view(bool)
                return
            done = self.reading.calls(lots)  # others have been at the branch
        for lot in lots:
            asked = lot.partition.array in replacing
            present = set_lot(lot, done, self.setter.set, store, asked, self._branch.url)
            yield lot, present


def set_lot(
    lot: Lot,
    calls: Iterator[Calls],
    set_virtual: Callable[[Calls], int],
    store: Any,
    asked: bool,
    url: str,
) -> NDArray[np.bool_] | None:
    """Set a partition's chunks; return, if that is ``asked``, which there are.

    Raises
    ------
    OutputError, InputError
        When the repository at ``url`` did not take them, or they are not those of the receipt.
    """
    present = np.zeros(lot.partition.rows.total if asked else 0, bool)
    begin = written = 0
    for run in calls_of(lot.partition, calls):
        refused = set_virtual(run)
        if refused:
            raise OutputError(
                f"{url} did not take {refused:,} references of {lot.partition.array}: no virtual "
                "chunk container matches them; nothing of this commit was made"
            )
        if run.inlined:
            adapter.put(store, run.inlined)
        written += int(np.count_nonzero(run.present))
        if asked:
            present[begin : begin + len(run.present)] = run.present
        begin += len(run.present)
    lot.check(written)
    return present if asked else None


def _delete_others(
    session: Any,
    base: Any,
    spec: ArraySpec,
    rows: RowSet,
    present: NDArray[np.bool_],
    shift: Sequence[int],
) -> int:
    """Delete the chunks that the branch has among ``rows``, moved, and that are not ``present``."""
    deleted = 0
    grid = np.array(spec.reference_grid, np.int64)
    for held in adapter.held_chunks(base, f"/{spec.name}", spec.rank):
        own = held.indices - np.array(shift, np.int64)
        inside = own[((own >= 0) & (own < grid)).all(axis=1)]
        positions = rows.positions(ravel(inside, spec.reference_grid))
        among = positions >= 0
        stale = inside[among][~present[positions[among]]] + np.array(shift, np.int64)
        adapter.delete(session.store, [chunk_key(spec.name, at) for at in stale.tolist()])
        deleted += len(stale)
    return deleted
