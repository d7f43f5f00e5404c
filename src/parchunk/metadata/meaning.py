"""What documents mean, however they are spelled: for telling changed metadata from respelled.

zarr-python 3 adds a ``dimension_separator`` that zarr-python 2 left out; one writer says
``attributes: {}`` where another says nothing; a fill value is 0 or 0.0. None of that changes a
value that a reader gets, so documents are compared as zarr-python understands them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from parchunk.metadata.data_type import ZARR_ERRORS, quiet
from parchunk.metadata.document import shorten
from parchunk.metadata.readable import read_document
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import (
    ArraySpec,
    GroupSpec,
    Hierarchy,
    JSONObject,
    canonical,
    held_by,
    spelled_alike,
)
from parchunk.metadata.spelling import spell_v2, spell_v2_dtype
from parchunk.metadata.spelling_v3 import spell_v3

#: Fields of documents that are compared by what `ArraySpec` has of them, or mean nothing.
_ELSEWHERE = frozenset(
    {
        "shape",
        "chunks",
        "chunk_grid",
        "chunk_key_encoding",
        "dimension_separator",
        "dimension_names",
        "attributes",
        "zarr_format",
        "node_type",
        "storage_transformers",
    }
)


#: Characters that two values begin with alike and that are shown all of.
_ALIKE = 30


@dataclass(frozen=True)
class _Value:
    """One field: ``key`` is equal where two mean the same, ``shown`` is for people, in full."""

    key: str
    shown: str


def hierarchy_digest(hierarchy: Hierarchy) -> str:
    """Return the SHA-256, in hex, of what every document means that the output depends on.

    Equal before and after a build unless the metadata changed meanwhile. Where the documents were
    found (consolidated or not) and how they were spelled makes no difference.
    """
    documents = [
        [[group.name, group.zarr_format, _plain(group.attributes)] for group in hierarchy.groups],
        [
            [array.name, sorted((name, value.key) for name, value in _fields(array).items())]
            for array in hierarchy.arrays
        ],
        sorted(refusal.name for refusal in hierarchy.refused),
        sorted(name for name, _ in hierarchy.skipped),
    ]
    return hashlib.sha256(canonical(documents).encode()).hexdigest()


def same_meaning(old: Hierarchy, new: Hierarchy) -> bool:
    """Whether `hierarchy_digest` is the same, which it is where all documents are spelled alike."""
    return _spelled_alike(old, new) or hierarchy_digest(old) == hierarchy_digest(new)


def _spelled_alike(old: Hierarchy, new: Hierarchy) -> bool:
    nodes = [(*hierarchy.groups, *hierarchy.arrays) for hierarchy in (old, new)]
    return (
        (len(old.groups), len(old.arrays)) == (len(new.groups), len(new.arrays))
        and (old.refused, old.skipped) == (new.refused, new.skipped)
        and all(
            hold_the_same(one, other) or spelled_alike(one.to_json(), other.to_json())
            for one, other in zip(*nodes, strict=True)
        )
    )


def hold_the_same(one: ArraySpec | GroupSpec, other: ArraySpec | GroupSpec) -> bool:
    """Whether two nodes hold the very same objects, as most that are alike do: none is spelled."""
    if type(one) is not type(other):
        return False
    return all(
        mine is theirs or (type(mine) is type(theirs) is str and mine == theirs)
        for mine, theirs in zip(held_by(one), held_by(other), strict=True)
    )


@dataclass(frozen=True)
class FieldDifference:
    """One field in which two documents differ, and both values as messages show them."""

    field: str
    before: str
    now: str


def field_differences(
    old: ArraySpec, new: ArraySpec, free: Collection[str] = ()
) -> list[FieldDifference]:
    """Return the fields in which two arrays differ.

    ``free`` are fields that may differ: of `ArraySpec`'s ``shape``, ``attributes`` and so on, or
    of the document.
    """
    before, now = _fields(old), _fields(new)
    return [
        FieldDifference(name, *_shown(before, now, name))
        for name in dict.fromkeys([*before, *now])
        if name not in free
        and name.partition(" ")[0] not in free
        and (name not in before or name not in now or before[name].key != now[name].key)
    ]


def array_differences(old: ArraySpec, new: ArraySpec, free: Collection[str] = ()) -> list[str]:
    """Return the fields in which two documents of one array differ, with both values.

    Each reads like ``fill_value 0.0, now 1.0``; ``free`` is that of `field_differences`.
    """
    return [
        f"{shorten(one.field)} {one.before}, now {one.now}"
        for one in field_differences(old, new, free)
    ]


def attribute_differences(old: JSONObject, new: JSONObject) -> list[FieldDifference]:
    """Return the attributes that differ, each named as ``attributes units``."""
    before, now = _attributes(old), _attributes(new)
    return [
        FieldDifference(name, *_shown(before, now, name))
        for name in dict.fromkeys([*before, *now])
        if name not in before or name not in now or before[name].key != now[name].key
    ]


def differences(old: Hierarchy, new: Hierarchy) -> list[str]:
    """Return what differs between two hierarchies, a phrase each; none where `digest` is equal."""
    found: list[str] = []
    names: dict[str, tuple[Any, Any]] = {}
    for kind, mine, theirs in (
        ("array", _by_name(old.arrays), _by_name(new.arrays)),
        ("group", _by_name(old.groups), _by_name(new.groups)),
    ):
        found += [f"{kind} {shorten(n) or '/'} is gone" for n in mine if n not in theirs]
        found += [f"{kind} {shorten(n) or '/'} came" for n in theirs if n not in mine]
        names |= {f"{kind} {n or '/'}": (mine[n], theirs[n]) for n in mine if n in theirs}
    for name, (one, other) in names.items():
        changed = (
            array_differences(one, other)
            if isinstance(one, ArraySpec)
            else _group_differences(one, other)
        )
        if changed:
            more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
            found.append(f"{shorten(name)}: {'; '.join(changed[:2])}{more}")
    for what, before, now in (
        ("refused", [r.name for r in old.refused], [r.name for r in new.refused]),
        ("skipped", [n for n, _ in old.skipped], [n for n, _ in new.skipped]),
    ):
        odd = sorted(set(before) ^ set(now))
        if odd:
            found.append(f"{what} are other arrays ({', '.join(map(shorten, odd[:3]))})")
    return found


def _by_name(nodes: tuple[Any, ...]) -> dict[str, Any]:
    return {node.name: node for node in nodes}


def _shown(before: dict[str, _Value], now: dict[str, _Value], name: str) -> tuple[str, str]:
    """Return what a field was and is, each as much as fits a message: that in which they differ."""
    texts = [fields[name].shown if name in fields else "not there" for fields in (before, now)]
    pairs = enumerate(zip(*texts, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(map(len, texts)))
    if same > _ALIKE:
        texts = [f"...{text[same - _ALIKE // 2 :]}" for text in texts]
    return shorten(texts[0]), shorten(texts[1])


def _group_differences(old: GroupSpec, new: GroupSpec) -> list[str]:
    before, now = _attributes(old.attributes), _attributes(new.attributes)
    before["zarr_format"], now["zarr_format"] = _value(old.zarr_format), _value(new.zarr_format)
    return [
        f"{shorten(name)} {', now '.join(_shown(before, now, name))}"
        for name in dict.fromkeys([*before, *now])
        if name not in before or name not in now or before[name].key != now[name].key
    ]


def _fields(array: ArraySpec) -> dict[str, _Value]:
    """Return what an array's document means, field by field; an attribute is a field of its own."""
    keys = array.keys
    # the separator of no numbers, or of a single one without a marker, is nowhere in a key
    separated = array.rank > 1 or (array.rank == 1 and bool(keys.marker))
    fields = {
        "zarr_format": _value(array.zarr_format),
        "shape": _value(list(array.shape)),
        "chunks": _value(list(array.chunks)),
        "dtype": _value(spell_v2_dtype(array.dtype)),
        "dimension_names": _value(list(array.dimension_names)),
        "chunk keys": _value([keys.marker, keys.separator if separated else ""]),
    }
    return fields | _understood(array) | _attributes(array.attributes)


def _understood(array: ArraySpec) -> dict[str, _Value]:
    """Return data type, fill value and codecs as zarr-python takes them, or as they are written."""
    spell: Callable[[ArraySpec], JSONObject] = spell_v2 if array.zarr_format == 2 else spell_v3
    document = array.document
    try:
        document = spell(array)
        parsed = read_document(document)
        # Written again, so that defaults are filled in; without the attributes, which may be large.
        with quiet():
            written = {k: v for k, v in parsed.to_dict().items() if k not in _ELSEWHERE}
        scalar = parsed.fill_value
    except (*ZARR_ERRORS, ImportError, UnsupportedFeatureError):
        return {k: _value(v) for k, v in document.items() if k not in _ELSEWHERE}
    known = {"dtype", "data_type", "fill_value", "order", "filters", "compressor", "codecs"}
    fields = {name: _value(value) for name, value in written.items() if name in known}
    if "fill_value" in fields:
        shown = fields["fill_value"].shown
        fields["fill_value"] = _Value(_bits(scalar, parsed, fields["fill_value"].key), shown)
    return fields


def _bits(scalar: Any, parsed: Any, key: str) -> str:
    """Return a key of a fill value that tells one NaN from another and -0.0 from 0.0."""
    import numpy as np

    native = parsed.dtype.to_native_dtype()
    if scalar is None or native.kind not in "fc":
        return key
    little = np.array([scalar], native.newbyteorder("<"))
    return little.tobytes().hex()


def _attributes(attributes: JSONObject) -> dict[str, _Value]:
    return {f"attributes {name}": _value(item) for name, item in attributes.items()}


def _value(value: Any) -> _Value:
    return _Value(canonical(_plain(value)), json.dumps(value))


def _plain(value: Any) -> Any:
    """Return a JSON value in which whole numbers are integers, as JSON knows numbers only."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        # -0.0 is another number than 0
        return value if value == 0 and str(value) == "-0.0" else int(value)
    return value
