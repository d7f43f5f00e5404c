"""Sorted rows of an inventory, kept in OUT while machines share a build: each fetches its share.

Pieces are named by what is in them, and an index that is written last says which there are. So two
who keep the same rows at once do each other no harm, and what was cut short is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from parchunk.errors import InputError, OutputError
from parchunk.inventories.pieces import Piece, Pieces, piece_digest, pieces_of
from parchunk.inventories.sorted_objects import SortedObjects
from parchunk.out.output import INVENTORY, Output
from parchunk.out.side_by_side import of_each
from parchunk.planning.inventory import mark_of
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Sorts before the pieces, so that it is deleted before them.
_INDEX = f"{INVENTORY}/index.json"
_VERSION = 1


def keep_rows(source: Source, output: Output) -> None:
    """Keep the rows of a source's inventory in OUT, unless they are there; none of a listing."""
    objects = source.objects
    if objects is None:
        return
    wanted = _wanted(source, objects.identity, objects.digest)
    if _said(output, wanted) is not None:
        return
    pieces = []
    for piece, data in pieces_of(objects):
        output.put(_path(piece), data)
        pieces.append(asdict(piece))
    taken = objects.taken.isoformat()
    index = {**wanted, "taken": taken, "objects": objects.count, "pieces": pieces}
    output.put(_INDEX, json.dumps(index, indent=0).encode())


def kept_rows(plan: Plan, source: Source, output: Output) -> SortedObjects | None:
    """Return the rows of a source's inventory, or of the plan's, as OUT keeps them; None: it does
    not.

    Nothing but the index is read before a key is asked for.
    """
    mark = mark_of(source) or plan.inventory
    if mark is None:
        return None
    index = _said(output, _wanted(source, plan.identity, mark.digest))
    if index is None:
        return None
    try:
        pieces = [Piece(**piece) for piece in index["pieces"]]
        count = sum(piece.rows for piece in pieces)
        if not count == index["objects"] == mark.objects or {type(p.first) for p in pieces} - {str}:
            return None
        taken = datetime.fromisoformat(index["taken"])
    except (KeyError, TypeError, ValueError):
        return None
    found = Pieces(pieces, _Fetch(output))
    return SortedObjects("", mark.objects, mark.digest, taken, identity=plan.identity, pieces=found)


def forget_rows(output: Output) -> None:
    """Delete what is kept of an inventory: the build that was shared is done."""
    paths = output.paths(INVENTORY)
    if _INDEX in paths:
        output.delete(_INDEX)
        paths.remove(_INDEX)
    for _ in of_each(output, output.delete, paths):
        pass


@dataclass(frozen=True)
class _Fetch:
    """Fetches pieces from OUT, in whatever process."""

    output: Output

    def __call__(self, piece: Piece) -> bytes:
        path = _path(piece)
        data = self.output.get(path)
        if data is None:
            raise InputError(
                f"{self.output.describe(path)}, rows of the inventory, is not there any more: the "
                "build was finished or begun anew meanwhile; run the same again"
            )
        if piece_digest(data) != piece.digest:
            raise OutputError(
                f"{self.output.describe(path)}, rows of the inventory, is damaged: delete "
                f"{self.output.describe(INVENTORY)}, and run the same again, which reads the "
                "inventory itself"
            )
        return data


def _wanted(source: Source, identity: str, digest: str) -> dict[str, Any]:
    """Return what an index says that is of some rows; these are known by places in their store."""
    return {
        "parchunk_inventory": _VERSION,
        "source": source.url,
        "prefix": source.prefix,
        "identity": identity,
        "digest": digest,
    }


def _said(output: Output, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the index in OUT if it says what is wanted."""
    try:
        index = json.loads(output.get(_INDEX) or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(index, dict):
        return None
    return index if all(index.get(name) == value for name, value in wanted.items()) else None


def _path(piece: Piece) -> str:
    return f"{INVENTORY}/rows-{piece.digest}.parquet"
