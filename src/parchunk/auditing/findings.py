"""Findings: what an audit has to say, one thing each, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from parchunk.out.output import BLOCKS

#: ``damage``: the references are not what a build writes. ``gap``: chunks are missing, not built
#: yet, or cannot be whole. ``change``: the source is no longer what was built from. ``notice``:
#: worth knowing; alone it leaves the references complete.
Severity = Literal["damage", "gap", "change", "notice"]

#: Every kind of finding, with its severity unless a policy lowers it.
KINDS: Mapping[str, Severity] = {
    "missing-root": "damage",
    "wrong-root": "damage",
    "bad-receipt": "damage",
    "receipt-mismatch": "damage",
    "missing-file": "damage",
    "unreadable-file": "damage",
    "wrong-columns": "damage",
    "wrong-encoding": "damage",
    "wrong-rows": "damage",
    "wrong-digest": "damage",
    "wrong-path": "damage",
    "duplicate-path": "damage",
    "wrong-offset": "damage",
    "wrong-size": "damage",
    "extra-file": "damage",
    "unfinished": "gap",
    "missing-chunks": "gap",
    "ends-early": "gap",
    "other-spelling": "gap",
    "zero-sized": "gap",
    "impossible-size": "gap",
    "undecodable": "gap",
    "source-metadata": "change",
    "new-array": "change",
    "gone-array": "change",
    "new-chunks": "change",
    "gone-chunks": "change",
    "changed-chunks": "change",
    "rewritten-chunks": "change",
    "repository": "change",
    "lacking": "notice",
    "left-out": "notice",
    "strays": "notice",
    "chunkless": "notice",
    "uneven-labels": "notice",
    "size-outliers": "notice",
    "all-fill": "notice",
    "shared-ranges": "notice",
    "unverified": "notice",
    "untimed": "notice",
    "as-of-inventory": "notice",
}


@dataclass(frozen=True)
class Finding:
    """One finding. ``message`` and ``remedy`` are for people; the rest is for programs.

    ``kind`` is a word of docs/audit.md; ``severity`` is ``"damage"``, ``"change"``, ``"gap"`` or
    ``"notice"``, of which the last leaves the references complete.
    ``region`` is None for a whole array and where no region is meant; ``key`` is a path below
    OUT, or a chunk key of the source, that shows what is meant. ``count`` is how many rows,
    chunks or files it is about.
    """

    kind: str
    severity: Severity
    message: str
    remedy: str
    array: str | None = None
    region: int | None = None
    key: str | None = None
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return asdict(self)


def finding(
    kind: str,
    message: str,
    remedy: str,
    *,
    severity: Severity | None = None,
    array: str | None = None,
    region: int | None = None,
    key: str | None = None,
    count: int = 1,
) -> Finding:
    """Return a finding of a known kind, with the kind's severity unless another is given."""
    return Finding(kind, severity or KINDS[kind], message, remedy, array, region, key, count)


def rebuild(receipt: str, array: str) -> str:
    """Return the remedy for a damaged partition, whose receipt is at ``receipt`` below OUT."""
    if receipt.startswith(f"{BLOCKS}/"):  # with those of others
        return f"run {listed_again(array, None)}: it writes that array anew"
    return f"delete {receipt} and run parchunk update OUT: it writes that partition anew"


def listed_again(array: str, region: int | None) -> str:
    """Return the command that lists a partition again, and writes it anew."""
    which = f"--arrays {shlex.quote(array)}" if region is None else f"--regions {region}"
    return f"parchunk update OUT {which}"
