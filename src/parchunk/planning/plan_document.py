"""plan.json read back: a `Plan`, or why it is none.

An array at a time, where it is as it was written: its text takes twice what is kept of it, and what
`json.loads` would make of that twenty times as much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parchunk.errors import InputError
from parchunk.metadata.gathering import Path, Take, gathered
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.inventory import InventoryMark
from parchunk.planning.joining.regions import array_with_cuts
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import (
    MOST_CHUNKS,
    MOST_PARTITIONS,
    PLAN_VERSION,
    ArrayPlan,
    Plan,
    Split,
)
from parchunk.planning.plan_checks import ArrayEntry, check_array, check_document, entry_of
from parchunk.stores.opening import Location

#: What a document that is no plan ends in.
_WRONG = (
    InputError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
)


def takes_of_plan(below: Path = ()) -> Mapping[Path, Take]:
    """Return what is held of the arrays of a plan at a path of a document, for `gathered`."""
    return {
        (*below, "arrays"): lambda _, entry: entry_of(entry),
        (*below, "hierarchy", "arrays"): lambda _, entry: _array_of(entry),
        (*below, "regions"): lambda _, entry: None,  # for people
    }


def parse_document(data: bytes, takes: Mapping[Path, Take]) -> Any:
    """Return a document that holds plans, of which arrays are taken where it is as it was written.

    Where it is not, or is none, arrays are as JSON has them: `read_plan` says what is wrong.

    Raises
    ------
    ValueError, RecursionError
        When it is no JSON.
    """
    try:
        return gathered(data, takes)
    except _WRONG:
        return json.loads(data)


def read_plan(document: Any, where: str = "plan.json") -> Plan:
    """Return the plan of a plan.json document, whose arrays may have been taken by now.

    Raises
    ------
    InputError
        When the document is no plan, of an unknown version, or edited by hand.
    """
    try:
        if type(document) is not dict:
            raise TypeError("no JSON object")
        if document["parchunk_plan"] != PLAN_VERSION:
            raise InputError(
                f"{where} is of version {document['parchunk_plan']!r}, this parchunk reads "
                f"{PLAN_VERSION}: use the parchunk that wrote it, or build again elsewhere"
            )
        document = _with_arrays(document)
        check_document(document)
        plan = _made(document)
        if plan.fingerprint != document["fingerprint"]:
            raise InputError(
                f"{where} does not match its own fingerprint: it was changed after it was "
                "written; restore it, or build again with --overwrite"
            )
        count = sum(array.regions for array in plan.arrays)
        if count > MOST_PARTITIONS:
            raise ValueError(f"{count:,} partitions")
    except InputError:
        raise
    except _WRONG as error:
        raise InputError(
            f"{where} is no parchunk plan ({type(error).__name__}: {error}"[:400]
            + "): restore it, or build again with --overwrite"
        ) from None
    return plan


def _with_arrays(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose arrays are taken, which they may be by now."""
    hierarchy, entries = document["hierarchy"], document["arrays"]
    if type(hierarchy) is not dict or not type(hierarchy["arrays"]) is type(entries) is list:
        raise ValueError("its arrays are no list")
    specs = [e if isinstance(e, ArraySpec) else _array_of(e) for e in hierarchy["arrays"]]
    taken = [e if isinstance(e, ArrayEntry) else entry_of(e) for e in entries]
    return {**document, "hierarchy": {**hierarchy, "arrays": specs}, "arrays": taken}


def _array_of(entry: Any) -> ArraySpec:
    check_array(entry, MOST_CHUNKS)
    return ArraySpec.from_json(entry)


def _made(document: dict[str, Any]) -> Plan:
    hierarchy = Hierarchy.from_json(document["hierarchy"])
    specs = {spec.name: spec for spec in hierarchy.arrays}
    split = document["split"]
    cuts = tuple(document.get("cuts", ()))
    stores = document.get("stores")
    inventory = document.get("inventory")
    return Plan(
        location=Location(document["source"], tuple(sorted(document["source_options"].items()))),
        group=document["group"],
        hierarchy=hierarchy,
        split=None if split is None else Split(split["dimension"], split["axis"]),
        region_length=document["region_length"],
        record_size=document["record_size"],
        inline_threshold=document["inline_threshold"],
        arrays=tuple(
            array_with_cuts(specs[entry.array], entry.axis, cuts)
            if cuts
            else ArrayPlan(specs[entry.array], entry.axis, entry.region_chunks)
            for entry in document["arrays"]
        ),
        include=tuple(document["include"]),
        exclude=tuple(document["exclude"]),
        lone_array=document["lone_array"],
        shards=document["shards"],
        consolidated=document.get("consolidated", "auto"),
        cuts=cuts,
        period=document.get("period"),
        stores=None if stores is None else StoreSet.from_json(stores),
        inventory=None if inventory is None else InventoryMark(**inventory),
        inline_coordinates=document.get("inline_coordinates", False),
        identity=document.get("identity", "none"),
    )
