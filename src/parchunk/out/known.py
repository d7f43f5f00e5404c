"""Partitions that go on in stores which came: what was known of them, kept while they are built.

The last record file of stores may go on with rows of others, once there are some. Its partition has
no receipt then, and yet all of its rows that were there are known: the receipt of before says which
record files hold them, and the last of those is kept as it was, as it is written over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from parchunk.errors import OutputError
from parchunk.out.output import KNOWN, Output
from parchunk.out.receipts import Receipt
from parchunk.out.record_files import digest, record_path
from parchunk.planning.plan import Partition, PartitionKey, Plan


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
) -> dict[PartitionKey, Receipt]:
    """Return the receipts of the first rows of partitions of a plan that have none of their own.

    Their last record file is `last_known`; the others lie where they lay.
    """
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


def last_known(output: Output, receipt: Receipt) -> bytes:
    """Return the last record file of what `read_known` has of a partition, as it was.

    Raises
    ------
    OutputError
        When it is not there any more: the partition is listed whole when it is run again.
    """
    path = f"{_path(receipt.key)}.parquet"
    data = output.get(path)
    if data is None or digest(data) != receipt.record_files[-1].digest:
        raise OutputError(f"{output.describe(path)} is not what it was: run the same command again")
    return data


def forget_known(output: Output) -> None:
    """Delete all of it: from here on such partitions are listed whole."""
    paths = output.paths(KNOWN)
    if paths:
        output.clear(paths)


def _read(output: Output, fingerprint: str, partition: Partition) -> Receipt | None:
    try:
        document = json.loads(output.get(f"{_path(partition.key)}.json") or b"")
        receipt = Receipt.from_json(document["receipt"])
        if document["fingerprint"] != fingerprint or receipt.key != partition.key:
            return None
        last_known(output, receipt)  # not held: there may be one of every array
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OutputError):
        return None
    return receipt


def _path(key: PartitionKey) -> str:
    array, region = key
    return f"{KNOWN}/{array}/{region}"
