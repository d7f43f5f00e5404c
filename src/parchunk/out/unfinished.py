"""OUT/.parchunk/update.json: what an update was asked, for whoever has to finish it.

It is written before anything else is, and deleted when the new root is published: while it is
there an update is under way, or was cut short. One that prepares what takes the place of what is
published says it in OUT/.parchunk/next instead, and goes by it as long as OUT has the plan before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from parchunk.errors import InputError
from parchunk.metadata.spreading import Each, spread
from parchunk.out.kept_rows import forget_rows
from parchunk.out.known import forget_known
from parchunk.out.output import PREPARED_FOR, PREVIOUS, UPDATE, Output
from parchunk.planning.plan import PartitionKey, Plan
from parchunk.planning.plan_document import parse_document, read_plan, takes_of_plan

_VERSION = 1


@dataclass(frozen=True)
class Unfinished:
    """What an update was asked, and how far it is.

    ``regions`` are numbers in the plan named by ``fingerprint``, the one that OUT had when they
    were given. Once the receipts of all that is due are deleted the update is ``begun``: from then
    on what has no receipt is what is left to do. ``grown_from`` is the plan whose receipts are
    still to become those of OUT's plan, where that is another. ``partitions`` are damaged ones;
    with ``only``, nothing else that was full is listed again. ``stores`` and their ``labels`` came
    behind those of that plan, and arrays by the globs ``exclude`` are left out of the next, as are
    those that cannot be referenced with ``skip_unsupported``. What it ``lost`` that was there, in
    words, had been allowed. ``relocating``: it is no update, and asks for nothing.
    """

    regions: tuple[int, ...]
    arrays: tuple[str, ...]
    gaps: bool
    fingerprint: str
    begun: bool = False
    grown_from: Plan | None = None
    partitions: tuple[PartitionKey, ...] = ()
    only: bool = False
    relocating: bool = False
    stores: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_unsupported: bool = False
    lost: tuple[str, ...] = ()

    @property
    def names_some(self) -> bool:
        """Whether regions, arrays, partitions or stores are named, or what is to be left out."""
        return bool(self.regions or self.arrays or self.partitions or self.names_more)

    @property
    def names_more(self) -> bool:
        """Whether stores that came are named, or arrays that are to be left out."""
        return bool(self.stores or self.exclude)

    def joined(self, other: Unfinished) -> Unfinished:
        """Return what was asked here and there, both of the same plan."""
        return replace(
            self.with_more(other),
            regions=tuple(sorted({*self.regions, *other.regions})),
            arrays=tuple(sorted({*self.arrays, *other.arrays})),
            gaps=self.gaps or other.gaps,
            partitions=tuple(dict.fromkeys((*self.partitions, *other.partitions))),
            only=self.only and other.only,
        )

    def with_more(self, other: Unfinished) -> Unfinished:
        """Return it with the stores of another, and what that leaves out."""
        came = [at for at, store in enumerate(other.stores) if store not in self.stores]
        return replace(
            self,
            stores=(*self.stores, *(other.stores[at] for at in came)),
            labels=(*self.labels, *(other.labels[at] for at in came if at < len(other.labels))),
            exclude=tuple(dict.fromkeys((*self.exclude, *other.exclude))),
            skip_unsupported=self.skip_unsupported or other.skip_unsupported,
            lost=tuple(dict.fromkeys((*self.lost, *other.lost))),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document of its file, as `parchunk.metadata.spreading.spread` takes it."""
        plan = self.grown_from
        return {
            "parchunk_update": _VERSION,
            "regions": list(self.regions),
            "arrays": list(self.arrays),
            "gaps": self.gaps,
            "fingerprint": self.fingerprint,
            "begun": self.begun,
            "grown_from": None if plan is None else plan.to_json(Each),
            "partitions": [list(key) for key in self.partitions],
            "only": self.only,
            "relocating": self.relocating,
            "stores": list(self.stores),
            "labels": list(self.labels),
            "exclude": list(self.exclude),
            "skip_unsupported": self.skip_unsupported,
            "lost": list(self.lost),
        }

    @classmethod
    def from_json(cls, document: Any) -> Unfinished:
        """Return what a document says; ValueError, KeyError, TypeError or InputError if nothing."""
        if document["parchunk_update"] != _VERSION:
            raise ValueError("another version")
        grown = document["grown_from"]
        found = cls(
            tuple(document["regions"]),
            tuple(document["arrays"]),
            document["gaps"],
            document["fingerprint"],
            document["begun"],
            None if grown is None else read_plan(grown, UPDATE),
            # Older versions knew of none.
            tuple((array, region) for array, region in document.get("partitions", ())),
            document.get("only", False),
            document.get("relocating", False),
            tuple(document.get("stores", ())),
            tuple(document.get("labels", ())),
            tuple(document.get("exclude", ())),
            document.get("skip_unsupported", False),
            tuple(document.get("lost", ())),
        )
        keys = [key for key in found.partitions if type(key[1]) not in (int, type(None))]
        names = (*found.arrays, *(name for name, _ in found.partitions), found.fingerprint)
        names += (*found.stores, *found.labels, *found.exclude, *found.lost)
        said = (found.gaps, found.begun, found.only, found.relocating, found.skip_unsupported)
        if not (
            all(type(number) is int for number in found.regions)
            and all(type(name) is str for name in names)
            and {*map(type, said)} == {bool}
            and not keys
        ):
            raise TypeError("not of their types")
        return found


def read_unfinished(output: Output) -> Unfinished | None:
    """Return the update that is under way in OUT, or was cut short; None when there is none.

    Raises
    ------
    InputError
        When the file is not what an update writes.
    """
    saved = output.get(UPDATE)
    if saved is None:
        return None
    try:
        return Unfinished.from_json(parse_document(saved, takes_of_plan(("grown_from",))))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{output.describe(UPDATE)} is not what an update writes "
            f"({type(error).__name__}): delete it, and run parchunk update with what is to be "
            "listed again (--regions, --arrays)"
        ) from None


def read_prepared_for(output: Output) -> Unfinished | None:
    """Return what the prepared is for, and which plan it goes on from; None where nothing is."""
    try:
        return Unfinished.from_json(json.loads(output.get(PREPARED_FOR) or b""))
    except (ValueError, KeyError, TypeError, RecursionError, InputError):
        return None


def asked_before(plan: Plan, output: Output) -> Unfinished | None:
    """Return what was asked of one that was cut short while it prepared what replaces ``plan``'s.

    A relocation asks for nothing.
    """
    saved = read_prepared_for(output)
    return saved if saved is not None and saved.fingerprint == plan.fingerprint else None


def save_unfinished(unfinished: Unfinished, output: Output) -> None:
    """Write it to OUT."""
    output.put(UPDATE, spread(unfinished.to_json(), 4))


def finish_update(plan: Plan, output: Output) -> None:
    """Forget the update that was under way, and what machines that shared a build looked into.

    What it was for is published, as ``plan`` says.

    A build, too, may finish it, but not one that was cut short before all that is due was pending,
    or before OUT had a plan of what came.
    """
    unfinished = read_unfinished(output)
    output.delete(PREVIOUS)
    forget_known(output)
    if plan.inventory is not None:
        forget_rows(output)
    if unfinished is None or not unfinished.begun:
        return
    if unfinished.fingerprint != plan.fingerprint or not unfinished.names_more:
        output.delete(UPDATE)
