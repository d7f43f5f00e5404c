"""How the chunks of one partition as they are listed now differ from its record files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parchunk.auditing.held_rows import read_held
from parchunk.auditing.identities import differ, known, none_kept, read_kept
from parchunk.auditing.receipt_check import Audited
from parchunk.auditing.record_check import RecordJob
from parchunk.auditing.source_contents import ContentReader, Contradicted
from parchunk.auditing.watching import WatchedPart
from parchunk.cover.jobs import Expansion, Member
from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Target
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.chunk_keys import object_key
from parchunk.metadata.shard_grid import shard_numbers
from parchunk.metadata.spec import ArraySpec
from parchunk.out.output import Output

_NONE: Int64Array = np.empty(0, np.int64)


@dataclass(frozen=True)
class RegionChanges:
    """What changed in one partition, as chunk numbers that rise, shape (n,) each.

    A chunk of zero bytes now is gone. ``resized`` and ``rewritten`` (same size, modified later, or
    of another identity where one is kept) are both changed. Of an expanded array the numbers are
    of shards, and ``overrun`` are those that end before a reference into them though they were not
    modified: damage, not a change. So are those of ``contradicted``.
    """

    spec: ArraySpec = field(repr=False)
    array: str
    region: int | None
    new: Int64Array
    gone: Int64Array
    resized: Int64Array
    rewritten: Int64Array
    overrun: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    contradicted: Contradicted = field(default_factory=Contradicted)
    #: What was kept of each object, by which it is known what was rewritten.
    identity: str = "none"

    @property
    def changed(self) -> Int64Array:
        """Chunk numbers of resized and rewritten chunks."""
        return np.union1d(self.resized, self.rewritten)

    def keys(self, numbers: Int64Array) -> list[str]:
        """Return chunk keys of the source."""
        return [object_key(self.spec, number) for number in numbers.tolist()]


@dataclass
class Differences:
    """The differences found in one partition so far.

    They are of rows of one store, which are written where ``target`` says. Parts may be taken by
    several threads at the same time.
    """

    item: Audited
    spec: ArraySpec
    target: Target
    record_size: int
    contents: ContentReader
    identity: str
    _untimed: list[int] = field(default_factory=list, init=False)
    _contradicted: list[Contradicted] = field(default_factory=list, init=False)
    _jobs: dict[int, RecordJob] = field(default_factory=dict, init=False)
    _new: list[Int64Array] = field(default_factory=list, init=False)
    _gone: list[Int64Array] = field(default_factory=list, init=False)
    _resized: list[Int64Array] = field(default_factory=list, init=False)
    _rewritten: list[Int64Array] = field(default_factory=list, init=False)
    _overrun: list[Int64Array] = field(default_factory=list, init=False)

    def take(self, output: Output, part: WatchedPart) -> None:
        """Compare a part (a partition, or some of its rows) with its record files."""
        size = self.record_size
        if not self._jobs:
            self._jobs = {job.index: job for job in self.item.jobs(size)}
        for begin in range(0, len(part.vector), size):
            vector = part.vector[begin : begin + size]
            numbers = part.rows.numbers(begin, begin + len(vector))
            index, first = divmod(int(self.target.numbers(numbers[:1])[0]), size)
            job = self._jobs[index]
            references = read_held(output, self.item.partition.array, job, with_bytes=True)
            if references is None:
                continue  # damage, which is reported as that
            # Other stores may have the rest of it.
            references = references.part(first, first + len(vector))
            kept = read_kept(output, self.item.partition.array, job.promised, self.identity)
            held = references.sizes
            there, now = vector.present, vector.sizes
            both = there & (held > 0)
            same = both & (now == held)
            since = _among(numbers, part.times.later)
            untimed = _among(numbers, part.times.untimed)
            if kept is not None and part.identities is not None:
                kept = kept[first : first + len(vector)]
                versions = part.identities[begin : begin + len(vector)].raw
                since = np.where(known(kept), differ(kept, versions), since)
                untimed &= ~known(kept)
            if not same.all():
                self._new.append(numbers[there & (held == 0)])
                self._gone.append(numbers[~there & (held > 0)])
                self._resized.append(numbers[both & ~same])
            if since.any():
                self._rewritten.append(numbers[same & since])
            altered = self.contents.check_chunks(self.spec, numbers, references, same & ~since)
            if untimed.any():
                # What has other bytes and no time was written anew: its reference is no damage.
                anew = np.intersect1d(altered, numbers[untimed])
                altered = np.setdiff1d(altered, anew)
                self._rewritten.append(anew)
                self._untimed.append(int(np.count_nonzero(same & untimed)) - len(anew))
            if len(altered):
                self._contradicted.append(Contradicted(bytes=altered))

    @property
    def untimed(self) -> int:
        """Of how many objects nothing says whether they were modified since.

        They are the same as far as sizes go, and what was read of them again.
        """
        return sum(self._untimed)

    def made(self) -> RegionChanges | None:
        """Return the differences, or None when there are none."""
        found = (self._new, self._gone, self._resized, self._rewritten, self._overrun)
        if not any(len(part) for parts in found for part in parts) and not any(self._contradicted):
            return None  # as of nearly all, of which there may be a hundred thousand
        new, gone, resized, rewritten, overrun = (
            np.sort(np.concatenate([_NONE, *parts])) for parts in found
        )
        partition = self.item.partition
        return RegionChanges(
            self.spec,
            partition.array,
            partition.region,
            new,
            gone,
            resized,
            rewritten,
            overrun,
            Contradicted.joined(self._contradicted),
            self.identity,
        )


@dataclass
class ShardDifferences(Differences):
    """The differences found in one partition of an expanded array, by shard: of all its ``rows``.

    ``expansion`` says how much of shards is read at once.
    """

    rows: RowSet
    expansion: Expansion

    def take(self, output: Output, part: WatchedPart) -> None:
        """Compare the shards of a partition with all its record files."""
        objects = part.rows
        # Where the last reference into each shard ends; 0 is for shards without any.
        ends = np.zeros(objects.total, np.int64)
        lost = np.zeros(objects.total, bool)
        kept_of = None
        if part.identities is not None:
            kept_of = none_kept(part.identities.raw.dtype, objects.total)
        for job in self.item.jobs(self.record_size):
            numbers = np.arange(job.first, job.first + job.rows, dtype=np.int64)
            own = self.target.own(numbers)
            at = objects.positions(shard_numbers(self.spec, own))
            references = read_held(output, self.item.partition.array, job)
            if references is None:
                lost[at] = True  # damage, which is reported as that
                continue
            there = references.sizes > 0
            # An inlined chunk has no place in its shard, but shows that there was one.
            np.maximum.at(ends, at[there], np.where(references.inlined, 1, references.ends)[there])
            kept = read_kept(output, self.item.partition.array, job.promised, self.identity)
            if kept is not None and kept_of is not None:
                kept_of[at[there]] = kept[there]
        there, now = part.vector.present, part.vector.sizes
        held = ends > 0
        numbers = objects.numbers(0, objects.total)
        since = _among(numbers, part.times.later)
        untimed = _among(numbers, part.times.untimed)
        if kept_of is not None and part.identities is not None:
            since = np.where(known(kept_of), differ(kept_of, part.identities.raw), since)
            untimed &= ~known(kept_of)
        new = there & ~held & ~lost
        receipt = self.item.receipt
        if lost.any() or receipt is None or receipt.shards_present > np.count_nonzero(held):
            # Shards may be there without any inner chunk: only those modified since are new.
            new &= since
        short = there & held & (ends > now)
        unchanged = there & ~new & ~since & ~short
        found = self.contents.check_shards(
            self.item, self.spec, self.rows, self.target, output, part, unchanged, self.expansion
        )
        # What the indexes of those without a time say otherwise was written anew, and no damage.
        anew = np.isin(numbers, np.union1d(found.index, found.bytes)) & untimed
        self._new += [numbers[new], numbers[anew & ~held]]
        self._gone.append(numbers[~there & held])
        self._resized.append(numbers[short & (since | untimed)])
        self._rewritten += [numbers[there & held & since & ~short], numbers[anew & held]]
        self._overrun.append(numbers[short & ~(since | untimed)])
        self._untimed.append(int(np.count_nonzero(unchanged & untimed & ~anew)))
        self._contradicted.append(found.without(numbers[anew]))


def _among(numbers: Int64Array, some: Int64Array) -> NDArray[np.bool_]:
    """Return which chunk numbers are among ``some``; both are unique."""
    if not len(some):
        return np.zeros(len(numbers), bool)
    return np.isin(numbers, some, assume_unique=True)


def differences_of(
    items: Sequence[Audited],
    member: Member,
    target: Target,
    record_size: int,
    contents: ContentReader,
    identity: str,
) -> list[Differences]:
    """Return what finds the differences of each partition of a member, which ``items`` are."""
    spec, expansion = member.spec, member.expansion
    if expansion is None:
        return [Differences(item, spec, target, record_size, contents, identity) for item in items]
    return [
        ShardDifferences(
            item, spec, target, record_size, contents, identity, partition.rows, expansion
        )
        for item, partition in zip(items, member.partitions, strict=True)
    ]
