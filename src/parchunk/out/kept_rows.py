"""Sorted rows of an inventory, kept in OUT while machines share a build: each fetches its share.

Pieces are named by what is in them, and an index that is written last says which there are. So two
who keep the same rows at once do each other no harm, and what was cut short is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from parchunk.errors import InputError, OutputError
from parchunk.inventories.pieces import Piece, Pieces, piece_digest, pieces_of
from parchunk.inventories.sorted_objects import Origin, SortedObjects
from parchunk.out.output import INVENTORY, SORTING, Output
from parchunk.out.side_by_side import of_each
from parchunk.planning.inventory import mark_of
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Sorts before the pieces, so that it is deleted before them.
_INDEX = f"{INVENTORY}/index.json"
_VERSION = 2


class RowsGoneError(InputError):
    """Rows that OUT kept were deleted while they were looked into: others finished the build."""


def keep_rows(source: Source, output: Output) -> None:
    """Keep the rows of a source's inventory in OUT, unless they are there; none of a listing."""
    objects = source.objects
    if objects is None:
        return
    wanted = {**_wanted(source, objects.digest), "identity": objects.identity}
    if _said(output, wanted) is not None:
        return
    pieces = []
    for piece, data in pieces_of(objects):
        output.put(_path(piece), data)
        pieces.append(asdict(piece))
    said = {"taken": objects.taken.isoformat(), "objects": objects.count}
    given = {} if objects.origin is None else {"given": _given(objects.origin)}
    head = {"parchunk_inventory": _VERSION, **wanted}
    output.put(_INDEX, json.dumps({**head, **said, **given, "pieces": pieces}, indent=0).encode())


def kept_rows(plan: Plan, source: Source, output: Output) -> SortedObjects | None:
    """Return the rows of a source's inventory, or of the plan's, as OUT keeps them; None: it does
    not.

    Nothing but the index is read before a key is asked for.
    """
    mark = mark_of(source) or plan.inventory
    if mark is None:
        return None
    found = _objects(output, _wanted(source, mark.digest))
    if found is None or found.count != mark.objects:
        return None
    return found if plan.identity in ("none", found.identity) else None


def rows_given(origin: Origin, identity: str, output: Output) -> SortedObjects | None:
    """Return the rows of the files that an inventory is to be read from, if OUT keeps those.

    That is told by the files' sizes and times, or entity tags, and not by what is in them.
    """
    if not all(origin.marks):
        return None
    found = _objects(output, {"identity": identity, "given": _given(origin)})
    return None if found is None else replace(found, origin=origin)


def _objects(output: Output, wanted: Mapping[str, Any]) -> SortedObjects | None:
    """Return the rows in OUT if these are what is wanted."""
    index = _said(output, wanted)
    if index is None:
        return None
    try:
        pieces = [Piece(**piece) for piece in index["pieces"]]
        count, taken = sum(piece.rows for piece in pieces), index["taken"]
        texts = [text for piece in pieces for text in (piece.first, piece.digest)]
        if count != index["objects"] or {*map(type, texts)} - {str}:
            return None
        return SortedObjects(
            "",
            count,
            index["digest"],
            datetime.fromisoformat(taken),
            identity=index["identity"],
            pieces=Pieces(pieces, _Fetch(output)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def forget_rows(output: Output) -> None:
    """Delete what is kept of an inventory: the build that was shared is done."""
    paths = [*output.paths(INVENTORY), SORTING]
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
        if data is None and piece.digest.encode() not in (self.output.get(_INDEX) or b""):
            raise RowsGoneError(
                f"{self.output.describe(path)}, rows of the inventory, is not there any more: the "
                "build was finished or begun anew meanwhile; run the same again"
            )
        if data is None or piece_digest(data) != piece.digest:
            raise OutputError(
                f"{self.output.describe(path)}, rows of the inventory, is "
                f"{'lost' if data is None else 'damaged'}: delete "
                f"{self.output.describe(INVENTORY)}, and run the same again, which reads the "
                "inventory itself"
            )
        return data


def _wanted(source: Source, digest: str) -> dict[str, Any]:
    """Return what an index says that is of some rows; these are known by places in their store."""
    return {
        "source": source.url,
        "prefix": source.prefix,
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
    wanted = {"parchunk_inventory": _VERSION, **wanted}
    return index if all(index.get(name) == value for name, value in wanted.items()) else None


def _given(origin: Origin) -> dict[str, Any]:
    """Return what an index says of the files that rows were read from; JSON has no tuples."""
    return {
        "marks": list(origin.marks),
        "root": origin.root,
        "place": list(origin.place),
    }


def _path(piece: Piece) -> str:
    return f"{INVENTORY}/rows-{piece.digest}.parquet"
