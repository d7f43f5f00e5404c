"""How much memory an import takes, computed beforehand, and what is read ahead within a bound.

Icechunk holds all references of a commit until that is made, and writes a manifest from copies of
them. So a commit's references decide, and not the store's. The numbers of bytes here were measured
with `benchmarks.icechunk`, which prints what imports really take beside what was computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import accumulate
from urllib.parse import quote

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.limits import USUAL, Limits
from parchunk.icechunk_import.locations import Container
from parchunk.icechunk_import.manifests import written_again
from parchunk.icechunk_import.planned_commits import PlannedCommit
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.choice import RECORD_ROWS
from parchunk.planning.plan import Plan
from parchunk.reading.rows import Receipts
from parchunk.stores.identity import HELD_BYTES

#: Bytes for what does not grow with references: threads, connections, compressors, allocators.
FIXED = 48 << 20
#: Bytes by which each commit of an import adds to that.
EACH_COMMIT = 100_000
#: The share of the bound for what is read ahead.
AHEAD = 8
#: Runs of references at the same time: one in use, one made, and what the next one is made from.
RUNS = 3
FEWEST_ROWS = 1_000
#: Arrays whose manifests a commit writes side by side, at most: each is a request that is waited
#: for. Those besides the largest array take a share of the bound as what is read ahead does.
TOGETHER = 16


@dataclass(frozen=True)
class Held:
    """Bytes that icechunk holds for a reference: ``fixed + by_rank * rank + by_byte * length``."""

    fixed: float
    by_rank: float
    by_byte: float

    def of(self, rank: int, length: int) -> float:
        """Return the bytes of a reference whose location has ``length`` bytes."""
        return self.fixed + self.by_rank * rank + self.by_byte * length


#: Held from setting until the commit, for every array; by whether icechunk takes arrays (2.x).
SET = {True: Held(300, 8, 1.0), False: Held(260, 10, 1.25)}
#: Held besides while the manifest of one array is written.
WRITTEN = {True: Held(520, 32, 1.4), False: Held(130, 30, 2.5)}
#: A fork's bytes when it is pickled.
PICKLED = Held(20, 4, 1.0)
#: Python's objects for a reference that is handed over.
OBJECTS = {True: 75, False: 775}
#: Icechunk keeps longer chunks elsewhere, and does not hold them.
LONGEST_INLINED = 512


@dataclass(frozen=True)
class Budget:
    """What an import within ``memory`` bytes does, and what its commits need.

    Runs of references have ``rows`` chunks, of ``row`` bytes each while they are made. A commit
    needs what is ``constant``, what is read ahead and, by region (None is the hierarchy), what is
    ``held`` for its references.
    """

    memory: int
    rows: int
    row: int
    constant: int
    held: dict[int | None, int]
    #: What of it a fork holds that a worker sets, and that takes when it is pickled.
    forked: dict[int | None, tuple[int, int]]
    limits: Limits
    #: Of how many arrays manifests are written at a time, and what those besides one take.
    together: int = 1
    beside: int = 0

    def needed(self, region: int | None) -> int:
        """Return the bytes that a commit needs."""
        return self.constant + RUNS * self.rows * self.row + self.held[region]

    def at_once(self, regions: Sequence[int | None], processes: bool) -> int:
        """Return for how many regions workers can be at work while one is committed.

        Where they are ``processes`` of this machine, what they hold counts as well.
        """
        found = [self.memory]
        for region in regions:
            fork, pickled = self.forked[region]
            # Merged it is there twice, and those that are done wait.
            free = self.memory - self.needed(region) - self.beside - fork - pickled
            own = self.constant + RUNS * self.rows * self.row + fork + pickled
            found.append(free // max(pickled + (own + pickled if processes else 0), 1))
        return max(min(found), 0)

    def share(self, region: int | None) -> float:
        """Return the part of a commit's references that would fit: 1 or more when all do."""
        free = self.memory - self.needed(region) + self.held[region]
        return free / max(self.held[region], 1)

    def enough(self, region: int | None) -> int:
        """Return a bound that would do for a commit, in whole MiB."""
        rest = self.constant + self.held[region]
        least, most = (RUNS * rows * self.row for rows in (FEWEST_ROWS, self.limits.rows))
        # with the bound grows what is read ahead
        wanted = rest + min(max(rest // (AHEAD - 1), least), most)
        return -(-wanted >> 20) + 1


def budget(
    plan: Plan,
    receipts: Receipts,
    container: Container,
    work: Sequence[PlannedCommit],
    memory: int,
    limits: Limits = USUAL,
) -> Budget:
    """Return how to import ``work`` within ``memory`` bytes; it may need more nevertheless."""
    arrays = adapter.takes_arrays()
    # A chunk's own pin is held as its location is, and handed over in an object of its own.
    pin = HELD_BYTES[plan.identity]
    lengths = {a.spec.name: location_length(container, a.spec) + pin for a in plan.arrays}
    longest = max(lengths.values(), default=0)
    inlined, inlined_of_array = _inlined(plan, receipts)
    # Arrow's column and its copy, Python's string, offset and size
    row = 3 * longest + OBJECTS[arrays and not pin] + 2 * inlined
    rows = min(max(memory // AHEAD // (RUNS * row), FEWEST_ROWS), limits.rows)
    # A column with nulls has a dictionary of all its values, which is decoded whole.
    # For another region length the planner may choose files of as many rows as it ever does.
    most = max(plan.record_size, RECORD_ROWS)
    file = most * (longest + 16) + min(most * inlined, inlined_of_array)
    # What is inlined for being a coordinate's is in few rows, all of which are held.
    coordinates = [
        receipt.bytes
        for receipt in receipts.values()
        if receipt.inlined
        and receipt.array in plan.by_name
        and plan.coordinate_threshold_of(receipt.array)
    ]
    constant = FIXED + EACH_COMMIT * len(work) + file + 3 * max(coordinates, default=0)
    by_region: dict[int | None, int] = {}
    forked: dict[int | None, tuple[int, int]] = {}
    largest: list[list[float]] = []
    for item in work:
        held = pickled = 0.0
        written: list[float] = []
        references = 0
        for partition in item.partitions:
            receipt = receipts[partition.key]
            rank, length = plan.by_name[partition.array].spec.rank, lengths[partition.array]
            count = receipt.present
            references += count
            threshold = plan.inline_threshold_of(partition.array)
            native = receipt.inlined * min(threshold, LONGEST_INLINED)
            # a byte a chunk tells which are there, in case that others must be deleted
            held += count * SET[arrays].of(rank, length) + native + partition.rows.total
            pickled += count * PICKLED.of(rank, length) + native
            if item.entry.kind == "region":
                count += written_again(plan, partition.array)
            written.append(count * WRITTEN[arrays].of(rank, length) + native)
        forked[item.entry.region] = int(held), int(pickled)
        if not arrays:
            # in a fork and, copied, in the session
            held += min(references, limits.merged_at) * SET[arrays].of(rank=4, length=longest)
        by_region[item.entry.region] = int(held + max(written, default=0.0))
        largest.append(nlargest(TOGETHER, written))
    found = Budget(memory, rows, row, constant, by_region, forked, limits)
    return write_together(found, largest) if adapter.writes_together() else found


def _inlined(plan: Plan, receipts: Receipts) -> tuple[int, int]:
    """Return bytes of the longest chunk that is inlined, and of all those of one array, at most.

    Of chunks that are inlined for being small; no threshold makes them more than there are.
    """
    longest, threshold = 0, plan.inline_threshold
    of_array: dict[str, int] = {}
    for receipt in receipts.values():
        if receipt.inlined:
            longest = max(longest, min(threshold, receipt.bytes))
            total = of_array.get(receipt.array, 0)
            of_array[receipt.array] = total + min(receipt.inlined * threshold, receipt.bytes)
    return longest, max(of_array.values(), default=0)


def write_together(found: Budget, largest: Iterable[Sequence[float]]) -> Budget:
    """Return a budget in which as many manifests are written at a time as there is room for.

    ``largest`` are the bytes of each commit's largest ones, the largest first.
    """
    beside = [0.0] * TOGETHER
    for each in largest:
        for place, total in enumerate(accumulate(each[1:]), 1):
            beside[place] = max(beside[place], total)
    free = found.memory - max(map(found.needed, found.held), default=0)
    free = min(free, found.memory // AHEAD)
    beside = list(accumulate(beside, max))  # a commit of few arrays has no more to write
    most = max((n for n, total in enumerate(beside, 1) if total <= free), default=1)
    return replace(found, together=most, beside=int(beside[most - 1]))


def location_length(container: Container, spec: ArraySpec) -> int:
    """Return the most bytes of a location of one array's chunks."""
    indices = sum(len(str(max(size - 1, 0))) + 1 for size in spec.reference_grid)
    return container.longest + len(quote(spec.name)) + len("/c") + indices
