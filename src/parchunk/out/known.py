"""Partitions that go on in stores which came: what was known of them, kept while they are built.

The last record file of stores may go on with rows of others, once there are some. Its partition has
no receipt then, and yet all of its rows that were there are known: the receipt of before says which
record files hold them, and the last of those is kept as it was, as it is written over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from parchunk.out.output import KNOWN, Output
from parchunk.out.receipts import Receipt
from parchunk.out.record_files import digest, record_path
from parchunk.planning.plan import Partition, PartitionKey, Plan


@dataclass(frozen=True)
class Known:
    """The first rows of a partition, those of ``receipt``; ``last`` is its last record file.

    The other record files lie where they lay.
    """

    receipt: Receipt
    last: bytes

    @property
    def rows(self) -> int:
        """How many rows they are."""
        return self.receipt.expected


def keep_known(
    output: Output, partition: Partition, receipt: Receipt, fingerprint: str, before: Output
) -> None:
    """Keep what a receipt of ``before`` says of the first rows of a partition of a new plan.

    Where its last record file is not what the receipt says, nothing is kept.
    """
    file = receipt.record_files[-1]
    data = before.get(record_path(partition.array, file.index))
    if data is None or digest(data) != file.digest:
        return
    output.put(f"{_path(partition.key)}.parquet", data)
    document = {"fingerprint": fingerprint, "receipt": receipt.to_json()}
    output.put(f"{_path(partition.key)}.json", json.dumps(document).encode())


def read_known(
    output: Output, plan: Plan, partitions: Iterable[Partition]
) -> dict[PartitionKey, Known]:
    """Return what is known of partitions of a plan that have no receipt."""
    kept = set(output.paths(KNOWN))
    found = {}
    for partition in partitions:
        path = f"{_path(partition.key)}.json"
        if path not in kept:
            continue
        known = _read(output, plan.fingerprint, partition)
        if known is not None:
            found[partition.key] = known
    return found


def forget_known(output: Output) -> None:
    """Delete all of it: from here on such partitions are listed whole."""
    paths = output.paths(KNOWN)
    if paths:
        output.clear(paths)


def _read(output: Output, fingerprint: str, partition: Partition) -> Known | None:
    try:
        document = json.loads(output.get(f"{_path(partition.key)}.json") or b"")
        receipt = Receipt.from_json(document["receipt"])
        data = output.get(f"{_path(partition.key)}.parquet") or b""
        if document["fingerprint"] != fingerprint or receipt.key != partition.key:
            return None
        if digest(data) != receipt.record_files[-1].digest:
            return None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return Known(receipt, data)


def _path(key: PartitionKey) -> str:
    array, region = key
    return f"{KNOWN}/{array}/{region}"
