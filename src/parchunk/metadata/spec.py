"""What parchunk knows of a Zarr hierarchy: frozen values of integers, strings, tuples and JSON.

They do no I/O, cross process borders by pickle, and are written into ``plan.json``. The documents
they carry are the source's own, as parsed: treat them as read-only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

from parchunk.errors import InputError
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.metadata.sharing import shared, shared_value
from parchunk.metadata.spreading import Each, listed

JSONObject: TypeAlias = dict[str, Any]
"""A parsed JSON object. Floats may be NaN or infinite, as Zarr's own attributes may be."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)

VARIABLE_ITEMSIZE = 8
"""The guess for one element of a variable-length data type, in bytes."""


def canonical(value: object) -> str:
    """Return the one JSON spelling of ``value`` that equal documents share.

    Compare documents by this and not by ``==``, for which NaN differs from NaN and 1 equals true.
    """
    return _CANONICAL.encode(value)


def spelled_alike(one: object, other: object) -> bool:
    """Whether the canonical spelling of two values is the same."""
    # Most that are compared are alike in all, which is told in half the time.
    return repr(one) == repr(other) or canonical(one) == canonical(other)


def canonical_digest(value: object) -> str:
    """Return the SHA-256, in hex, of the canonical spelling of ``value``, whose keys are text.

    That of a hundred thousand arrays is never held whole.
    """
    found = hashlib.sha256()
    for piece in _canonical_pieces(value, 3):
        found.update(piece.encode())
    return found.hexdigest()


def _canonical_pieces(value: object, levels: int) -> Iterator[str]:
    # An object of no lists in which there is very much is one piece.
    if not levels or not isinstance(value, (dict, list, Each) if levels > 1 else (list, Each)):
        yield canonical(value)
        return
    before = ""
    if isinstance(value, dict):
        yield "{"
        for key, entry in sorted(value.items()):
            yield f"{before}{canonical(key)}:"
            yield from _canonical_pieces(entry, levels - 1)
            before = ","
        yield "}"
    else:
        yield "["
        for entry in value:
            yield before
            yield from _canonical_pieces(entry, levels - 1)
            before = ","
        yield "]"


@dataclass(frozen=True)
class Refusal:
    """Why the array ``name`` has no kerchunk references: its ``feature``, and what to do."""

    name: str
    feature: str
    remedy: str

    def __str__(self) -> str:
        """Return all three in one line."""
        return f"{self.name}: {self.feature} ({self.remedy})"


# Slots: there may be a hundred thousand.
@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of the source.

    ``name`` is the path below the group that is read (``"air"``, ``"levels/0/t"``); ``shape`` is
    in elements, and ``chunks`` is the shape of what one stored object holds: for a sharded array
    the shard, not its inner chunks. ``dtype`` is a short name for tables and ``itemsize`` the
    bytes of one element (`VARIABLE_ITEMSIZE` where elements vary). ``document`` is the array's
    original ``.zarray`` or ``zarr.json``; of a v2 array, ``attributes`` is the ``.zattrs``.

    ``inner_chunks`` is the shape of what one reference points at where that is only a part of an
    object: the inner chunks of a sharded array that is expanded. So an array has two grids: that
    of its objects, which are listed (``chunks``, ``grid``, ``total``), and that of its references,
    which are written (``reference_chunks``, ``reference_grid``, ``reference_total``). They are
    equal unless the array is expanded.
    """

    name: str
    zarr_format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    itemsize: int
    dimension_names: tuple[str | None, ...]
    keys: KeyEncoding
    attributes: JSONObject = field(hash=False)
    document: JSONObject = field(hash=False)
    inner_chunks: tuple[int, ...] | None = None

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def grid(self) -> tuple[int, ...]:
        """The number of chunks along each dimension: 0 where the shape is 0."""
        return _grid(self.shape, self.chunks)

    @property
    def space(self) -> KeySpace:
        """The keys of the chunks that are listed."""
        return KeySpace(self.grid, self.keys)

    @property
    def total(self) -> int:
        """The number of chunks the array can have: 1 for rank 0, 0 for a zero-length array."""
        return math.prod(self.grid)

    @property
    def reference_chunks(self) -> tuple[int, ...]:
        """The shape of what one reference points at."""
        return self.inner_chunks or self.chunks

    @property
    def reference_grid(self) -> tuple[int, ...]:
        """The number of references along each dimension, cut at the array's edge.

        Not the grid times the inner chunks of a shard: the last shard holds entries beyond it.
        """
        return _grid(self.shape, self.reference_chunks)

    @property
    def reference_total(self) -> int:
        """The number of references the array can have."""
        return math.prod(self.reference_grid)

    def to_json(self) -> JSONObject:
        """Return the JSON object that `from_json` turns into an equal value."""
        return {
            "name": self.name,
            "zarr_format": self.zarr_format,
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dtype": self.dtype,
            "itemsize": self.itemsize,
            "dimension_names": list(self.dimension_names),
            "keys": {"marker": self.keys.marker, "separator": self.keys.separator},
            "attributes": self.attributes,
            "document": self.document,
            "inner_chunks": None if self.inner_chunks is None else list(self.inner_chunks),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArraySpec:
        """Return the value that `to_json` wrote, or raise `InputError`."""
        try:
            shape = tuple(data["shape"])
            inner = data["inner_chunks"]
            return cls(
                name=data["name"],
                zarr_format=data["zarr_format"],
                shape=shared_value(shape),
                chunks=shared_value(tuple(data["chunks"])),
                dtype=shared_value(data["dtype"]),
                itemsize=data["itemsize"],
                dimension_names=shared_value(tuple(data["dimension_names"])),
                keys=shared_value(
                    KeyEncoding(data["keys"]["marker"], data["keys"]["separator"], len(shape))
                ),
                attributes=shared(data["attributes"]),
                document=shared(data["document"]),
                inner_chunks=None if inner is None else shared_value(tuple(inner)),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"not the description of an array: {error!r}: plan again") from error


@lru_cache(maxsize=1_024)  # asked again and again, and most of very many arrays are alike
def _grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


@dataclass(frozen=True)
class GroupSpec:
    """One group of the source; ``name`` is empty for the group that is read.

    ``document`` is its ``.zgroup`` or ``zarr.json``, without the consolidated metadata that a
    ``zarr.json`` may hold. A group that only its members imply has a made-up document.
    """

    name: str
    zarr_format: int
    attributes: JSONObject = field(hash=False)
    document: JSONObject = field(hash=False)

    def to_json(self) -> JSONObject:
        """Return the JSON object that `from_json` turns into an equal value."""
        return {
            "name": self.name,
            "zarr_format": self.zarr_format,
            "attributes": self.attributes,
            "document": self.document,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupSpec:
        """Return the value that `to_json` wrote, or raise `InputError`."""
        try:
            return cls(
                name=data["name"],
                zarr_format=data["zarr_format"],
                attributes=data["attributes"],
                document=data["document"],
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"not the description of a group: {error!r}: plan again") from error


_OBJECTS = {
    kind: attrgetter(*(item.name for item in fields(kind))) for kind in (ArraySpec, GroupSpec)
}


def held_by(node: ArraySpec | GroupSpec) -> tuple[Any, ...]:
    """Return the very objects that a node holds, its name first.

    Nodes that are alike mostly hold the same ones: see `parchunk.metadata.sharing`.
    """
    found: tuple[Any, ...] = _OBJECTS[type(node)](node)
    return found


@dataclass(frozen=True)
class Hierarchy:
    """The arrays that are wanted, sorted by name, and the groups above them, the root first.

    ``refused`` are arrays that are valid Zarr but have no one chunk shape or no known chunk keys,
    so that there is no `ArraySpec` for them: `parchunk.metadata.refusals` reports them with those
    whose codecs are the trouble. ``skipped`` are ``(name, reason)`` of arrays left out on request;
    ``left_out`` are ``(name, reason)`` of arrays, and of folders that may hold some, that were
    seen and are not taken in; ``absent`` are those of ``arrays`` that consolidated metadata names
    and of which there is no object at all; ``warnings`` are one-line messages for people.
    """

    arrays: tuple[ArraySpec, ...]
    groups: tuple[GroupSpec, ...]
    refused: tuple[Refusal, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    #: The Zarr format that references are written in: 2, or 3 where that was asked for.
    written_format: int = 2

    def to_json(self, each: Callable[..., Iterable[Any]] = listed) -> JSONObject:
        """Return the JSON object that `from_json` turns into an equal value.

        With `Each` in place of ``each``, its arrays and groups are made when they are asked for.
        """
        return {
            "arrays": each(ArraySpec.to_json, self.arrays),
            "groups": each(GroupSpec.to_json, self.groups),
            "refused": [[item.name, item.feature, item.remedy] for item in self.refused],
            "skipped": [list(pair) for pair in self.skipped],
            "warnings": list(self.warnings),
            "written_format": self.written_format,
            # only where there are any: an output of before has none, and keeps its fingerprint
            **({"left_out": [list(pair) for pair in self.left_out]} if self.left_out else {}),
            **({"absent": list(self.absent)} if self.absent else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hierarchy:
        """Return the value that `to_json` wrote, or raise `InputError`.

        Entries of ``arrays`` may be values already.
        """
        try:
            return cls(
                arrays=tuple(
                    array if isinstance(array, ArraySpec) else ArraySpec.from_json(array)
                    for array in data["arrays"]
                ),
                groups=tuple(map(GroupSpec.from_json, data["groups"])),
                refused=tuple(Refusal(*item) for item in data["refused"]),
                skipped=tuple((name, reason) for name, reason in data["skipped"]),
                warnings=tuple(data["warnings"]),
                left_out=tuple((name, reason) for name, reason in data.get("left_out", ())),
                absent=tuple(data.get("absent", ())),
                written_format=data["written_format"],
            )
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"not the description of a hierarchy: {error!r}: plan again"
            ) from error
