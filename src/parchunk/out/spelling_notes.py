"""Chunks whose keys are spelled otherwise than their array's metadata says: a lost separator."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from parchunk.keys.encoding import KeyEncoding, Separator
from parchunk.metadata.spec import ArraySpec
from parchunk.out.many_receipts import each
from parchunk.out.output import Output
from parchunk.out.receipts import Receipt, strays_path
from parchunk.planning.plan import Plan

#: Partitions of an array whose strays are looked at: where the metadata is wrong, all are alike.
_LOOKED_AT = 20


def spelling_notes(plan: Plan, receipts: Iterable[Receipt], output: Output) -> dict[str, str]:
    """Return a line for each array that lacks chunks, and has some that are spelled otherwise.

    Read are the strays that OUT keeps by name; a file that cannot be read says nothing.
    """
    suspects: defaultdict[str, list[tuple[int | None, int]]] = defaultdict(list)
    for name, region, missing, strays in each(receipts, "array", "region", "missing", "strays"):
        if missing and strays:
            suspects[name].append((region, strays))
    notes = {}
    for name, found in suspects.items():
        array = plan.by_name[name]
        paths: list[str] = []
        for region, _ in found[:_LOOKED_AT]:
            partition = array.partition(region, plan.record_size)
            paths += _kept(output.get(strays_path(partition)))
        complete = len(paths) == sum(strays for _, strays in found)
        note = _note(array.spec, paths, "" if complete else "at least ")
        if note is not None:
            notes[name] = f"{name}: {note}"
    return notes


def _kept(data: bytes | None) -> list[str]:
    if data is None:
        return []
    try:
        column = pq.read_table(io.BytesIO(data), columns=["path"])["path"].to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return []
    return [path for path in column if isinstance(path, str)]


def _note(spec: ArraySpec, paths: list[str], least: str) -> str | None:
    keys = spec.keys
    other: Separator = "/" if keys.separator == "." else "."
    where = "chunk_key_encoding" if spec.zarr_format == 3 else "dimension_separator"
    separated = _count(paths, KeyEncoding(keys.marker, other, spec.rank))
    if separated:
        return (
            f"{least}{separated:,} chunk keys are spelled with {other!r}, where its metadata says "
            f"{keys.separator!r} ({where}): readers of the store do not find them either"
        )
    encoded = max(
        _count(paths, KeyEncoding("" if keys.marker else "c", separator, spec.rank))
        for separator in ("/", ".")
    )
    if encoded:
        how = "without the" if keys.marker else "with a"
        return (
            f"{least}{encoded:,} chunk keys are spelled {how} 'c' before their numbers, which its "
            "metadata has otherwise: readers of the store do not find them either"
        )
    return None


def _count(paths: list[str], encoding: KeyEncoding) -> int:
    pattern = re.compile(encoding.pattern, re.ASCII)
    return sum(pattern.fullmatch(path) is not None for path in paths)
