"""What became of each array of a plan since it was made. No I/O.

An array that grew along its leading axis alone keeps the number of every chunk. All else gives
chunks other numbers, or other meanings, so that nothing of it can be written over what readers see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from parchunk.errors import InputError
from parchunk.metadata.choosing import some_of
from parchunk.metadata.meaning import array_differences, attribute_differences, hold_the_same
from parchunk.metadata.spec import ArraySpec, Hierarchy, canonical
from parchunk.planning.joining.comparing import is_meaning
from parchunk.planning.joining.store_set import StoreSet
from parchunk.planning.plan import Plan

#: Entries of an array's document that may change from one plan to the next.
FREE = ("shape", "attributes")


@dataclass(frozen=True)
class Changes:
    """Arrays by what became of them, each with what a message says of it.

    ``renumbered`` grew along a later axis: chunks that were there have other numbers. ``shrunk``
    ones became shorter along any axis. ``other`` ones have chunks that mean something else, and
    ``reread`` ones bytes in the references that do so by their attributes, whatever else became
    of them. ``lost`` ones are gone from some of many stores, whose chunks are missing then.
    """

    gone: tuple[str, ...] = ()
    renumbered: Mapping[str, str] = field(default_factory=dict)
    shrunk: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    reread: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        """Whether readers of what is there may go on while it is brought up to date."""
        return not (self.gone or self.renumbered or self.shrunk or self.other or self.reread)

    @property
    def moved(self) -> frozenset[str]:
        """The arrays whose chunks mean what they did, at other places."""
        return (frozenset(self.renumbered) | frozenset(self.shrunk)) - frozenset(self.reread)

    def losses(self) -> dict[str, list[str]]:
        """Return what is lost, in words, by the option of an update that allows it."""
        gone = [f"{name} is gone" for name in self.gone]
        gone += [f"{name} {what}" for name, what in self.lost.items()]
        shrunk = [f"{name} {what}" for name, what in self.shrunk.items()]
        return {"--allow-gone": gone, "--allow-shrink": shrunk}

    def notes(self) -> list[str]:
        """Return lines on what was done with them."""
        alike: dict[str, list[str]] = {}
        for name, what in {**self.other, **self.reread}.items():
            alike.setdefault(what, []).append(name)
        found = [
            f"{some[0]} {what}: it was built anew"
            if len(some) == 1
            else f"{some_of(some)}: each {what}: they were built anew"
            for what, some in alike.items()
        ]
        if len(self.gone) == 1:
            found.append(f"{self.gone[0]} is gone: its references were deleted")
        elif self.gone:
            found.append(f"{some_of(self.gone)} are gone: their references were deleted")
        if not self.in_place:
            found.append(
                "references were replaced by others of the same names: readers that had OUT open "
                "must open it again"
            )
        return found


def changes_of(old: Plan, hierarchy: Hierarchy) -> Changes:
    """Return what became of the arrays of ``old``; those that are kept inline are left out."""
    specs = {spec.name: spec for spec in hierarchy.arrays}
    kept = frozenset() if old.stores is None else old.stores.kept.keys()
    renumbered: dict[str, str] = {}
    shrunk: dict[str, str] = {}
    other: dict[str, str] = {}
    reread: dict[str, str] = {}
    for name, array in old.by_name.items():
        if name not in specs or name in kept:
            continue
        before, now = array.spec, specs[name]
        changed = unlike(before, now)
        if changed:
            other[name] = f"has other metadata ({changed[0]})"
            continue
        read = read_otherwise(old, now)
        if read:
            reread[name] = _as_read_otherwise(read)
        for axis, (was, size) in enumerate(zip(before.shape, now.shape, strict=True)):
            if size < was:
                shrunk[name] = f"became shorter along axis {axis} ({was} to {size})"
                break
        for axis in range(1, before.rank):
            if before.reference_grid[axis] != now.reference_grid[axis]:
                if name not in shrunk:
                    was, size = before.shape[axis], now.shape[axis]
                    renumbered[name] = (
                        f"grew along axis {axis} ({was} to {size}), which gives its chunks other "
                        "numbers"
                    )
                break
    gone = tuple(name for name in old.by_name if name not in specs)
    return Changes(gone, renumbered, shrunk, other, reread=reread)


def changes_of_stores(old: Plan, new: Plan) -> Changes:
    """Return what became of the arrays of joined stores, those that are kept inline included.

    Such a one is one chunk: a longer one has the name of the one before, of which readers of before
    make nothing.
    """
    found = changes_of(old, new.hierarchy)
    other, reread = dict(found.other), dict(found.reread)
    lost: dict[str, str] = {}
    for name in old.by_name:
        if name not in new.by_name or old.stores is None:
            continue
        if name not in old.stores.kept:
            if name not in other:
                lost |= lost_from_some(old.stores, new.stores, name)
            continue
        before, now = old.by_name[name].spec, new.by_name[name].spec
        read = read_otherwise(old, now)
        if before.reference_chunks != now.reference_chunks or unlike(before, now):
            other.setdefault(name, "is kept as one chunk, which is another")
        elif read:
            reread[name] = _as_read_otherwise(read)
    return replace(found, other=other, lost=lost, reread=reread)


def lost_from_some(old: StoreSet, new: StoreSet | None, array: str) -> dict[str, str]:
    """Return from which stores of many an array is gone, in words, by its name; or nothing."""
    gone = [] if new is None else held_otherwise(old, new, array)[0]
    if not gone:
        return {}
    return {array: f"is gone from {gone[0]}" + (", and others" if gone[1:] else "")}


def held_otherwise(old: StoreSet, new: StoreSet, array: str) -> tuple[list[str], list[str]]:
    """Return which of the stores of before lost an array along the dimension, and which got it.

    A store that is not among those of now, as one that was relocated, did neither.
    """
    before, now = old.place(array), new.place(array)
    if before.axis is None or now.axis is None:
        return [], []
    had, has = old.holders(array), new.holders(array)
    there = {(one.url, one.below) for one in old.stores if one.start < one.stop}
    there &= {(one.url, one.below) for one in new.stores}
    lost, got = (sorted(url for url, _ in some & there) for some in (had - has, has - had))
    return lost, got


def refuse_unasked(
    old: Plan,
    changes: Changes,
    allow_shrink: bool,
    allow_gone: bool,
    allowed: Collection[str] = (),
) -> tuple[str, ...]:
    """Refuse what a mistake at the source may be: arrays that are gone or became shorter.

    Return what is lost, in words. What an update lost that was cut short is ``allowed``, as it was
    then, and nothing else.

    Raises
    ------
    InputError
        Naming them, and what allows it.
    """
    losses = changes.losses()
    is_allowed = {"--allow-gone": allow_gone, "--allow-shrink": allow_shrink}
    lost = {how: some for how, some in losses.items() if not is_allowed[how]}
    known = frozenset(allowed)
    unasked = {how: [what for what in some if what not in known] for how, some in lost.items()}
    options = [how for how, some in unasked.items() if some]
    problems = [what for some in unasked.values() for what in some]
    if problems:
        raise InputError(
            f"{old.location.url} lost what was there ({'; '.join(problems[:3])}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
            + f"): nothing was touched; give {' '.join(options)} if that is meant, and what is "
            "gone is taken out of the references"
        )
    return tuple(what for some in losses.values() for what in some)


def seen_otherwise(old: Plan, between: Plan, new: Plan) -> tuple[str, ...]:
    """Return the arrays that are now what they were in ``old``, or longer, and were not meanwhile.

    An update that was cut short planned ``between``, where they were gone, shorter or of other
    chunks: what was there before need not be there any more, whatever is called so now.
    """
    found = []
    for name in old.by_name.keys() & new.by_name.keys():
        before, now = old.by_name[name].spec, new.by_name[name].spec
        if unlike(before, now):
            continue  # all of it is listed anyway
        seen = between.by_name.get(name)
        if (
            seen is None
            or unlike(before, seen.spec)
            or _shorter(seen.spec, before, now)
            or _lost(old, between, name)
        ):
            found.append(name)
    return tuple(sorted(found))


def _lost(old: Plan, now: Plan, array: str) -> list[str]:
    """Return the stores of many that have an array no more."""
    if old.stores is None or now.stores is None or array in old.stores.kept:
        return []
    return held_otherwise(old.stores, now.stores, array)[0]


def _shorter(seen: ArraySpec, *others: ArraySpec) -> bool:
    """Whether an array was shorter along an axis than the shortest of others."""
    least = (min(sizes) for sizes in zip(*(one.shape for one in others), strict=True))
    return any(size < other for size, other in zip(seen.shape, least, strict=True))


def unlike(old: ArraySpec, new: ArraySpec) -> list[str]:
    """Return in what the chunks of an array mean something else now, whatever its shape."""
    if hold_the_same(old, new):
        return []
    plain = (canonical(one.to_json() | dict.fromkeys(FREE)) for one in (old, new))
    if old.rank == new.rank and len(set(plain)) == 1:  # quicker than to understand them
        return []
    return array_differences(old, new, FREE if old.rank == new.rank else ())


def read_otherwise(plan: Plan, now: ArraySpec) -> list[str]:
    """Return the attributes that make other values now of bytes that a plan's references keep.

    Such bytes come with the record files, and attributes with the root, which is last: were they
    written over what is there, readers would take dates in hours for days until all is done.
    """
    before = plan.by_name[now.name].spec
    if not plan.inline_threshold_of(now.name):
        return []
    changed = attribute_differences(before.attributes, now.attributes)
    names = (one.field.removeprefix("attributes ") for one in changed)
    return [name for name in names if is_meaning(name)]


def _as_read_otherwise(attributes: list[str]) -> str:
    return f"is kept in the references, and read by other attributes now ({', '.join(attributes)})"


def same_chunks(old: ArraySpec, new: ArraySpec) -> tuple[int, ...]:
    """Return along each axis how many of the first chunks hold the same elements in both.

    They are chunks that references point at; of an expanded array, those of whole shards. A chunk
    at the end of an array that grew is written again, with more in it; of one that shrank it may
    have been.
    """
    found = []
    sizes = zip(old.shape, new.shape, new.chunks, new.reference_chunks, strict=True)
    for axis, (was, now, chunk, reference) in enumerate(sizes):
        whole = min(was, now) // chunk * (chunk // reference)
        found.append(new.reference_grid[axis] if was == now else whole)
    return tuple(found)
