"""Whether a plan.json is one: types and ranges, before anything is computed from it.

Its fingerprint proves nothing here, as whoever can write the file can write that too: array names
become folders, lengths become loops and allocations.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

from parchunk.metadata.consolidated import MODES
from parchunk.metadata.names import name_problem, path_problem
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.joining.stores_check import check_stores
from parchunk.stores.identity import IDENTITIES
from parchunk.stores.options import PUBLIC_OPTIONS

_MOST_ROWS = 10_000_000
_LARGEST = (1 << 63) - 1
_PERIOD = r"year|month|day|[1-9]\d{0,5}D"
_DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class ArrayEntry(NamedTuple):
    """How an array is split: an entry of the document's arrays."""

    array: str
    axis: int | None
    region_chunks: int


def entry_of(value: Any) -> ArrayEntry:
    """Return an entry of the document's arrays, as yet unchecked.

    Raises
    ------
    ValueError, KeyError
        When it is none.
    """
    _require(type(value) is dict, "arrays")
    return ArrayEntry(value["array"], value["axis"], value["region_chunks"])


def check_document(document: Any) -> None:
    """Check the document of a plan.json, whose arrays are checked and made by now.

    Raises
    ------
    ValueError
        Naming the entry that is wrong. Absent entries are found by who reads them: KeyError.
    """
    _require(type(document) is dict, "the document")
    _text(document["source"], "source")
    _text(document["group"], "group")
    _require(not document["group"] or path_problem(document["group"]) is None, "group")
    _text(document["fingerprint"], "fingerprint")
    options = document["source_options"]
    _require(type(options) is dict and PUBLIC_OPTIONS.issuperset(options), "source_options")
    for value in options.values():
        _text(value, "source_options")
    _whole(document["region_length"], 0, _LARGEST, "region_length")
    _whole(document["record_size"], 1, _MOST_ROWS, "record_size")
    _whole(document["inline_threshold"], 0, _LARGEST, "inline_threshold")
    _require(type(document["lone_array"]) is bool, "lone_array")
    for entry in ("include", "exclude"):
        for glob in _list(document[entry], entry):
            _text(glob, entry)
    _require(document["shards"] in ("expand", "whole"), "shards")
    _require(document.get("consolidated", "auto") in MODES, "consolidated")
    _require(type(document.get("inline_coordinates", False)) is bool, "inline_coordinates")
    _require(document.get("identity", "none") in IDENTITIES, "identity")
    split = document["split"]
    if split is not None:
        _require(type(split) is dict, "split")
        if split["dimension"] is not None:
            _text(split["dimension"], "split")
        if split["axis"] is not None:
            _whole(split["axis"], 0, 1000, "split")
    specs = _check_hierarchy(document["hierarchy"])
    if "inventory" in document:
        _check_inventory(document["inventory"])
    period = document.get("period")
    is_one = type(period) is str and re.fullmatch(_PERIOD, period) and "cuts" in document
    _require(period is None or bool(is_one), "period")
    if "cuts" in document or "stores" in document:
        check_stores(document, {spec.name: spec.shape for spec in specs})
    entries = _list(document["arrays"], "arrays")
    _require(len(entries) == len(specs), "arrays")
    for spec, entry in zip(specs, entries, strict=True):
        _require(entry.array == spec.name, "arrays")
        if entry.axis is None:
            _require(entry.region_chunks == 0, "region_chunks")
        else:
            _whole(entry.axis, 0, spec.rank - 1, "axis")
            _whole(entry.region_chunks, 1, _LARGEST, "region_chunks")
            if spec.inner_chunks is not None:
                shard = spec.chunks[entry.axis] // spec.inner_chunks[entry.axis]
                _require(entry.region_chunks % shard == 0, "region_chunks within a shard")


def _check_inventory(inventory: Any) -> None:
    _require(type(inventory) is dict, "inventory")
    taken = inventory["taken"]
    _require(type(taken) is str and re.fullmatch(_DATE, taken) is not None, "inventory")
    _text(inventory["digest"], "inventory")
    _whole(inventory["objects"], 0, _LARGEST, "inventory")


def check_array(spec: Any, most_chunks: int) -> None:
    """Check an entry of the hierarchy's arrays.

    Raises
    ------
    ValueError
        As for `check_document`.
    """
    _check_node(spec, "array")
    _require(bool(spec["name"]), f"the name {spec['name']!r:.80}")
    rank = len(_list(spec["shape"], "shape"))
    for size in spec["shape"]:
        _whole(size, 0, _LARGEST, "shape")
    for size in _list(spec["chunks"], "chunks"):
        _whole(size, 1, _LARGEST, "chunks")
    _require(rank == len(spec["chunks"]) == len(spec["dimension_names"]) <= 64, "rank")
    for dimension in _list(spec["dimension_names"], "dimension_names"):
        _require(dimension is None or type(dimension) is str, "dimension_names")
    pointed_at = spec["chunks"]
    if spec["inner_chunks"] is not None:
        pointed_at = _list(spec["inner_chunks"], "inner_chunks")
        _require(rank == len(pointed_at), "rank")
        for size, inner in zip(spec["chunks"], pointed_at, strict=True):
            _whole(inner, 1, size, "inner_chunks")
            _require(size % inner == 0, "inner_chunks")
    total = prod(-(-s // c) for s, c in zip(spec["shape"], pointed_at, strict=True))
    _require(total <= most_chunks, "the number of chunks")
    _text(spec["dtype"], "dtype")
    _whole(spec["itemsize"], 0, _LARGEST, "itemsize")
    keys = spec["keys"]
    _require(type(keys) is dict and type(keys["marker"]) is str, "keys")
    _require(keys["marker"] in ("", "c") and keys["separator"] in ("/", "."), "keys")


def _check_hierarchy(hierarchy: Any) -> list[ArraySpec]:
    """Check all but the arrays, which are returned."""
    _require(type(hierarchy) is dict, "hierarchy")
    specs: list[ArraySpec] = _list(hierarchy["arrays"], "hierarchy")
    names: set[str] = set()
    for spec in specs:
        _require(spec.name not in names, f"the name {spec.name!r:.80}")
        names.add(spec.name)
    for group in _list(hierarchy["groups"], "hierarchy"):
        _check_node(group, "group")
    for entry, width in (("refused", 3), ("skipped", 2), ("left_out", 2)):
        for item in _list(hierarchy.get(entry, []) if width == 2 else hierarchy[entry], entry):
            _require(len(_list(item, entry)) == width, entry)
            for text in item:
                _text(text, entry)
    for name in _list(hierarchy.get("absent", []), "absent"):
        _text(name, "absent")
    for warning in _list(hierarchy["warnings"], "warnings"):
        _text(warning, "warnings")
    _whole(hierarchy["written_format"], 2, 3, "written_format")
    return specs


def _check_node(node: Any, kind: str) -> None:
    _require(type(node) is dict, f"an {kind}")
    _text(node["name"], f"the name of an {kind}")
    problem = name_problem(node["name"]) if node["name"] else None
    _require(problem is None, f"the name {node['name']!r:.80}: {problem}")
    _whole(node["zarr_format"], 2, 3, "zarr_format")
    _require(type(node["document"]) is dict and type(node["attributes"]) is dict, "a document")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} cannot be")


def _text(value: object, what: str) -> None:
    _require(type(value) is str, what)


def _whole(value: object, least: int, most: int, what: str) -> None:
    # Not isinstance: true is an int to Python, and no length.
    _require(type(value) is int and least <= value <= most, what)


def _list(value: Any, what: str) -> list[Any]:
    _require(type(value) is list, what)
    found: list[Any] = value
    return found
