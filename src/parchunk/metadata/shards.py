"""Sharded arrays: what one stored object holds, and where in it the index stands.

A shard is the inner chunks of one box of the inner grid, one after another in any order, and an
*index*: an (offset, nbytes) pair of unsigned 64-bit integers for each inner chunk in C order, at
the shard's end or start, followed by a checksum where the index codecs say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from parchunk.errors import MetadataError
from parchunk.metadata.document import shorten
from parchunk.metadata.refused import UnsupportedFeatureError
from parchunk.metadata.spec import ArraySpec
from parchunk.metadata.v3 import SHARDING, Extension, parse_codecs, parse_inner_chunks

#: Bytes of one inner chunk's entry in the index.
ENTRY_BYTES = 16
#: Bytes of the checksum after the entries.
CHECKSUM_BYTES = 4
#: Indexes beyond this are taken for a mistake: no reader could hold one for a single chunk.
MAX_INDEX_BYTES = 1 << 30
#: What the format says of shards; anything else may lay them out in another way.
_FIELDS = {"chunk_shape", "codecs", "index_codecs", "index_location"}
_INNER_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}]


@dataclass(frozen=True)
class ShardLayout:
    """How the shards of one array are built.

    ``entries`` is the number of inner chunks along each dimension of a shard, ``codecs`` are
    those of the inner chunks, ``byte_order`` is that of the index's integers as NumPy spells it,
    and ``checksum`` says whether a CRC-32C follows them.
    """

    inner_chunks: tuple[int, ...]
    entries: tuple[int, ...]
    codecs: tuple[Extension, ...] = field(hash=False)
    index_at: Literal["start", "end"]
    byte_order: Literal["<", ">"]
    checksum: bool

    @property
    def count(self) -> int:
        """Inner chunks in one shard, those beyond the array's edge included."""
        return math.prod(self.entries)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index, checksum included."""
        return self.count * ENTRY_BYTES + (CHECKSUM_BYTES if self.checksum else 0)


def shard_layout(array: ArraySpec) -> ShardLayout:
    """Return how a sharded array's shards are built.

    Raises
    ------
    UnsupportedFeatureError
        For nested shards, codecs around shards, and indexes that no reference can be made from.
    MetadataError
        For a broken document, which `parchunk.metadata.v3.parse_v3_array` has refused before.
    """
    codecs = parse_codecs(array.document["codecs"])
    if len(codecs) != 1:
        others = ", ".join(ascii(shorten(c.name)) for c in codecs if c.name != SHARDING)
        raise UnsupportedFeatureError(
            f"sharded with other codecs around the shards ({others or 'shards twice'}), "
            "so that nothing in a stored object can be addressed"
        )
    configuration = codecs[0].configuration
    inner_chunks = parse_inner_chunks(codecs, array.chunks)
    if inner_chunks is None:
        raise MetadataError("is not sharded")
    unknown = sorted(configuration.keys() - _FIELDS)
    if unknown:
        raise UnsupportedFeatureError(
            f"shards with a configuration of their own kind ({shorten(unknown[0])!a})"
        )
    # As zarr-python takes them when they are left out.
    inner = parse_codecs(configuration.get("codecs", _INNER_CODECS))
    if any(codec.name == SHARDING for codec in inner):
        raise UnsupportedFeatureError("nested shards (shards whose inner chunks are shards)")
    byte_order, checksum = _index_codecs(
        parse_codecs(
            configuration.get(
                "index_codecs",
                [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            )
        )
    )
    index_at = configuration.get("index_location", "end")
    if index_at not in ("start", "end"):
        raise UnsupportedFeatureError(f"shard index location {shorten(index_at)}")
    layout = ShardLayout(
        inner_chunks=inner_chunks,
        entries=tuple(
            size // inner for size, inner in zip(array.chunks, inner_chunks, strict=True)
        ),
        codecs=inner,
        index_at=index_at,
        byte_order=byte_order,
        checksum=checksum,
    )
    if layout.index_bytes > MAX_INDEX_BYTES:
        raise UnsupportedFeatureError(
            f"shards of {layout.count:,} inner chunks, whose index would be "
            f"{layout.index_bytes:,} bytes"
        )
    return layout


def _index_codecs(codecs: Sequence[Extension]) -> tuple[Literal["<", ">"], bool]:
    names = [codec.name for codec in codecs]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        listed = ", ".join(ascii(shorten(name)) for name in names[:8])
        raise UnsupportedFeatureError(
            f"shard index codecs [{listed}], where only 'bytes' and 'crc32c' can be read"
        )
    endian = codecs[0].configuration.get("endian")
    if endian not in ("little", "big"):
        raise UnsupportedFeatureError(f"a shard index with the byte order {shorten(endian)}")
    return ("<" if endian == "little" else ">"), len(names) == 2
