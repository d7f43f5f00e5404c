"""What an audit says of the differences between the source and the references."""

from __future__ import annotations

from collections.abc import Iterator

from parchunk.auditing.differences import RegionChanges
from parchunk.auditing.findings import Finding, finding, listed_again
from parchunk.auditing.objects import objects_of
from parchunk.wording import counted

#: What is kept of objects, in words.
IDENTITY_WORDS = {"time": "times", "etag": "entity tags"}

#: Of objects that were read again: their sizes are those of the references, and no time is later
#: than the newest of their region when it was listed.
_UNSEEN = ", though no size or time in the listing says that they changed since the build"

_REMEDY = {
    "new": "run {}",
    "gone": "have the producer restore them, as readers of the references fail here; or run {}, "
    "after which they count as missing",
    "changed": "run {}: readers ask for the old {}",
    "rewritten": "run {}, which keeps what they are now; an Icechunk repository that pins them "
    "needs parchunk to-icechunk after that",
}
#: Where an update is refused, as stores are no longer one dataset: what can be done about these.
_WITHOUT_UPDATE = {
    "new": "see what became of the stores first: until they are one dataset again no update is "
    "made",
    "gone": "have the producer restore them, as readers of the references fail here; until the "
    "stores are one dataset again no update is made",
}


def change_findings(
    region: RegionChanges, updatable: bool = True, lost_array: str = "", options: str = ""
) -> Iterator[Finding]:
    """Yield what is to be said of one partition's differences; updates may be refused for now.

    ``lost_array`` is what to do where its array is gone, or became shorter: its chunks are not
    missing, but no part of it any more. ``options`` are those without which no update is made.
    """
    where = region.array if region.region is None else f"{region.array}, region {region.region}"
    objects = objects_of(region.spec)
    update = f"{listed_again(region.array, region.region)}{options}"
    anew = f"run {update}"
    if not updatable:
        anew = _WITHOUT_UPDATE["new"]
    if len(region.overrun):
        shards = counted(len(region.overrun), "shard")
        keys = region.keys(region.overrun[:3])
        yield finding(
            "wrong-offset",
            f"{where}: references reach past the end of {shards}{_UNSEEN}: {', '.join(keys)}",
            anew,
            array=region.array,
            region=region.region,
            key=keys[0],
            count=len(region.overrun),
        )
    yield from _contradictions(region, where, anew)
    kept = region.identity != "none"
    for kind, numbers, said in (
        ("new", region.new, "are in the source and not in the references"),
        ("gone", region.gone, "are referenced and no longer in the source"),
        ("changed", region.resized if kept else region.changed, "changed since the build"),
        ("rewritten", region.rewritten if kept else region.rewritten[:0], objects.written_anew),
    ):
        if not len(numbers):
            continue
        keys = region.keys(numbers[:3])
        more = f" and {len(numbers) - 3:,} more" if len(numbers) > 3 else ""
        told = f"{len(numbers):,} {objects.word} {said}"
        if len(numbers) == 1:
            one = said.replace("are ", "is ").replace("were ", "was ")
            told = f"1 {objects.word.removesuffix('s')} {one}"
        detail = ""
        if kind == "changed":
            again = 0 if kept else len(region.rewritten)
            detail = f" ({objects.resized_text(len(region.resized), again)})"
        if kind == "rewritten":
            detail = f", as their {IDENTITY_WORDS[region.identity]} say"
        yield finding(
            f"{kind}-chunks",
            f"{where}: {told}{detail}: {', '.join(keys)}{more}",
            lost_array
            if kind == "gone" and lost_array and updatable
            else _remedy(region, kind, updatable, update, options),
            array=region.array,
            region=region.region,
            key=keys[0],
            count=len(numbers),
        )


def _remedy(region: RegionChanges, kind: str, updatable: bool, update: str, options: str) -> str:
    """Return what to do about one kind of differences; ``update`` lists the partition again."""
    if not updatable:
        return _WITHOUT_UPDATE["gone" if kind == "gone" else "new"]
    if kind == "changed" and region.spec.inner_chunks is None and not len(region.resized):
        kind = "rewritten"  # of the sizes that readers ask for
    asked = "sizes" if region.spec.inner_chunks is None else "ranges"
    return _REMEDY[kind].format(f"parchunk update OUT{options}" if kind == "new" else update, asked)


def untimed_findings(count: int, probed: bool) -> list[Finding]:
    """Return that the times of so many objects were not compared, as nothing says them."""
    if not count:
        return []
    where, other = ("server", "--inventory FILE") if probed else ("inventory", "one")
    return [
        finding(
            "untimed",
            f"times not compared: the {where} has none of {counted(count, 'object')}; sizes are "
            "compared, and what was written again in the same size is not told",
            f"audit with {other} that has times (a column last_modified) of all objects, to learn "
            "of that, too",
            count=count,
        )
    ]


def _contradictions(region: RegionChanges, where: str, again: str) -> Iterator[Finding]:
    """Yield what the objects themselves say against the references, though none has changed."""
    found = region.contradicted
    for kind, numbers, one, said, remedy in (
        (
            "wrong-offset",
            found.index,
            "shard",
            f"references do not say what the indexes of {{}} say{_UNSEEN}",
            again,
        ),
        (
            "wrong-path",
            found.bytes,
            "object",
            f"other bytes are inlined than {{}} hold{_UNSEEN}",
            again,
        ),
        (
            "changed-chunks",
            found.unreadable,
            "shard",
            "the indexes of {} are damaged",
            f"have the producer write these shards anew, then {again}",
        ),
    ):
        if len(numbers):
            keys = region.keys(numbers[:3])
            more = f" and {len(numbers) - 3:,} more" if len(numbers) > 3 else ""
            yield finding(
                kind,
                f"{where}: {said.format(counted(len(numbers), one))}: {', '.join(keys)}{more}",
                remedy,
                array=region.array,
                region=region.region,
                key=keys[0],
                count=len(numbers),
            )
