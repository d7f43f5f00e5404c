"""Receipts: the JSON written when a partition is done. Done-ness is known from them alone."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar

from parchunk.errors import OutputError
from parchunk.out.counts import BuildCounts, fields_of, names_of
from parchunk.out.output import RECEIPTS, STRAYS
from parchunk.planning.plan import Partition, PartitionKey

RECEIPT_VERSION = 1
_NO_REASONS: Mapping[str, int] = {}
#: What older receipts know nothing of.
_NOT_IN_ALL = ("inventory", "listing")


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
        # There may be a hundred thousand, which say the same.
        for name in _NOT_IN_ALL:
            values[name] = sys.intern(document[name]) if name in document else None
        values["fingerprint"] = sys.intern(document["fingerprint"])
        if values["stray_reasons"] == {}:
            values["stray_reasons"] = _NO_REASONS
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


def receipt_path(partition: PartitionKey) -> str:
    """Return where in OUT the receipt of a partition lies that has a file of its own."""
    array, region = partition
    return f"{RECEIPTS}/{array}/{'whole' if region is None else region}.json"


def strays_path(partition: Partition) -> str:
    """Return the path of a partition's kept strays below OUT."""
    return strays_of(partition.key)


def strays_of(partition: PartitionKey) -> str:
    """Return the same of a partition that is known by its key."""
    array, region = partition
    return f"{STRAYS}/{array}/{'whole' if region is None else region}.parquet"


def listings(receipts: Iterable[Receipt]) -> dict[str, int]:
    """Return how many partitions were listed by whom, as far as receipts say."""
    return dict(Counter(receipt.listing for receipt in receipts if receipt.listing is not None))


def counted(document: Any, fingerprint: str, partition: PartitionKey) -> Receipt | None:
    """Return the receipt of a partition of a plan that a document is; None: none that counts."""
    try:
        if document["array"] == partition[0]:
            document["array"] = partition[0]  # the plan's text, not another one for each receipt
        receipt = Receipt.from_json(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    counts = (
        receipt.fingerprint == fingerprint and receipt.key == partition and _sums_agree(receipt)
    )
    return receipt if counts else None


def parsed_document(data: bytes) -> Any:
    """Return the document that bytes are; None where they are none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


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
