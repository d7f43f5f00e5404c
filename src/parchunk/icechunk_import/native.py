"""A repository's chunks as an inventory, for an audit that knows nothing of Icechunk.

Documents are written as files of a store, the keys and sizes of chunks into a Parquet file beside
it, one batch at a time: no chunk is read, but those of small coordinates, for their dates.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parchunk.errors import InputError, MetadataError, UnsupportedError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.repository import open_existing
from parchunk.keys.numbers import Int64Array
from parchunk.metadata.nodes import parse_array, read_v3_node
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.coordinates import coordinate_threshold

_SCHEMA = pa.schema([("key", pa.string()), ("size", pa.int64())])
#: How Icechunk itself spells chunks, whatever a document says.
_KEYS = {"name": "default", "configuration": {"separator": "/"}}
#: Sizes that icechunk 1.x is asked for at once, each by itself.
_AT_ONCE = 1_000


@dataclass(frozen=True)
class NativeStore:
    """A repository's branch as files: a ``store`` of documents, and the ``inventory`` of it.

    ``url`` is the repository's, ``snapshot`` what the branch was.
    """

    url: str
    snapshot: str
    store: str
    inventory: str


def write_native(
    repo: str,
    folder: Path,
    branch: str = "main",
    repo_options: Mapping[str, str] | None = None,
) -> NativeStore:
    """Write what a branch of a repository holds into a folder that is there.

    Raises
    ------
    InputError
        When there is no such repository or branch.
    MissingExtraError
        Without icechunk.
    """
    adapter.load()
    repository = open_existing(repo, repo_options)
    with adapter.reported(f"read branch {branch} of {repo}", "check --branch"):
        session = repository.readonly_session(branch)
    store, inventory = folder / "store", folder / "objects.parquet"
    made = NativeStore(repo, session.snapshot_id, str(store), str(inventory))
    with (
        adapter.reported(f"read branch {branch} of {repo}", "check the repository"),
        pq.ParquetWriter(inventory, _SCHEMA) as written,
    ):
        for path, data in _documents(session, ""):
            _write(store / path / "zarr.json", data)
            written.write_table(_rows([f"{path}/zarr.json".lstrip("/")], [len(data)]))
            spec = _spec(path, data)
            if spec is None:
                continue
            for held in adapter.held_chunks(session, f"/{path}", spec.rank):
                keys = _keys(path, held.indices)
                sizes = _sizes(session, keys) if held.lengths is None else held.lengths
                written.write_table(_rows(keys, sizes))
                if coordinate_threshold(spec):
                    _keep(session, store, keys)
    return made


def _documents(session: Any, path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the document of a node and of all below it, chunk keys spelled as Icechunk does."""
    data = adapter.get(session.store, f"{path}/zarr.json".lstrip("/"))
    if data is None:
        raise InputError(f"{path or 'the branch'} holds no Zarr metadata")
    document = json.loads(data)
    if document.get("node_type") == "array":
        yield path, json.dumps(document | {"chunk_key_encoding": _KEYS}).encode()
        return
    yield path, data
    for name in sorted(adapter.list_nodes(session.store, path)):
        if name != "zarr.json":
            yield from _documents(session, f"{path}/{name}".lstrip("/"))


def _spec(path: str, data: bytes) -> ArraySpec | None:
    """Return the array that a document is of; None for a group, or what planning will refuse."""
    if json.loads(data).get("node_type") != "array":
        return None
    try:
        return parse_array(read_v3_node(path, data))
    except (MetadataError, UnsupportedError):
        return None


def _keys(path: str, indices: Int64Array) -> pa.Array:
    """Return the keys of chunks by their indices, shape (n, rank)."""
    base = f"{path}/c".lstrip("/")
    columns = [pc.cast(pa.array(column), pa.string()) for column in indices.T]
    if not columns:
        return pa.array([base] * len(indices), pa.string())
    return pc.binary_join_element_wise(pa.scalar(base), *columns, "/")


def _rows(keys: Any, sizes: Any) -> pa.Table:
    return pa.table({"key": keys, "size": np.asarray(sizes, np.int64)}, schema=_SCHEMA)


def _sizes(session: Any, keys: pa.Array) -> Int64Array:
    """Return the sizes of chunks: icechunk 1.x tells one at a time."""

    async def some(names: list[str]) -> list[int]:
        return list(await asyncio.gather(*map(session.store.getsize, names)))

    found: list[int] = []
    for begin in range(0, len(keys), _AT_ONCE):
        found += adapter.run(some(keys.slice(begin, _AT_ONCE).to_pylist()))
    return np.array(found, np.int64)


def _keep(session: Any, store: Path, keys: pa.Array) -> None:
    """Write a coordinate's chunks; those that cannot be read here give no dates."""
    for key in keys.to_pylist():
        try:
            data = adapter.get(session.store, key)
        except adapter.errors():
            return
        if data is not None:
            _write(store / key, data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
