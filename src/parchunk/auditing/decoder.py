"""One array's chunks, read from the source and decoded by zarr-python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parchunk.errors import InputError
from parchunk.metadata.chunk_keys import chunk_index
from parchunk.metadata.data_type import quiet
from parchunk.metadata.document import shorten
from parchunk.metadata.dual import keep_v3
from parchunk.metadata.spec import ArraySpec, canonical
from parchunk.metadata.to_v2 import convert_array
from parchunk.planning.plan import Plan
from parchunk.stores.source import Source

#: Bytes of a chunk that is read, at most.
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Chunk:
    """A chunk that was drawn: where its bytes are, or the bytes themselves."""

    number: int
    path: str | None
    offset: int
    size: int
    raw: bytes | None


class Decoder:
    """Decodes chunks of one array, each as the only chunk of a store in memory."""

    def __init__(self, spec: ArraySpec, plan: Plan, source: Source) -> None:
        self._spec = spec
        # The first may have been given, and be another than the plan's.
        self._places = {plan.location.url: source} | {one.url: one for one in source.beside}
        self._v3 = plan.hierarchy.written_format == 3 and spec.zarr_format == 3
        document = keep_v3(spec) if self._v3 else convert_array(spec)
        self._document = canonical(document).encode()

    def _place_of(self, path: str) -> tuple[Source, str]:
        for url, source in self._places.items():
            if path.startswith(f"{url}/"):
                return source, path.removeprefix(f"{url}/")
        known = " or ".join(self._places)
        raise InputError(f"--decode: {path} is not below {known}: audit without it")

    def verdict(self, chunk: Chunk, data: bytes | None) -> str | None:
        """Return why a chunk cannot be decoded, ``""`` when it is nothing but the fill value."""
        if data is None:
            return "it is gone, or has another size now"
        return self._decoded(chunk.number, data)

    def fetched(self, chunk: Chunk) -> bytes | None:
        """Return the bytes of a chunk; None when they are not what they were.

        Raises
        ------
        InputError
            When they cannot be read.
        """
        if chunk.raw is not None:
            return chunk.raw
        if chunk.size > _LARGEST:
            raise InputError(
                f"--decode: {chunk.path} is larger than {_LARGEST >> 20} MiB: audit without it"
            )
        place, key = self._place_of(chunk.path or "")
        try:
            end = chunk.offset + chunk.size
            data, size, _ = place.get_part(key, chunk.offset, end)
        except FileNotFoundError:
            return None
        is_whole = self._spec.inner_chunks is None
        return data if len(data) == chunk.size and (not is_whole or size == chunk.size) else None

    def _decoded(self, number: int, data: bytes) -> str | None:
        import zarr
        from zarr.core.buffer import cpu
        from zarr.storage import MemoryStore

        spec = self._spec
        index = chunk_index(spec, number)
        key = ".".join(map(str, index or (0,)))
        held = {"zarr.json" if self._v3 else ".zarray": self._document, key: data}
        where = tuple(
            slice(at * size, min((at + 1) * size, extent))
            for at, size, extent in zip(index, spec.reference_chunks, spec.shape, strict=True)
        )
        formats: Any = 3 if self._v3 else 2
        with quiet():
            try:
                store = MemoryStore({k: cpu.Buffer.from_bytes(v) for k, v in held.items()})
                array = zarr.open_array(store, mode="r", zarr_format=formats)
                values = np.asarray(array[where])
                fill = array.fill_value
            except MemoryError:
                raise
            except Exception as error:  # codecs raise whatever they like of damaged bytes
                return shorten(str(error) or type(error).__name__, 100)
        return "" if fill is not None and _is_all(values, fill) else None


def _is_all(values: np.ndarray[Any, Any], fill: Any) -> bool:
    """Whether all values are the fill value, NaN and NaT included."""
    if values.dtype.kind in "fcmM":
        nothing = np.asarray(fill, values.dtype)
        return bool(np.all((values == nothing) | (np.isnan(values) & np.isnan(nothing))))
    return bool(np.all(values == fill))
