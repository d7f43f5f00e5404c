"""Receipt blocks: the receipts of many small arrays in one object, a line each.

Such arrays are done many at a time, and a receipt in a file of its own would be a request for each,
when it is written and whenever it is read. A block is of one plan, and its name says which places
among that plan's arrays it may speak of, so that whoever needs some reads few.
"""

from __future__ import annotations

import json
import re
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from parchunk.errors import OutputError
from parchunk.out.output import BLOCKS, Output
from parchunk.out.receipts import Receipt, parsed_document
from parchunk.out.record_files import digest
from parchunk.out.side_by_side import of_each
from parchunk.planning.plan import PartitionKey, Plan

#: Chunks of an array whose receipts lie in blocks, at most, ...
_SMALL = 5_000
#: ... and such arrays of a plan, at least: where they are few, each is a file that is easily found.
_LEAST = 16
#: Receipts of a block, at most, ...
MOST = 1_000
#: ... and bytes of them, about.
MOST_BYTES = 4 << 20
#: Seconds that the first receipt of a block waits for others, at most.
MOST_SECONDS = 5.0
#: What a receipt takes, about, and each record file that it names.
_RECEIPT_BYTES = 700
_FILE_BYTES = 60
#: Receipts in files of their own that are held at a time: they are small.
_AHEAD = 1_000
#: Tries to write a block anew that others write at the same time.
_TRIES = 10
_REGION = (int, type(None))
_NAME = re.compile(r"([0-9a-f]{1,12})-([0-9a-f]{1,12})-[0-9a-f]{32}\.jsonl")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a block: its ``document`` is None where that cannot be read."""

    number: int
    data: bytes
    document: Any

    @property
    def key(self) -> PartitionKey | None:
        """Array and region of the partition that it speaks of; None where it speaks of none."""
        document = self.document
        if not isinstance(document, dict):
            return None
        array, region = document.get("array"), document.get("region", "")
        return (array, region) if type(array) is str and type(region) in _REGION else None


def places_of(plan: Plan) -> dict[str, int]:
    """Return the place of each array among those of a plan."""
    return {name: at for at, name in enumerate(plan.by_name)}


def places_in_blocks(plan: Plan) -> dict[str, int]:
    """Return the places of the arrays whose receipts are written in blocks: all or none of each.

    That is the plan's to say, so that whoever does the same looks for others' in the same places.
    """
    small = {
        array.spec.name: at
        for at, array in enumerate(plan.arrays)
        if array.spec.reference_total <= _SMALL
    }
    return small if len(small) >= _LEAST else {}


def folder_of(fingerprint: str) -> str:
    """Return the folder of a plan's blocks."""
    return f"{BLOCKS}/{fingerprint[:16]}"


def block_paths(
    output: Output, fingerprint: str, places: Collection[int] | None = None
) -> list[str]:
    """Return the blocks of a plan: all of them, or those that may speak of arrays at ``places``."""
    if places is not None and not places:
        return []
    wanted = None if places is None else sorted(places)
    return [path for path in output.paths(folder_of(fingerprint)) if _may_speak(path, wanted)]


def _may_speak(path: str, places: Sequence[int] | None) -> bool:
    named = _NAME.fullmatch(path.rpartition("/")[2])
    if named is None:
        return False
    if places is None:
        return True
    at = bisect_left(places, int(named[1], 16))
    return at < len(places) and places[at] <= int(named[2], 16)


def encode_block(receipts: Sequence[Receipt]) -> bytes:
    """Return the bytes of a block."""
    return b"".join(json.dumps(receipt.to_json()).encode() + b"\n" for receipt in receipts)


def put_block(output: Output, held: Sequence[tuple[int, Receipt]]) -> str:
    """Write a block of receipts of one plan, each with its array's place; return where.

    From here on the partitions count as done. The same block twice is the same object.
    """
    places = [place for place, _ in held]
    data = encode_block([receipt for _, receipt in held])
    folder = folder_of(held[0][1].fingerprint)
    path = f"{folder}/{min(places):x}-{max(places):x}-{digest(data)}.jsonl"
    output.put(path, data)
    return path


def lines_of(data: bytes) -> Iterator[Line]:
    """Yield the lines of a block, those that are damaged, too."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield Line(number, line, parsed_document(line))


def read_each(output: Output, paths: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the receipts that lie at each path, read side by side where every look is a request."""
    return of_each(output, output.get, paths, _AHEAD)


def blocks_in(output: Output, paths: Sequence[str]) -> Iterator[tuple[str, Line]]:
    """Yield the lines of blocks, each with its block's path."""
    for path, data in zip(paths, of_each(output, output.get, paths), strict=True):
        for line in lines_of(data or b""):
            yield path, line


def drop_lines(output: Output, partitions: Collection[PartitionKey], paths: Sequence[str]) -> None:
    """Take the receipts of some partitions out of blocks: what is left of one stays as it is.

    Raises
    ------
    OutputError
        When OUT cannot be written, or others write the same blocks all the time.
    """
    keep_lines(output, lambda line: line.key not in partitions, paths)


def keep_lines(output: Output, stays: Callable[[Line], bool], paths: Sequence[str]) -> None:
    """Take the lines out of blocks that do not stay, as `drop_lines` does."""
    for _ in of_each(output, partial(_keep, output, stays), paths):
        pass


def _keep(output: Output, stays: Callable[[Line], bool], path: str) -> None:
    for _ in range(_TRIES):
        seen = output.get_version(path)
        if seen is None:
            return
        data, version = seen
        lines = list(lines_of(data))
        left = [line for line in lines if stays(line)]
        if len(left) == len(lines):
            return
        if all(line.key is None for line in left):
            output.delete(path)
            return
        if output.put_if(path, b"".join(line.data + b"\n" for line in left), version) is not None:
            return
    raise OutputError(f"{output.describe(path)} is written by several at once: run again to resume")


class Together:
    """Receipts on their way into blocks: kept until they are many, or some seconds old.

    ``put`` writes those that are given to it, each with its array's place. From any thread.
    """

    def __init__(self, put: Callable[[list[tuple[int, Receipt]]], object]) -> None:
        self._put = put
        self._held: list[tuple[int, Receipt]] = []
        self._bytes = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def add(self, place: int, receipt: Receipt) -> None:
        """Take in the receipt of the array at a place; write all that are kept if it is time."""
        with self._lock:
            if not self._held:
                self._since = time.monotonic()
            self._held.append((place, receipt))
            self._bytes += _RECEIPT_BYTES + _FILE_BYTES * len(receipt.record_files)
            if len(self._held) < MOST and self._bytes < MOST_BYTES and not self.due:
                return
            held = self._taken()
        self._put(held)

    @property
    def due(self) -> bool:
        """Whether something has been kept for as long as anything may be."""
        return bool(self._held) and time.monotonic() >= self._since + MOST_SECONDS

    def flush(self) -> None:
        """Write what is kept."""
        with self._lock:
            held = self._taken()
        if held:
            self._put(held)

    def _taken(self) -> list[tuple[int, Receipt]]:
        held, self._held, self._bytes = self._held, [], 0
        return held
