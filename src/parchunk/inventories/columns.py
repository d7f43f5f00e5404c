"""Which column of a table is what: names as the makers of inventories spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parchunk.errors import InputError

#: What S3 calls a column that says which versions say that an object was deleted.
_MARKER = "isdeletemarker"
#: What columns may be called, without regard to case and to what is no letter; the first counts.
_NAMES = {
    "key": ("key", "path", "name", "objectkey", "objectname"),
    "size": ("size", "contentlength", "sizebytes", "bytes"),
    "modified": ("lastmodified", "lastmodifieddate", "modtime", "updated", "modified", "mtime"),
    "etag": ("etag",),
    "bucket": ("bucket", "sourcebucket"),
    "latest": ("islatest", "iscurrentversion"),
    "version": ("versionid", "version"),
    "deleted": (_MARKER, "deleted"),
    "gone": ("timedeleted",),
    "snapshot": ("snapshot",),
    "folder": ("isdir", "hdiisfolder"),
}


@dataclass(frozen=True)
class Columns:
    """The columns of an inventory by what they are; None where it has none.

    ``latest`` tells versions of an object apart, ``deleted`` and ``folder`` are yes or no,
    ``gone`` and ``snapshot`` are empty where an object is what readers see.
    """

    key: str
    size: str
    modified: str | None = None
    etag: str | None = None
    bucket: str | None = None
    latest: str | None = None
    version: str | None = None
    deleted: str | None = None
    gone: str | None = None
    snapshot: str | None = None
    folder: str | None = None

    @property
    def undecided(self) -> bool:
        """Whether it has S3's delete markers, and nothing says which version is the latest.

        Google and Azure tell by other columns what is deleted, row by row.
        """
        return self.latest is None and self.deleted is not None and _plain(self.deleted) == _MARKER

    @property
    def ambiguous(self) -> bool:
        """Whether it has versions, and nothing says which one readers see."""
        return self.version is not None and self.latest is None and self.gone is None

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [name for name in self.__dict__.values() if name is not None]


#: Which column an identity is read from.
_OF_IDENTITY = {"time": ("modified", "times"), "etag": ("etag", "entity tags")}


def columns_of(names: Sequence[str], where: str, identity: str = "none") -> Columns:
    """Return which of a table's columns are what; entity tags only where they are an identity.

    Raises
    ------
    InputError
        When there is none of keys, of sizes or of an identity, naming those that are there.
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    found: dict[str, str] = {}
    for what, spellings in _NAMES.items():
        for spelling in spellings:
            if spelling in plain:
                found[what] = plain[spelling]
                _refuse_several(what, [one for one in names if _plain(one) == spelling], where)
                break
    if identity in _OF_IDENTITY:
        what, words = _OF_IDENTITY[identity]
        if what not in found:
            raise InputError(
                f"{where} has no column of {words} ({', '.join(_NAMES[what])}), which --identity "
                f"{identity} keeps: it has {_some(names)}; give an inventory with them, or another "
                "--identity"
            )
    if identity != "etag":
        found.pop("etag", None)
    for what, spelled in (("keys", "key"), ("sizes", "size")):
        if spelled not in found:
            raise InputError(
                f"{where} has no column of {what} ({', '.join(_NAMES[spelled])}): it has "
                f"{_some(names)}; name one of them so, or give the inventory's manifest.json"
            )
    return Columns(**found)


def _refuse_several(what: str, alike: Sequence[str], where: str) -> None:
    """Refuse columns that are called alike, as what is joined has them, where each may be meant."""
    if what in ("key", "size") and len(alike) > 1:
        raise InputError(
            f"{where} has {len(alike)} columns of {what}s ({_some(alike)}), and each may be meant: "
            "call only one of them so"
        )


def is_known(name: str) -> bool:
    """Whether a column of that name would be read."""
    return any(_plain(name) in spellings for spellings in _NAMES.values())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _some(names: Iterable[str]) -> str:
    shown = [repr(name[:40]) for name in names]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
