"""Receipts where several may do the same partitions at once: tasks, and parts of a build."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping

from parchunk.errors import OutputError
from parchunk.out.output import Output
from parchunk.out.receipt_blocks import block_paths, blocks_in, put_block
from parchunk.out.receipt_files import take_back
from parchunk.out.receipts import Receipt, counted, parsed_document, receipt_path
from parchunk.planning.plan import Partition, PartitionKey

#: Tries to write a receipt that others write at the same time.
_TRIES = 5
#: Seconds between two looks for what others have done.
_LOOK = 1.0


def write_receipt_once(output: Output, partition: Partition, receipt: Receipt) -> None:
    """Write a receipt where others may do the same partition at the same time.

    The first one stays. What two have written is the same unless the source changed between their
    listings; then neither holds, as record files may be of both, and the partition is due again.

    Raises
    ------
    OutputError
        When another one's receipt speaks of other record files; it is deleted.
    """
    path, data = receipt_path(partition.key), json.dumps(receipt.to_json()).encode()
    for _ in range(_TRIES):
        seen = output.get_version(path)
        other = None
        if seen is not None:
            other = counted(parsed_document(seen[0]), receipt.fingerprint, receipt.key)
        if other is None:
            # None there, or none that counts; of a store that lost an answer, perhaps this one.
            if output.put_if(path, data, None if seen is None else seen[1]) is not None:
                return
            continue
        if other.record_files == receipt.record_files:
            return
        output.delete(path)
        raise _not_alike(str(partition), other, receipt)
    raise OutputError(f"{output.describe(path)} is written by several at once: run again to resume")


def write_block_once(output: Output, held: list[tuple[int, Receipt]]) -> None:
    """Write a block where others may do the same partitions at the same time.

    What they have written is the same unless the source changed between their listings; else no
    receipt of theirs holds.

    Raises
    ------
    OutputError
        When another block speaks of other record files; what both say of them is deleted.
    """
    mine = {receipt.key: receipt for _, receipt in held}
    put_block(output, held)
    # Each looks after it has written: of two, one at least sees the other's.
    paths = block_paths(output, held[0][1].fingerprint, {place for place, _ in held})
    unlike: dict[PartitionKey, Receipt] = {}
    for _, line in blocks_in(output, paths):
        receipt = None if line.key is None else mine.get(line.key)
        if receipt is None:
            continue
        other = counted(line.document, receipt.fingerprint, receipt.key)
        if other is not None and other.record_files != receipt.record_files:
            unlike[receipt.key] = other
    if unlike:
        take_back(output, unlike, paths)
        key, other = next(iter(unlike.items()))
        name = key[0] if key[1] is None else f"{key[0]}, region {key[1]}"
        more = f", and {len(unlike) - 1:,} more," if len(unlike) > 1 else ""
        raise _not_alike(f"{name}{more}", other, mine[key])


def _not_alike(what: str, other: Receipt, receipt: Receipt) -> OutputError:
    return OutputError(
        f"{what} was done twice at once, and not alike ({_unlike(other, receipt)}): the "
        "source changes while it is listed; its receipt is deleted, so run the same again to "
        "list it anew"
    )


def _unlike(one: Receipt, other: Receipt) -> str:
    """Return in what the record files of two receipts of one partition differ."""
    by_index = {file.index: file for file in other.record_files}
    for file in one.record_files:
        here = by_index.get(file.index)
        if here != file:
            return (
                f"refs.{file.index}.parq has digest {file.digest} with {file.present} present "
                f"there, {here.digest if here else 'none'} with {here.present if here else 0} here"
            )
    return f"{len(one.record_files)} record files there, {len(other.record_files)} here"


class Others:
    """What others do of some partitions of a plan, meanwhile and in any thread.

    Who does the same writes what he did where all do: see `places_in_blocks`.
    """

    def __init__(self, output: Output, fingerprint: str, places: Mapping[str, int]) -> None:
        """``places`` are those of the arrays among them whose receipts lie in blocks, by name."""
        self._output, self._fingerprint, self._places = output, fingerprint, places
        self._next = 0.0
        self._read: set[str] = set()
        self._done: set[PartitionKey] = set()
        self._lock = threading.Lock()

    def have(self, partition: Partition) -> bool:
        """Whether somebody else has done a partition, by blocks as of a second ago."""
        if partition.array in self._places:
            with self._lock:
                self._look()
                return partition.key in self._done
        data = self._output.get(receipt_path(partition.key))
        document = None if data is None else parsed_document(data)
        return counted(document, self._fingerprint, partition.key) is not None

    def _look(self) -> None:
        if time.monotonic() < self._next:
            return
        paths = block_paths(self._output, self._fingerprint, set(self._places.values()))
        new = [path for path in paths if path not in self._read]
        for _, line in blocks_in(self._output, new):
            key = line.key
            if key is not None and counted(line.document, self._fingerprint, key) is not None:
                self._done.add(key)
        self._read.update(new)
        self._next = time.monotonic() + _LOOK
