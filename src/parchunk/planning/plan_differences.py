"""What differs between two plans, in words."""

from __future__ import annotations

from parchunk.metadata.meaning import differences
from parchunk.metadata.spec import canonical
from parchunk.planning.plan import Plan


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
    if formats[0] != formats[1]:
        found.append(f"--format v{formats[0]} there, v{formats[1]} now")
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
    # As text: a NaN among attributes is not equal to itself.
    if not found and canonical(mine) != canonical(theirs):
        found.append("how its metadata is read")
    return found
