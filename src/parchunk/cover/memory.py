"""How much memory listing and writing take, by what is held."""

from __future__ import annotations

import resource
import sys

from parchunk.cover.inlining import InlineBound, ReadingBound, most_needed
from parchunk.errors import InputError
from parchunk.planning.plan import Plan
from parchunk.planning.stretches import partition_count
from parchunk.stores.identity import HELD_BYTES
from parchunk.wording import bytes_text, counted

#: Bytes a chunk costs while its job is listed.
CHUNK_BYTES = 8

#: What a row costs that waits for others of its record file, in chunks' sizes.
FRAGMENT_CHUNKS = 4

#: Bytes a row of a record file costs while the file is written (paths twice, Parquet once).
ROW_BYTES = 320

#: How often what is kept of a row's object is held while its file is written, or read back: as
#: bytes, as Python's texts, as columns, as Parquet.
ROW_COPIES = 4

#: Bytes a row costs that is read back from its record file: while it is read, and as Parquet.
READ_ROW_BYTES = 96

#: Bytes that reading record files back takes besides: a row group of inlined chunks, decoded.
READ_BYTES = 10 << 20

#: Bytes a listing holds: pages that are read together, one batch of rows, its Arrow columns and the
#: kernels' temporaries; of so many. Batches of more than these are smaller
#: (`parchunk.listing.walker.batch_rows`).
LISTING_BYTES = 4 << 20
ROOMY_LISTINGS = 16
#: Bytes that each listing more holds: a page, as bytes and as rows, and its thread.
SLIM_LISTING_BYTES = 512 << 10

#: What is used however small the job: thread stacks, connections, the allocator's slack.
FIXED_BYTES = 40 << 20

#: Bytes that an array takes from its plan to the end of a build, and a partition with its receipt
#: (`python -m benchmarks.many_arrays`); the first so many of both are within `FIXED_BYTES`.
ARRAY_BYTES = 1_024
PARTITION_BYTES = 1_536
INCLUDED = 4_000
#: Of these, what each process that takes part holds of an array: the plan.
PLANNED_BYTES = 768

#: Batches of listed keys read at the same time.
TAKERS = 2

#: Record files written at the same time.
WRITERS = 2

#: Peak memory above the imports unless a user chooses: holds the sizes of about 47 M chunks.
DEFAULT_MEMORY = 512 << 20

DEFAULT_CONCURRENCY = 8


def chunk_bytes(identity: str = "none") -> int:
    """Return the bytes a chunk costs while its job is listed, with what is kept of its object."""
    return CHUNK_BYTES + HELD_BYTES[identity]


def kept_bytes(plan: Plan) -> int:
    """Return the bytes that a plan's arrays take, and its partitions, in the process that builds.

    They are held from beginning to end, however it is cut into jobs.
    """
    return len(plan.arrays) * ARRAY_BYTES + partition_count(plan) * PARTITION_BYTES


def kept_beyond(plan: Plan, processes: int = 1) -> int:
    """Return how many of them each of ``processes`` holds, beyond what all plans take.

    That is the average, as one of them holds the receipts of all.
    """
    arrays = max(len(plan.arrays) - INCLUDED, 0)
    partitions = max(partition_count(plan) - INCLUDED, 0)
    first = arrays * ARRAY_BYTES + partitions * PARTITION_BYTES
    return -(-(first + (processes - 1) * arrays * PLANNED_BYTES) // processes)


def file_rows(plan: Plan) -> int:
    """Return the rows of a plan's largest record file: no array has more than its chunks."""
    largest = max((array.spec.reference_total for array in plan.arrays), default=0)
    return min(plan.record_size, max(largest, 1))


def held_within(
    memory: int,
    rows: int,
    concurrency: int,
    inlining: int = 0,
    identity: str = "none",
    processes: int = 1,
    kept: int = 0,
) -> int:
    """Return how many chunks' sizes each of ``processes`` that share ``memory`` bytes may hold.

    ``rows`` are those of the largest record file (`file_rows`), ``concurrency`` the listings of one
    process; ``inlining`` is the memory that inlining may take in one record file, at most;
    ``identity`` is what is kept of each object, and held beside the sizes. ``kept`` bytes are each
    process's for arrays and partitions (`kept_beyond`).

    Raises
    ------
    InputError
        When the bound cannot be honoured, naming the least one that can.
    """
    rest, least = _needed_bytes(rows, concurrency, identity, kept)
    each = memory // processes
    if each < least:
        enough = f"give {-(-least // (1 << 20)) * processes}MiB or more"
        others = _less(each, rows, concurrency, identity, processes, kept)
        if 2 * kept > least:
            others = ["plan anew fewer arrays (--include, --exclude) or longer regions (--region)"]
        raise InputError(
            f"--memory of {bytes_text(memory)} is too little for record files of "
            f"{rows:,} rows and {counted(concurrency, 'listing')} side by side"
            f"{f' in each of {processes} processes' if processes > 1 else ''}"
            f"{_taken(kept * processes)}: {', or '.join([enough, *others])}"
        )
    return (each - rest - _inline_bytes(each, least, inlining)) // chunk_bytes(identity)


def memory_for(
    chunks: int,
    rows: int,
    concurrency: int,
    inlining: int = 0,
    identity: str = "none",
    processes: int = 1,
    kept: int = 0,
) -> int:
    """Return the bytes, in whole MiB, with which `held_within` allows so many ``chunks``.

    The other arguments are as there.
    """
    rest, least = _needed_bytes(rows, concurrency, identity, kept)
    wanted = rest + chunks * chunk_bytes(identity)
    # Inlining takes what it may in one record file, or half of what is beyond the least.
    each = max(min(wanted + WRITERS * inlining, max(2 * wanted - least, wanted)), least)
    return -(-each // (1 << 20)) * processes << 20


def _less(
    each: int, rows: int, concurrency: int, identity: str, processes: int, kept: int
) -> list[str]:
    """Return in words what else would do where ``each`` process has so many bytes."""

    def fits(rows: int, concurrency: int) -> bool:
        return _needed_bytes(rows, concurrency, identity, kept)[1] <= each

    found = []
    fewer = next((n for n in range(concurrency - 1, 0, -1) if fits(rows, n)), None)
    if fewer is not None:
        found.append(f"--concurrency {fewer * processes}")
    if processes > 1:
        # As many listings in fewer processes.
        listings, taken = concurrency * processes, kept * processes
        if _needed_bytes(rows, listings, identity, taken)[1] <= each * processes:
            found.append("fewer --workers")
    if fits(1, concurrency):
        found.append("plan anew with a smaller --record-size")
    return found


def inline_bound(
    memory: int,
    processes: int,
    rows: int,
    concurrency: int,
    inlining: int,
    identity: str = "none",
    kept: int = 0,
) -> InlineBound:
    """Return how much of ``memory``, shared by ``processes``, each may use to inline chunks.

    The other arguments are as for `held_within`.
    """
    _, least = _needed_bytes(rows, concurrency, identity, kept)
    return InlineBound(_inline_bytes(memory // processes, least, inlining), least, processes)


def rewriting_bounds(
    memory: int, rows: int, inlining: int, identity: str = "none", kept: int = 0
) -> tuple[InlineBound, ReadingBound]:
    """Return how much of ``memory`` one process may use to inline, and to read record files back.

    Nothing is listed meanwhile. The other arguments are as for `held_within`.

    Raises
    ------
    InputError
        When that is too little, naming the least that will do.
    """
    rest = FIXED_BYTES + kept + WRITERS * rows * row_bytes(identity)
    read = READ_ROW_BYTES + ROW_COPIES * HELD_BYTES[identity]
    least = rest + rows * read + READ_BYTES
    if memory < least:
        raise InputError(
            f"--memory of {bytes_text(memory)} is too little to read record files of "
            f"{rows:,} rows and write them anew{_taken(kept)}: "
            f"give {-(-least // (1 << 20))}MiB or more"
        )
    inline = InlineBound(_inline_bytes(memory, least, inlining), least)
    return inline, ReadingBound(memory - rest - inline.room, least)


def inlining_of(plan: Plan) -> int:
    """Return the memory that inlining can take in one record file of a plan, at most."""
    each = (
        (min(plan.record_size, spec.reference_total), plan.inline_threshold_of(spec.name))
        for spec in (array.spec for array in plan.arrays)
    )
    return max((most_needed(rows, threshold) for rows, threshold in each), default=0)


def _taken(kept: int) -> str:
    if not kept:
        return ""
    return f", as {-(-kept // (1 << 20))} MiB are taken by very many arrays or partitions"


def row_bytes(identity: str) -> int:
    """Return the bytes a row of a record file costs while that is written."""
    return ROW_BYTES + ROW_COPIES * HELD_BYTES[identity]


def _needed_bytes(rows: int, concurrency: int, identity: str, kept: int = 0) -> tuple[int, int]:
    """Return the bytes a process needs for all but chunks' sizes, and with the fewest of these."""
    rest = FIXED_BYTES + kept + WRITERS * rows * row_bytes(identity)
    rest += min(concurrency, ROOMY_LISTINGS) * LISTING_BYTES
    rest += max(concurrency - ROOMY_LISTINGS, 0) * SLIM_LISTING_BYTES
    return rest, rest + max(rows * chunk_bytes(identity), 4 << 20)


def _inline_bytes(memory: int, least: int, inlining: int) -> int:
    return min(WRITERS * inlining, (memory - least) // 2)


def peak_memory(children: bool = True) -> int:
    """Return the peak resident size of this process (and its largest child), in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + children]
    return sum(resource.getrusage(who).ru_maxrss for who in usage) * unit
