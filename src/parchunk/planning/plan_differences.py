"""What differs between two plans, in words."""

from __future__ import annotations

from parchunk.metadata.meaning import differences
from parchunk.metadata.spec import canonical
from parchunk.planning.joining.misfits import some_stores
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import Plan
from parchunk.wording import counted


def plan_differences(old: Plan, new: Plan) -> list[str]:
    """Return what differs between the plan that is there and a new one, a phrase each."""
    mine, theirs = old.content(), new.content()
    found = [
        f"{label} {mine[key]!r} there, {theirs[key]!r} now"
        for key, label in (
            ("source", "source"),
            ("group", "group"),
            ("split", "split"),
            ("region_length", "region length"),
            ("record_size", "record size"),
            ("inline_threshold", "inline threshold"),
            ("shards", "--shards"),
            ("include", "--include"),
            ("exclude", "--exclude"),
        )
        if mine[key] != theirs[key]
    ]
    formats = old.hierarchy.written_format, new.hierarchy.written_format
    if old.consolidated != new.consolidated:
        found.append(f"--consolidated {old.consolidated} there, {new.consolidated} now")
    if old.identity != new.identity:
        found.append(f"--identity {old.identity} there, {new.identity} now")
    if old.inline_coordinates != new.inline_coordinates:
        kept = ("kept inline there", "not now")
        gone = ("not kept inline there", "they are now")
        how = ", ".join(kept if old.inline_coordinates else gone)
        found.append(f"coordinates of dimensions are {how}")
    if formats[0] != formats[1]:
        found.append(f"--format v{formats[0]} there, v{formats[1]} now")
    found += store_differences(old.stores, new.stores)
    if getattr(old.inventory, "digest", None) != getattr(new.inventory, "digest", None):
        found.append(f"{old.inventory or 'a listing'} there, {new.inventory or 'a listing'} now")
    here = {a["array"]: a for a in mine["arrays"]}
    there = {a["array"]: a for a in theirs["arrays"]}
    found += [f"array {name} is only there" for name in here.keys() - there.keys()]
    found += [f"array {name} is only in the new plan" for name in there.keys() - here.keys()]
    if not found:
        for name in sorted(here):
            before, now = old.by_name[name].spec.shape, new.by_name[name].spec.shape
            if before != now:
                found.append(f"array {name} has shape {before} there, {now}")
        found += [] if found else differences(old.hierarchy, new.hierarchy)
    if not found and old.cuts != new.cuts:
        found.append("regions of other lengths")
    # As text: a NaN among attributes is not equal to itself.
    if not found and canonical(mine) != canonical(theirs):
        found.append("how its metadata is read")
    return found


def store_differences(old: StoreSet | None, new: StoreSet | None) -> list[str]:
    """Return what differs between the stores of two plans, a phrase each."""
    if old is None or new is None:
        return [] if old is new else ["one store there and many now, or the other way round"]
    found = []
    if old.joining != new.joining:
        found += old.joining.differences(new.joining)
    mine, theirs = [one.url for one in old.stores], [one.url for one in new.stores]
    gone, came = [u for u in mine if u not in {*theirs}], [u for u in theirs if u not in {*mine}]
    found += [f"only there: {counted(len(gone), 'store')} ({some_stores(gone)})"] if gone else []
    found += [f"new: {counted(len(came), 'store')} ({some_stores(came)})"] if came else []
    if not found and old.stores != new.stores:
        found.append("the order or the lengths of the stores")
    if not found and old.kept != new.kept:
        found.append("the coordinates that are kept inline")
    return found
