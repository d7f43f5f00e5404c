"""A store in a dict, read by the protocol of `parchunk.metadata`, and stores written by zarr."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import zarr
from zarr.core.buffer import default_buffer_prototype

from parchunk.errors import ShortListingError
from parchunk.metadata import kerchunk_metadata, read_hierarchy


class DictReader:
    """A `parchunk.metadata.Reader` over a dict of keys to bytes, which counts what is asked.

    It is as strict as an object store: no empty directories, no keys with a stray slash.
    """

    url = "mem://store"
    page = 1000

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.gets: list[str] = []
        self.lists: list[str] = []
        self.peeks: list[str] = []
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        assert not key.startswith("/")
        assert not key.endswith("/")
        assert ".." not in key.split("/")
        with self._lock:
            self.gets.append(key)
        return self.objects.get(key)

    def list_dir(self, prefix: str) -> tuple[list[str], list[str]]:
        assert f"{prefix}/.zarray" not in self.objects, "an array may hold millions of chunks"
        with self._lock:
            self.lists.append(prefix)
        head = prefix.split("/") if prefix else []
        directories, objects = set(), []
        for key in self.objects:
            segments = key.split("/")
            if segments[: len(head)] == head and len(segments) > len(head):
                if len(segments) == len(head) + 1:
                    objects.append(segments[-1])
                else:
                    directories.add(segments[len(head)])
        return list(directories), objects

    def first_keys(self, prefix: str) -> tuple[list[str], bool]:
        with self._lock:
            self.peeks.append(prefix)
        below = sorted(key for key in self.objects if key.startswith(f"{prefix}/"))
        return [key[len(prefix) + 1 :] for key in below[: self.page]], len(below) <= self.page

    def short_listing(self, prefix: str, lacking: str) -> ShortListingError:
        return ShortListingError(f"the listing of {self.describe(prefix)} lacks {lacking}")

    def describe(self, key: str = "") -> str:
        return f"{self.url}/{key}" if key else self.url


@pytest.fixture
def store() -> zarr.storage.MemoryStore:
    return zarr.storage.MemoryStore()


@pytest.fixture
def objects_of() -> Callable[[zarr.storage.MemoryStore], dict[str, bytes]]:
    """All objects of a memory store as bytes, by key."""

    async def drain(store: zarr.storage.MemoryStore) -> dict[str, bytes]:
        found = {}
        async for key in store.list():
            value = await store.get(key, default_buffer_prototype())
            assert value is not None
            found[key] = value.to_bytes()
        return found

    def read(store: zarr.storage.MemoryStore) -> dict[str, bytes]:
        return zarr.core.sync.sync(drain(store))

    return read


@pytest.fixture
def store_of() -> Callable[[dict[str, bytes]], zarr.storage.MemoryStore]:
    """A memory store that holds ``objects``."""

    def make(objects: dict[str, bytes]) -> zarr.storage.MemoryStore:
        prototype = default_buffer_prototype()
        return zarr.storage.MemoryStore(
            {key: prototype.buffer.from_bytes(value) for key, value in objects.items()}
        )

    return make


@pytest.fixture
def reader_of(
    objects_of: Callable[[zarr.storage.MemoryStore], dict[str, bytes]],
) -> Callable[[Any], DictReader]:
    """A reader of a zarr memory store, or of a dict whose values are bytes or JSON values."""

    def make(source: Any) -> DictReader:
        if isinstance(source, zarr.storage.MemoryStore):
            return DictReader(objects_of(source))
        return DictReader(
            {
                key: value if isinstance(value, bytes) else json.dumps(value).encode()
                for key, value in source.items()
            }
        )

    return make


@pytest.fixture
def zarray() -> Callable[..., dict[str, Any]]:
    """A v2 document of rank 2, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        document = {
            "zarr_format": 2,
            "shape": [10, 20],
            "chunks": [5, 6],
            "dtype": "<f4",
            "compressor": None,
            "fill_value": 0.0,
            "order": "C",
            "filters": None,
        }
        return document | changes

    return make


@pytest.fixture
def zarr_json() -> Callable[..., dict[str, Any]]:
    """A v3 array document of rank 2, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        document = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [10, 20],
            "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 6]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": {},
        }
        return document | changes

    return make


@pytest.fixture
def reread(reader_of, objects_of, store_of):
    """Returns the array as zarr reads it under the converted document, and that document."""

    def read(store: zarr.storage.MemoryStore) -> tuple[zarr.Array, dict[str, Any]]:
        reader = reader_of(store)
        hierarchy = read_hierarchy(reader)
        metadata = json.loads(json.dumps(kerchunk_metadata(hierarchy)))
        objects = {key: json.dumps(value).encode() for key, value in metadata.items()}
        (array,) = hierarchy.arrays
        for key, value in reader.objects.items():
            head, _, tail = key.partition("/")
            index = array.keys.index(tail) if head == array.name else None
            if index is not None:
                objects[f"{array.name}/{'.'.join(map(str, index)) or '0'}"] = value
        opened = zarr.open_array(store_of(objects), path=array.name, mode="r", zarr_format=2)
        return opened, metadata[f"{array.name}/.zarray"]

    return read
