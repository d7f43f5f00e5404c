"""Receipts: the JSON written when a partition is done. Done-ness is known from them alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from parchunk.errors import OutputError
from parchunk.output import RECEIPTS, STRAYS, Output
from parchunk.plan import Partition, Plan

RECEIPT_VERSION = 1


@dataclass(frozen=True)
class RecordFile:
    """One record file of a partition: ``digest`` is the blake2b-128 of its bytes, in hex."""

    index: int
    rows: int
    present: int
    bytes: int
    digest: str


@dataclass(frozen=True)
class Receipt:
    """What was found and written for one partition.

    ``present + missing == expected``; ``missing`` includes the ``zero_sized``. ``bytes`` is the
    sum of present chunks' sizes. ``found_again`` chunks were missed by the first listing and
    found by the second one.

    Of an expanded sharded array these count inner chunks, and the four after ``seconds`` its
    shards: ``empty_entries`` are inner chunks missing from shards that are there, so that
    ``missing - empty_entries - zero_sized`` of them lie in absent shards; ``index_requests`` are
    the GETs for shard indexes. They are 0 for other arrays.

    ``last_modified`` is the newest modification time among the chunks,
    in microseconds since the epoch, None when there are none. ``requests`` are the LIST requests
    that were made since the receipt before it in the same group, so that receipts add up.
    """

    fingerprint: str
    array: str
    region: int | None
    dimension: str | None
    start: int | None
    stop: int | None
    expected: int
    present: int
    missing: int
    zero_sized: int
    inlined: int
    bytes: int
    strays: int
    stray_reasons: Mapping[str, int]
    found_again: int
    last_modified: int | None
    verified: bool
    ordered: bool
    requests: int
    requests_least: int
    retries: int
    seconds: float
    shards_expected: int = 0
    shards_present: int = 0
    empty_entries: int = 0
    index_requests: int = 0
    record_files: tuple[RecordFile, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the document of the receipt's file."""
        document = asdict(self)
        document["record_files"] = [list(asdict(f).values()) for f in self.record_files]
        return {"parchunk_receipt": RECEIPT_VERSION, **document}

    @classmethod
    def from_json(cls, document: Any) -> Receipt:
        """Return the receipt of a document; ValueError, KeyError or TypeError when it is none."""
        if document.get("parchunk_receipt") != RECEIPT_VERSION:
            raise ValueError("not a receipt of this version")
        values = {f.name: document[f.name] for f in fields(cls)}
        values["record_files"] = tuple(RecordFile(*entry) for entry in document["record_files"])
        return cls(**values)


def receipt_path(partition: Partition) -> str:
    """Return the path of a partition's receipt below OUT."""
    return f"{RECEIPTS}/{partition.array}/{partition.name}.json"


def strays_path(partition: Partition) -> str:
    """Return the path of a partition's kept strays below OUT."""
    return f"{STRAYS}/{partition.array}/{partition.name}.parquet"


def write_receipt(output: Output, partition: Partition, receipt: Receipt) -> None:
    """Write a receipt: from here on the partition counts as done."""
    output.put(receipt_path(partition), json.dumps(receipt.to_json()).encode())


def read_receipts(output: Output, plan: Plan) -> dict[tuple[str, int | None], Receipt]:
    """Return the receipts of a plan's partitions by array and region.

    A receipt of another plan, or one that cannot be read, counts as none: its partition is done
    again. Nothing is deleted.
    """
    there = set(output.paths(RECEIPTS))
    found: dict[tuple[str, int | None], Receipt] = {}
    for partition in plan.partitions():
        path = receipt_path(partition)
        if path not in there:
            continue
        data = output.get(path)
        try:
            receipt = Receipt.from_json(json.loads(data or b""))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if receipt.fingerprint == plan.fingerprint:
            found[(partition.array, partition.region)] = receipt
    return found


def check_counts(receipt: Receipt, partition: Partition) -> None:
    """Check a receipt's arithmetic before it is written.

    Raises
    ------
    OutputError
        When chunks would be unaccounted for: a fault in parchunk, and nothing is written.
    """
    rows = sum(f.rows for f in receipt.record_files)
    present = sum(f.present for f in receipt.record_files)
    if (
        receipt.present + receipt.missing != receipt.expected
        or rows != receipt.expected
        or present != receipt.present
    ):
        raise OutputError(
            f"{partition}: {receipt.present} present and {receipt.missing} missing of "
            f"{receipt.expected} chunks, {rows} rows with {present} references written: "
            "they do not add up; please report this"
        )
