"""Strays of partitions whose receipts become those of another plan."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.keys.parsing import parse_paths
from parchunk.listing.strays import OUTSIDE, Strays, encode_strays
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt, strays_path
from parchunk.planning.growth import Carried
from parchunk.planning.plan import Partition, Plan


def has_chunks(item: Carried, new: Plan, known: Sequence[Receipt], output: Output) -> bool:
    """Whether objects that were strays of a partition, outside its grid, are chunks in ``new``.

    So it is where a producer writes chunks before it says that the array has grown. Of many stores
    each has a grid of its own, and what lies outside of it is not told anew.
    """
    if new.stores is not None:
        return False
    space = new.by_name[item.partition.array].spec.space
    for part, receipt in zip(item.before, known, strict=True):
        if not receipt.stray_reasons.get(OUTSIDE):
            continue
        try:
            table = _kept(output, part, receipt)
        except (pa.ArrowException, KeyError):
            return True  # damaged: listed again, they are written anew
        if table is not None:
            tails = table["path"].combine_chunks()
            if len(parse_paths(tails, "", space).others) < len(tails):
                return True
    return False


def strays_of(
    output: Output, item: Carried, known: Sequence[Receipt], *, in_place: bool = False
) -> bytes | None:
    """Return the strays kept of the partitions that one consists of; None: there are none.

    With ``in_place``, None also says that they lie where they belong.
    """
    same = len(known) == 1 and strays_path(item.before[0]) == strays_path(item.partition)
    if in_place and same:
        return None
    together = Strays()
    for part, receipt in zip(item.before, known, strict=True):
        table = _kept(output, part, receipt)
        if table is not None:
            together.add(table)
    return encode_strays(item.partition.array, together) if together.count else None


def _kept(output: Output, partition: Partition, receipt: Receipt) -> pa.Table | None:
    """Return the strays of a partition that are kept by name; None where none are."""
    data = output.get(strays_path(partition)) if receipt.strays else None
    if data is None:
        return None
    return pq.read_table(io.BytesIO(data)).select(["path", "size", "reason"])
