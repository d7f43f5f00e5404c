"""Arrays that tests of metadata write, and what must be the same of them."""

from typing import Any

import numpy as np
import zarr


def bits(values: Any) -> Any:
    """What must not differ: the bytes of fixed-size elements, the values of others."""
    array = np.ascontiguousarray(np.asarray(values))
    if array.dtype.hasobject or array.dtype.kind == "T":
        return array.shape, [(type(item), item) for item in array.astype(object).ravel().tolist()]
    little = array.astype(array.dtype.newbyteorder("<"))
    return array.shape, little.dtype, little.tobytes()


def sample(dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Random elements of a data type: any bits, so NaN with payloads and -0.0 too."""
    random = np.random.default_rng(7)
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    if dtype.kind == "U":
        words = ["", "a", "é", "日本", "x" * 9]
        return random.choice(words, shape).astype(dtype)
    if dtype.kind == "S":
        return random.choice([b"", b"a", b"\xff\x01"], shape).astype(dtype)
    values = np.frombuffer(random.bytes(count * dtype.itemsize), dtype).reshape(shape).copy()
    if dtype.kind in "fc":
        values.ravel()[: min(4, count)] = np.array([-0.0, np.nan, np.inf, -np.inf])[: min(4, count)]
    return values


def write(store: Any, data: np.ndarray, chunks: tuple[int, ...], **options: Any) -> zarr.Array:
    """Writes all chunks of ``data`` but the last, which stays fill value."""
    zarr.create_group(store, zarr_format=3)
    options.setdefault("dtype", data.dtype)
    array = zarr.create_array(store, name="a", shape=data.shape, chunks=chunks, **options)
    with zarr.config.set({"array.write_empty_chunks": True}):
        array[...] = data
    if data.ndim:
        last = array.metadata.encode_chunk_key(
            tuple((size - 1) // chunk for size, chunk in zip(data.shape, chunks, strict=True))
        )
        zarr.core.sync.sync(store.delete(f"a/{last}"))
    return zarr.open_array(store, path="a", mode="r")
