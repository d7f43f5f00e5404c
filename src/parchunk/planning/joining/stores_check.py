"""Whether the stores of a plan.json are some: types and ranges, before anything is read by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from parchunk.metadata.names import name_problem

_LARGEST = (1 << 63) - 1
#: Bytes of a kept chunk in base64, at most.
_LONGEST = 256 << 20


def check_stores(document: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Check ``cuts`` and ``stores`` of a plan.json whose other entries have been checked.

    ``shapes`` are those of its arrays.

    Raises
    ------
    ValueError
        Naming the entry that is wrong.
    """
    cuts = document.get("cuts", [])
    _require(type(cuts) is list and all(type(cut) is int for cut in cuts), "cuts")
    _require(not cuts or (len(cuts) > 1 and cuts[0] == 0 and cuts[-1] <= _LARGEST), "cuts")
    _require(all(before < after for before, after in pairwise(cuts)), "cuts")
    if document.get("period") is not None and "stores" not in document:
        _check_cuts(document, cuts, shapes, several=True)
        return
    stores = document.get("stores")
    _require(type(stores) is dict, "stores without an entry")
    entries = stores["stores"]
    _require(type(entries) is list and bool(entries), "stores")
    for entry in entries:
        _require(type(entry) is list and len(entry) == 4, "stores")
        url, below, start, stop = entry
        _require(type(url) is str and type(below) is str, "stores")
        _require(not below or name_problem(below) is None, "the group of a store")
        _require(type(start) is int and type(stop) is int and 0 <= start <= stop, "stores")
    _require(type(stores["places"]) is dict and stores["places"].keys() <= shapes.keys(), "places")
    series = stores.get("series", [])
    _require(type(series) is list and all(type(n) is int and n > 0 for n in series), "series")
    _require(not series or sum(series) == len(entries), "series")
    for name, place in stores["places"].items():
        _require(type(place) is list and len(place) in (3, 4), "places")
        axis, stacked, held, *which = place
        _require(all(type(n) is int and 0 <= n < len(series) for n in which), "places")
        rank = len(shapes[name])
        _require(axis is None or (type(axis) is int and 0 <= axis < rank), "places")
        _require(type(stacked) is bool and (not stacked or axis == 0), "places")
        _require(
            held is None
            or (type(held) is list and all(type(s) is int and 0 <= s < len(entries) for s in held)),
            "places",
        )
    _require(type(stores["kept"]) is dict and stores["kept"].keys() <= shapes.keys(), "kept")
    for chunk in stores["kept"].values():
        _require(chunk is None or (type(chunk) is str and len(chunk) <= _LONGEST), "kept")
    for key in ("given", "notes", "labels"):
        texts = stores[key]
        _require(type(texts) is list and all(type(text) is str for text in texts), key)
    along = stores["concat"] is not None or stores["stack"] is not None
    _check_cuts(document, cuts, shapes, several=len(series) > 1 or not along)


def _check_cuts(
    document: Any, cuts: list[int], shapes: Mapping[str, Sequence[int]], several: bool
) -> None:
    """Check that regions end where arrays do.

    They may begin within chunks: of another series, or of an array that came later. Of ``several``
    series, and of one store, arrays may end before others.
    """
    for entry in document["arrays"]:
        if not cuts or entry.axis is None:
            continue
        length = shapes[entry.array][entry.axis]
        _require(0 < length <= cuts[-1] if several else length == cuts[-1], "cuts")


def _require(right: bool, what: str) -> None:
    if not right:
        raise ValueError(f"wrong entry: {what}")
