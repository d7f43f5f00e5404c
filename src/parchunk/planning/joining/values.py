"""Small arrays whole: read from a store by zarr-python, and written as one chunk to keep inline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import MetadataError, ParchunkError, SourceError
from parchunk.metadata.data_type import ZARR_ERRORS, quiet
from parchunk.metadata.document import shorten
from parchunk.metadata.nodes import parse_array, read_v2_node, read_v3_node
from parchunk.metadata.spec import ArraySpec, JSONObject, canonical
from parchunk.metadata.spelling import spell_v2
from parchunk.metadata.spelling_v3 import spell_v3
from parchunk.metadata.v2 import DIMENSIONS
from parchunk.stores.oversized import Oversized

#: Objects of one array in one store that are read, at most.
MOST_OBJECTS = 10_000


class ObjectReader(Protocol):
    """What reading small arrays asks of a store: see `parchunk.stores.source.Source`."""

    def get(self, key: str) -> bytes | None:
        """Return the whole object at ``key``, or None when there is none."""

    def describe(self, key: str = "") -> str:
        """Return the URL of ``key``, for messages."""


@dataclass(frozen=True)
class KeptArray:
    """An array of one chunk (none when it is empty) whose bytes are held beside the references."""

    spec: ArraySpec
    chunk: bytes | None = field(repr=False)


def read_objects(source: ObjectReader, spec: ArraySpec) -> dict[str, bytes]:
    """Return the stored objects of a small array by the tail of their keys; missing ones lack.

    Raises
    ------
    SourceError
        When there are too many, one is too large, or one cannot be read.
    """
    if spec.total > MOST_OBJECTS:
        raise SourceError(
            f"{source.describe(spec.name)}: its values are wanted, and it has {spec.total:,} "
            f"chunks, more than the {MOST_OBJECTS:,} that are read: leave it out with --exclude"
        )
    found = {}
    for index in product(*map(range, spec.grid)):
        tail = spec.keys.tail(index)
        data = source.get(f"{spec.name}/{tail}")
        if isinstance(data, Oversized):
            raise SourceError(
                f"{source.describe(f'{spec.name}/{tail}')}: its values are wanted, and it has "
                f"{data.size:,} bytes: leave the array out with --exclude"
            )
        if data is not None:
            found[tail] = data
    return found


def values_of(where: str, spec: ArraySpec, objects: Mapping[str, bytes]) -> NDArray[Any]:
    """Return the values that zarr-python reads from objects; missing chunks are fill values.

    Raises
    ------
    SourceError
        When they cannot be decoded: ``where`` is what the message calls the array.
    """
    import zarr
    from zarr.core.buffer import cpu
    from zarr.storage import MemoryStore

    with quiet():
        try:
            document = spell_v3(spec) if spec.zarr_format == 3 else spell_v2(spec)
            held = {
                "zarr.json" if spec.zarr_format == 3 else ".zarray": canonical(document).encode()
            }
            store = MemoryStore(
                {key: cpu.Buffer.from_bytes(data) for key, data in (held | dict(objects)).items()}
            )
            formats: Any = spec.zarr_format
            array = zarr.open_array(store, mode="r", zarr_format=formats)
            return np.asarray(array[...])
        except ParchunkError as error:
            raise SourceError(f"cannot read the values of {where}: {error}") from None
        except (*ZARR_ERRORS, OSError, ImportError, MemoryError) as error:
            raise SourceError(
                f"cannot read the values of {where} ({shorten(str(error), 200)}): repair it, or "
                "leave it out with --exclude"
            ) from None


def read_values(source: ObjectReader, spec: ArraySpec) -> NDArray[Any]:
    """Return the values of a small array: `read_objects`, decoded by `values_of`."""
    return values_of(source.describe(spec.name), spec, read_objects(source, spec))


def write_values(
    name: str,
    values: NDArray[Any],
    dimensions: tuple[str | None, ...],
    attributes: JSONObject,
    zarr_format: int,
    fill_value: Any,
) -> KeptArray:
    """Return values as a Zarr array of one chunk, written by zarr-python.

    ``fill_value`` is what the document says, None for none, which only v2 has.
    """
    import numcodecs  # type: ignore[import-untyped]
    import zarr
    from zarr.codecs import BloscCodec
    from zarr.storage import MemoryStore

    store = MemoryStore()
    options: dict[str, Any] = {"fill_value": fill_value}
    attributes = {key: item for key, item in attributes.items() if key != DIMENSIONS}
    if values.dtype.kind in "biuf":
        options["compressors"] = (
            BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
            if zarr_format == 3
            else numcodecs.Blosc(cname="zstd", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)
        )
    if zarr_format == 3:
        options["dimension_names"] = dimensions
    elif None not in dimensions:
        attributes = {**attributes, DIMENSIONS: list(dimensions)}
    with quiet():
        array = zarr.create_array(
            store,
            shape=values.shape,
            chunks=tuple(max(size, 1) for size in values.shape),
            dtype=values.dtype,
            zarr_format=3 if zarr_format == 3 else 2,
            attributes=attributes,
            config={"write_empty_chunks": True},
            **options,
        )
        if values.size:
            array[...] = values
    held = {key: data.to_bytes() for key, data in store._store_dict.items()}
    node = (
        read_v3_node(name, held["zarr.json"])
        if zarr_format == 3
        else read_v2_node(name, {last: held.get(last) for last in (".zarray", ".zattrs")})
    )
    if node is None:
        raise MetadataError(f"{name}: zarr-python wrote no document")
    spec = parse_array(node)
    return KeptArray(spec, held.get(spec.keys.tail((0,) * spec.rank)) if values.size else None)
