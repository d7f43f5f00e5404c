"""What may be at a quiet moment: OUT beside the truth, an audit beside both, and what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.history_readers import Place, Row
from benchmarks.quiet.truth import Held

#: A chunk of an array.
Chunk = tuple[str, tuple[int, ...]]
#: What an audit may say of references that are what their source is.
CLEAN = frozenset({
    "missing-chunks", "lacking", "left-out", "strays", "size-outliers", "untimed", "uneven-labels",
    "as-of-inventory", "shared-ranges", "unverified", "all-fill", "other-spelling",
})  # fmt: skip


class Differences(NamedTuple):
    """Where OUT is not what its source is: arrays and why, and chunks."""

    arrays: dict[str, str]
    chunks: dict[Chunk, str]

    def __bool__(self) -> bool:
        return bool(self.arrays or self.chunks)


def differences(seen: Mapping[str, Held], truth: Mapping[str, Held]) -> Differences:
    """Compare what fsspec gets through OUT with what the stores are.

    Of arrays whose chunks are not told one by one, shapes alone are compared.
    """
    arrays = dict.fromkeys(truth.keys() - seen.keys(), "is not referenced")
    arrays |= dict.fromkeys(seen.keys() - truth.keys(), "is not in the source")
    chunks: dict[Chunk, str] = {}
    for name in seen.keys() & truth.keys():
        ours, theirs = seen[name], truth[name]
        if ours.values.shape != theirs.values.shape:
            arrays[name] = f"{ours.values.shape} is not {theirs.values.shape}"
        if theirs.chunk_shape and ours.chunk_shape != theirs.chunk_shape:
            arrays[name] = f"chunks {ours.chunk_shape} are not {theirs.chunk_shape}"
            continue
        is_time = name.rpartition("/")[2] == "time"  # whose units may be others
        if not is_time and ours.attributes != theirs.attributes:
            arrays[name] = f"attributes {ours.attributes} are not {theirs.attributes}"
        if not is_time and ours.fill not in (None, theirs.fill):
            arrays[name] = f"the fill value {ours.fill} is not {theirs.fill}"
        if theirs.chunks is None or ours.chunks is None:
            continue
        for index in ours.chunks.keys() & theirs.chunks.keys():
            odd = _odd(ours.chunks[index], theirs.chunks[index])
            if odd:
                chunks[name, index] = odd
    return Differences(arrays, chunks)


def _odd(ours: bytes | None, theirs: bytes | None) -> str:
    if ours == theirs:
        return ""
    if ours is None:
        return "new"
    return "gone" if theirs is None else "other"


def changed_since(
    then: Mapping[str, Held], now: Mapping[str, Held], name: str, loosely: bool = False
) -> bool:
    """Tell whether elements changed of an array whose chunks are not told one by one.

    ``loosely``: those count that came, too.
    """
    if name not in then or then[name].layout != now[name].layout:
        return True
    ours, theirs = then[name].values, now[name].values
    if loosely and ours.shape != theirs.shape:
        return True
    box = tuple(slice(0, min(sizes)) for sizes in zip(ours.shape, theirs.shape, strict=True))
    return not np.array_equal(ours[box], theirs[box])


def may_be_stale(
    chunk: Chunk, now: Mapping[str, Held], settled: Mapping[str, Held], tries: Iterable[Any]
) -> bool:
    """Tell whether an update may leave a chunk as it was: one that was there and is another now.

    ``tries``: what the source was at other moments that references may be of.
    """
    name, index = chunk
    current = (now[name].chunks or {}).get(index)
    was = _chunk(settled, now, chunk)
    if was is not None and was != current:
        return True
    return any(_chunk(then, now, chunk) != current for then in tries)


def _chunk(then: Mapping[str, Held], now: Mapping[str, Held], chunk: Chunk) -> bytes | None:
    name, index = chunk
    if name not in then or then[name].layout != now[name].layout:
        return None
    return (then[name].chunks or {}).get(index)


def odd_values(
    values: Mapping[str, Any], truth: Mapping[str, Held], names: Iterable[str]
) -> list[str]:
    """Return the arrays of these names whose values are others."""
    return [name for name in names if not np.array_equal(values[name], truth[name].values)]


# What commands say --------------------------------------------------------------------------------


def odd_audit(said: Mapping[str, Any], odd: Differences, rows: Mapping[Place, Row]) -> str:
    """Return what an audit against the source does not say, or wrongly; '' if it is right."""
    found = Counter[str]()
    for finding in said["findings"]:
        found[finding["kind"]] += finding["count"]
    damage = [
        each["message"]
        for each in said["findings"]
        # bytes that are kept, of chunks that were written anew before an update of their region
        if each["severity"] == "damage" and "other bytes are inlined" not in each["message"]
    ]
    if damage:
        return f"damage: {damage[:3]}"
    missing = sum(row is None for row in rows.values())
    if said["missing"] + said["lacking"] != missing:
        return f"counts {said['missing']} + {said['lacking']} missing chunks, not {missing}"
    kinds = Counter(odd.chunks.values())
    documents = found["source-metadata"] + found["new-array"] + found["gone-array"]
    if odd.arrays and not documents:
        return f"does not say that {odd.arrays}"
    if kinds["new"] > found["new-chunks"] and not documents:
        return f"tells of {found['new-chunks']} new chunks of {kinds['new']}"
    gone = found["gone-chunks"]
    if kinds["gone"] > gone and not documents:
        return f"tells of {gone} gone chunks of {kinds['gone']}"
    if kinds["other"] > found["changed-chunks"] + found["rewritten-chunks"] and not documents:
        return f"tells of {dict(found)} where {kinds['other']} chunks are others"
    if odd and not found.keys() - CLEAN:
        return f"is clean where {odd}"
    return ""


def odd_changes(
    said: Mapping[str, Any],
    before: Mapping[Place, Row],
    after: Mapping[Place, Row],
    arrays: tuple[Collection[str], Collection[str]],
) -> str:
    """Return what an update says wrongly of what it changed; '' if it is right.

    ``arrays`` are the names of all before and after.
    """
    told = said["changes"]
    if told is None:
        return "says nothing of what it changed"
    present = [sum(row is not None for row in rows.values()) for rows in (before, after)]
    wanted: dict[str, Any] = {
        "expected": len(after) - len(before),
        "present": present[1] - present[0],
        "arrays_came": sorted({*arrays[1]} - {*arrays[0]}),
        "arrays_gone": sorted({*arrays[0]} - {*arrays[1]}),
    }
    odd = {key: (told[key], value) for key, value in wanted.items() if told[key] != value}
    return f"says {odd}" if odd else ""


def sample(odd: Differences, most: int = 4) -> Sequence[str]:
    """Return some differences, for people."""
    arrays = [f"{name} {why}" for name, why in odd.arrays.items()]
    chunks = [f"{name} {index} is {why}" for (name, index), why in odd.chunks.items()]
    return [*arrays, *chunks][:most]
