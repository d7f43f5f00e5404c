"""plan.json read back: a `Plan`, or why it is none."""

from __future__ import annotations

from typing import Any

from parchunk.errors import InputError
from parchunk.metadata.spec import Hierarchy
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
from parchunk.planning.plan_checks import check_document
from parchunk.stores.opening import Location


def read_plan(document: Any, where: str = "plan.json") -> Plan:
    """Return the plan of a plan.json document.

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
        check_document(document, MOST_CHUNKS)
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
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        LookupError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{where} is no parchunk plan ({type(error).__name__}: {error}"[:400]
            + "): restore it, or build again with --overwrite"
        ) from None
    return plan


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
            array_with_cuts(specs[entry["array"]], entry["axis"], cuts)
            if cuts
            else ArrayPlan(specs[entry["array"]], entry["axis"], entry["region_chunks"])
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
