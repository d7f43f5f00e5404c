"""Formula stores that are Zarr hierarchies, the real ones of the field among them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instruments.synthetic.formula import FormulaStore, below
from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.rules import HASHED_SIZES, LeadingRange, Mask, SizeRule
from parchunk.keys.encoding import KeyEncoding, Separator

ArraySpec = tuple[str, Sequence[int], Sequence[int], Sequence[str]]
"""``(name, shape, chunks, dimension names)``."""


def chunk_grid(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """Return how many chunks there are along each dimension, a partial last one included."""
    return tuple(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def zarr_store(
    arrays: Iterable[ArraySpec],
    zarr_format: int = 2,
    separator: Separator = ".",
    *,
    key_encoding: str = "default",
    consolidated: bool = True,
    size: SizeRule | int | str | None = None,
    present: Mask | Mapping[str, Mask] | None = None,
    extra: Mapping[str, bytes] | None = None,
    root: str = "",
) -> FormulaStore:
    """Make a valid Zarr hierarchy: a root group, groups for nested names, float32 arrays.

    ``key_encoding`` is v3's: ``"default"`` or ``"v2"``. ``present`` is one rule, or rules by array
    name (others complete). ``size`` None says zstd in the metadata and gives sizes by hash;
    ``"exact"`` says uncompressed and gives each chunk its full size, so that chunks can be decoded
    (to noise). ``extra`` adds strays, or takes the place of a document.
    """
    specs = [
        (name, tuple(shape), tuple(chunks), tuple(dims)) for name, shape, chunks, dims in arrays
    ]
    exact = size == "exact"
    marker = "c" if zarr_format == 3 and key_encoding == "default" else ""
    formulas = []
    for name, shape, chunks, _ in specs:
        rule = present.get(name) if isinstance(present, Mapping) else present
        sized = math.prod(chunks) * 4 if exact else HASHED_SIZES if size is None else size
        if isinstance(sized, str):
            raise ValueError(f'size={size!r}: give a rule, a number of bytes, None or "exact"')
        grid = chunk_grid(shape, chunks)
        encoding = KeyEncoding(marker, separator, len(shape))
        formulas.append(FormulaArray(name, grid, encoding, sized, rule))
    documents = zarr_documents(
        specs,
        zarr_format,
        separator,
        key_encoding=key_encoding,
        consolidated=consolidated,
        compressed=not exact,
    )
    return FormulaStore(formulas, {**documents, **(extra or {})}, root=root)


def zarr_documents(
    arrays: Iterable[ArraySpec],
    zarr_format: int = 2,
    separator: Separator = ".",
    *,
    key_encoding: str = "default",
    consolidated: bool = True,
    compressed: bool = True,
) -> dict[str, bytes]:
    """Return the metadata documents of a hierarchy of float32 arrays, by key.

    On their own they let a store's metadata say another grid than its chunks have: give them to
    ``FormulaStore`` as ``extra``.
    """
    specs = list(arrays)
    groups = {
        "/".join(name.split("/")[:depth])
        for name, *_ in specs
        for depth in range(1, name.count("/") + 1)
    }
    groups.add("")
    if zarr_format == 2:
        nodes = _v2_documents(specs, sorted(groups), separator, consolidated, compressed)
    elif zarr_format == 3:
        keys = {"name": key_encoding, "configuration": {"separator": separator}}
        nodes = _v3_documents(specs, sorted(groups), keys, consolidated, compressed)
    else:
        raise ValueError(f"zarr_format={zarr_format}: there are 2 and 3")
    return {key: json.dumps(node).encode() for key, node in nodes.items()}


def _v2_documents(
    specs: list[ArraySpec],
    groups: list[str],
    separator: Separator,
    consolidated: bool,
    compressed: bool,
) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for group in groups:
        nodes[below(group, ".zgroup")] = {"zarr_format": 2}
        nodes[below(group, ".zattrs")] = {}
    for name, shape, chunks, dims in specs:
        nodes[below(name, ".zarray")] = {
            "chunks": list(chunks),
            "compressor": {"id": "zstd", "level": 0} if compressed else None,
            "dimension_separator": separator,
            "dtype": "<f4",
            "fill_value": "NaN",
            "filters": None,
            "order": "C",
            "shape": list(shape),
            "zarr_format": 2,
        }
        nodes[below(name, ".zattrs")] = {"_ARRAY_DIMENSIONS": list(dims)}
    if consolidated:
        nodes[".zmetadata"] = {"metadata": dict(nodes), "zarr_consolidated_format": 1}
    return nodes


def _v3_documents(
    specs: list[ArraySpec],
    groups: list[str],
    keys: dict[str, Any],
    consolidated: bool,
    compressed: bool,
) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for group in groups:
        nodes[group] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}
    zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    for name, shape, chunks, dims in specs:
        nodes[name] = {
            "shape": list(shape),
            "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
            "chunk_key_encoding": keys,
            "fill_value": "NaN",
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                *([zstd] if compressed else []),
            ],
            "attributes": {},
            "dimension_names": list(dims),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }
    if consolidated and nodes[""]["node_type"] == "group":
        inline = {name: node for name, node in nodes.items() if name}
        nodes[""]["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": inline,
        }
    return {below(name, "zarr.json"): node for name, node in nodes.items()}


_HOURS_1900_TO_1940 = 350_616

FIELD_STORES: dict[str, dict[str, Any]] = {
    "ufs-replay": {
        "arrays": [
            (
                "tmp",
                (87020, 127, 768, 1536),
                (1, 1, 768, 1536),
                ("time", "pfull", "grid_yt", "grid_xt"),
            ),
            ("pressfc", (87020, 768, 1536), (1, 768, 1536), ("time", "grid_yt", "grid_xt")),
        ],
    },
    "arco-era5": {
        "arrays": [
            (
                "temperature",
                (1323648, 37, 721, 1440),
                (1, 37, 721, 1440),
                ("time", "level", "latitude", "longitude"),
            ),
            (
                "2m_temperature",
                (1323648, 721, 1440),
                (1, 721, 1440),
                ("time", "latitude", "longitude"),
            ),
        ],
        "present": LeadingRange(_HOURS_1900_TO_1940, _HOURS_1900_TO_1940 + 761_000),
    },
    "nwm": {
        "arrays": [("depth", (367439, 2776738), (672, 30000), ("time", "feature_id"))],
    },
    "mur-sst": {
        "arrays": [
            ("analysed_sst", (6443, 17999, 36000), (5, 1799, 3600), ("time", "lat", "lon")),
            ("time", (6443,), (5,), ("time",)),
        ],
    },
    "aef-shards": {
        # counted in inner chunks: 16 x 16 of them share an object
        "arrays": [("embeddings", (7, 1, 7264, 15664), (1, 1, 16, 16), ("time", "band", "y", "x"))],
        "zarr_format": 3,
        "separator": "/",
    },
    "hrrr": {
        "arrays": [("TMP", (1059, 1799), (150, 150), ("projection_y", "projection_x"))],
    },
}
"""Arguments of ``zarr_store`` for stores as published, by short name.

Published shapes; as is the share of ARCO-ERA5 that exists, only where it starts being computed
(the first of January 1940 in hours since 1900).
"""


def field_store(name: str, **options: Any) -> FormulaStore:
    """Return the formula store of a real store; ``options`` go over those of FIELD_STORES."""
    return zarr_store(**{**FIELD_STORES[name], **options})
