"""Receipts: the JSON written when a partition is done. Done-ness is known from them alone."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar

from parchunk.errors import OutputError
from parchunk.out.counts import BuildCounts, fields_of, names_of
from parchunk.out.output import RECEIPTS, STRAYS, Output
from parchunk.planning.plan import Partition, PartitionKey, Plan

RECEIPT_VERSION = 1
#: What older receipts know nothing of.
_NOT_IN_ALL = ("inventory", "listing")
#: Receipts read side by side where each is a request, and so many at a time.
_READERS = 16
_AHEAD = 1_000
#: Tries to write a receipt that others write at the same time.
_TRIES = 5


# Slots: there may be a hundred thousand of both.
@dataclass(frozen=True, slots=True)
class RecordFile:
    """One record file of a partition: ``digest`` is the blake2b-128 of its bytes, in hex.

    ``objects`` is that of the file of what is kept of its objects, empty where none is.
    """

    index: int
    rows: int
    present: int
    bytes: int
    digest: str
    objects: str = ""

    @property
    def values(self) -> list[int | str]:
        """The fields, without those that are empty."""
        found = list(fields_of(RecordFile)(self))
        return found if self.objects else found[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(BuildCounts):
    """What was found and written for one partition. ``present + missing == expected``.

    ``last_modified`` is the newest modification time among the chunks, in microseconds since the
    epoch, None when there are none. ``requests`` are the LIST requests that were made since the
    receipt before it in the same job, so that receipts add up; so do ``requests_least``, each its
    partition's share of the fewest that could list the job. ``inventory`` is the date of the
    inventory that stood for a listing, None where there was one. ``listing`` says who listed, and
    why, None in receipts of builds that did not say.
    """

    fingerprint: str
    array: str
    region: int | None
    dimension: str | None
    start: int | None
    stop: int | None
    stray_reasons: Mapping[str, int]
    last_modified: int | None
    verified: bool
    ordered: bool
    record_files: tuple[RecordFile, ...] = ()
    inventory: str | None = None
    listing: str | None = None

    @property
    def key(self) -> PartitionKey:
        """Array and region of the partition that it is of."""
        return self.array, self.region

    def to_json(self) -> dict[str, Any]:
        """Return the document of the receipt's file."""
        # Not `asdict`, which copies everything deeply: there may be a hundred thousand receipts.
        # For whoever reads it: first whose it is, and the record files, which are many, last.
        names = _names_for_readers()
        document = {name: getattr(self, name) for name in names}
        for name in _NOT_IN_ALL:
            if document[name] is None:
                del document[name]
        files = [file.values for file in self.record_files]
        return {"parchunk_receipt": RECEIPT_VERSION, **document, "record_files": files}

    @classmethod
    def from_json(cls, document: Any) -> Receipt:
        """Return the receipt of a document; ValueError, KeyError or TypeError when it is none."""
        if document.get("parchunk_receipt") != RECEIPT_VERSION:
            raise ValueError("not a receipt of this version")
        kind: type = cls
        values = {name: document[name] for name in names_of(kind) if name not in _NOT_IN_ALL}
        for name in _NOT_IN_ALL:
            # There may be a hundred thousand, which say the same.
            values[name] = sys.intern(document[name]) if name in document else None
        values["record_files"] = tuple(
            _checked(RecordFile(*entry)) for entry in document["record_files"]
        )
        receipt = _checked(cls(**values))
        if receipt.present + receipt.missing != receipt.expected:
            raise ValueError("its counts do not add up")
        return receipt


@cache
def _names_for_readers() -> tuple[str, ...]:
    """Return a receipt's fields but for its record files: whose it is, and then what it counts."""
    kind: type = Receipt
    counted = names_of(BuildCounts)
    own = [name for name in names_of(kind) if name not in (*counted, "record_files")]
    return (*own, *counted)


def receipt_path(partition: Partition) -> str:
    """Return the path of a partition's receipt below OUT."""
    return f"{RECEIPTS}/{partition.array}/{partition.name}.json"


def strays_path(partition: Partition) -> str:
    """Return the path of a partition's kept strays below OUT."""
    return f"{STRAYS}/{partition.array}/{partition.name}.parquet"


def listings(receipts: Iterable[Receipt]) -> dict[str, int]:
    """Return how many partitions were listed by whom, as far as receipts say."""
    return dict(Counter(receipt.listing for receipt in receipts if receipt.listing is not None))


def write_receipt(output: Output, partition: Partition, receipt: Receipt) -> None:
    """Write a receipt: from here on the partition counts as done."""
    output.put(receipt_path(partition), json.dumps(receipt.to_json()).encode())


def write_receipt_once(output: Output, partition: Partition, receipt: Receipt) -> None:
    """Write a receipt where others may do the same partition at the same time.

    The first one stays. What two have written is the same unless the source changed between their
    listings; then neither holds, as record files may be of both, and the partition is due again.

    Raises
    ------
    OutputError
        When another one's receipt speaks of other record files; it is deleted.
    """
    path, data = receipt_path(partition), json.dumps(receipt.to_json()).encode()
    for _ in range(_TRIES):
        seen = output.get_version(path)
        other = None if seen is None else _parsed(seen[0], receipt.fingerprint, receipt.key)
        if other is None:
            # None there, or none that counts; of a store that lost an answer, perhaps this one.
            if output.put_if(path, data, None if seen is None else seen[1]) is not None:
                return
            continue
        if other.record_files == receipt.record_files:
            return
        output.delete(path)
        raise OutputError(
            f"{partition} was done twice at once, and not alike ({_unlike(other, receipt)}): the "
            "source changes while it is listed; its receipt is deleted, so run the same again to "
            "list it anew"
        )
    raise OutputError(f"{output.describe(path)} is written by several at once: run again to resume")


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


def read_receipt(output: Output, fingerprint: str, partition: Partition) -> Receipt | None:
    """Return the receipt of one partition of a plan; None when there is none that counts."""
    data = output.get(receipt_path(partition))
    return None if data is None else _parsed(data, fingerprint, partition.key)


def read_receipts(
    output: Output, plan: Plan, only: Container[PartitionKey] | None = None
) -> dict[PartitionKey, Receipt]:
    """Return the receipts of a plan's partitions, or ``only`` of some, by array and region.

    A receipt of another plan, or one that cannot be read or does not add up, counts as none: its
    partition is done again. Nothing is deleted.
    """
    # By what is there, not by what could be: a plan may have millions of partitions.
    paths = {
        partition: path
        for partition, path in receipted(output, plan).items()
        if only is None or partition in only
    }
    found: dict[PartitionKey, Receipt] = {}
    for partition, data in zip(paths, _contents(output, list(paths.values())), strict=True):
        receipt = _parsed(data or b"", plan.fingerprint, partition)
        if receipt is not None:
            found[partition] = receipt
    return found


def receipted(output: Output, plan: Plan) -> dict[PartitionKey, str]:
    """Return where receipts lie, by array and region, in the order of `Plan.partitions`.

    They are not read: some may be of another plan.
    """
    found = {}
    for path in output.paths(RECEIPTS):
        partition = _partition_at(path, plan)
        if partition is not None:
            found[partition] = path
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _contents(output: Output, paths: list[str]) -> Iterator[bytes | None]:
    """Yield what lies at each path, read side by side where every look is a request."""
    if not output.costs_requests:
        yield from map(output.get, paths)
        return
    with ThreadPoolExecutor(_READERS, thread_name_prefix="receipt") as pool:
        for begin in range(0, len(paths), _AHEAD):
            yield from pool.map(output.get, paths[begin : begin + _AHEAD])


def _parsed(data: bytes, fingerprint: str, partition: PartitionKey) -> Receipt | None:
    """Return the receipt of a partition that a file holds; None when it is none that counts."""
    try:
        receipt = Receipt.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    counts = (
        receipt.fingerprint == fingerprint and receipt.key == partition and _sums_agree(receipt)
    )
    return receipt if counts else None


def _partition_at(path: str, plan: Plan) -> PartitionKey | None:
    """Return array and region of the partition whose receipt is at ``path``; None: no partition."""
    name, _, file = path[len(RECEIPTS) + 1 :].rpartition("/")
    array = plan.by_name.get(name)
    if array is None or not file.endswith(".json"):
        return None
    if array.axis is None:
        return (name, None) if file == "whole.json" else None
    number = file[: -len(".json")]
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", number) or int(number) >= array.regions:
        return None
    return name, int(number)


def _order(partition: PartitionKey) -> tuple[int, str]:
    """Sort as `Plan.partitions` does: whole arrays first, then region by region."""
    array, region = partition
    return (-1 if region is None else region, array)


#: What the fields of receipts may hold, by their annotations.
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "str": (str,),
    "str | None": (str, type(None)),
    "bool": (bool,),
}
_T = TypeVar("_T", Receipt, RecordFile)


@cache
def _kinds_of(kind: type) -> tuple[tuple[type, ...] | None, ...]:
    return tuple(_TYPES.get(str(item.type)) for item in fields(kind))


def _checked(value: _T) -> _T:
    """Return a receipt, or a part of one, whose fields are of their types and in range."""
    kind: type = type(value)
    for name, kinds, held in zip(
        names_of(kind), _kinds_of(kind), fields_of(kind)(value), strict=True
    ):
        if kinds is not None and type(held) not in kinds:
            raise TypeError(f"{name} is of type {type(held).__name__}")
        if type(held) is int and name != "last_modified" and not 0 <= held < 1 << 63:
            raise ValueError(f"{name} is {held}")
        if type(held) is float and not 0 <= held < math.inf:
            raise ValueError(f"{name} is {held}")
        if name == "stray_reasons" and not (
            type(held) is dict and all(type(count) is int for count in held.values())
        ):
            raise TypeError("stray_reasons counts no reasons")
    return value


def check_counts(receipt: Receipt, partition: Partition) -> None:
    """Check a receipt's arithmetic before it is written.

    Raises
    ------
    OutputError
        When chunks would be unaccounted for: a fault in parchunk, and nothing is written.
    """
    if not _sums_agree(receipt):
        rows = sum(file.rows for file in receipt.record_files)
        present = sum(file.present for file in receipt.record_files)
        raise OutputError(
            f"{partition}: {receipt.present} present and {receipt.missing} missing of "
            f"{receipt.expected} chunks, {rows} rows with {present} references written: "
            "they do not add up; please report this"
        )


def _sums_agree(receipt: Receipt) -> bool:
    """Whether every chunk is accounted for, and every row of the record files."""
    return (
        receipt.present + receipt.missing == receipt.expected
        and sum(file.rows for file in receipt.record_files) == receipt.expected
        and sum(file.present for file in receipt.record_files) == receipt.present
    )
