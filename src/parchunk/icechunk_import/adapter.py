"""Icechunk 1.1 and 2.x behind one set of functions: what differs between them stays here.

icechunk is imported when the first of them is called, as it is an optional extra.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress, product, repeat
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.errors import OutputError
from parchunk.extras import require

if TYPE_CHECKING:
    import icechunk

_T = TypeVar("_T")
#: What icechunk's columns call a virtual chunk.
_VIRTUAL = 2
_FRAME = re.compile(r"^[\s|│x×>`╰├─▶-]+")


def load() -> Any:
    """Return the icechunk module.

    Raises
    ------
    MissingExtraError
        Naming the extra that brings it.
    """
    require("icechunk", "icechunk")
    import icechunk

    return icechunk


def takes_arrays() -> bool:
    """Whether this icechunk sets references from arrays (2.x), or one object a chunk (1.x)."""
    return hasattr(load().IcechunkStore, "set_virtual_refs_arr")


def goes_on_creating() -> bool:
    """Whether this icechunk can create a repository where one was begun (2.x)."""
    return "check_clean_root" in inspect.signature(load().Repository.create).parameters


def create(storage: Any, config: Any, begun: bool) -> Any:
    """Create a repository; where one was ``begun`` that is none yet, go on with it."""
    options = {"check_clean_root": False} if begun else {}
    return load().Repository.create(storage, config=config, **options)


def errors() -> tuple[type[Exception], ...]:
    """Return what icechunk raises: in 1.x a conflict is no IcechunkError."""
    ic = load()
    return (ic.IcechunkError, ic.ConflictError)


def conflicts() -> tuple[type[Exception], ...]:
    """Return what icechunk raises when somebody else's commit is in the way."""
    ic = load()
    return (ic.ConflictError, ic.RebaseFailedError)


@contextmanager
def reported(doing: str, remedy: str) -> Iterator[None]:
    """Turn icechunk's many-line errors into one `OutputError` line."""
    try:
        yield
    except errors() as error:
        raise OutputError(f"cannot {doing}: {one_line(error)}; {remedy}") from None


def one_line(error: BaseException) -> str:
    """Return the causes in an icechunk error, without its drawing, context and configuration."""
    found: list[str] = []
    context = False
    for line in str(error).splitlines():
        text = _FRAME.sub("", line).strip()
        if text.startswith("context:"):
            context = True
            continue
        # After the context only the chain of causes counts, which repeats what stood before it.
        cause = re.match(r"^\s*(\|->|`->|├─▶|╰─▶)", line)
        if text and (not context or cause) and not any(text in known for known in found):
            found.append(text)
    said = ": ".join(found) or type(error).__name__
    return said if len(said) <= 300 else f"{said[:297]}..."


def quiet_logs() -> None:
    """Keep icechunk's log lines about local repositories off the terminal."""
    load().set_logs_filter("error")


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run one of the store's asynchronous calls on zarr's own event loop."""
    from zarr.core.sync import sync

    return sync(coroutine)


def put(store: Any, items: Mapping[str, bytes]) -> None:
    """Set keys of a session's store."""
    from zarr.core.buffer import default_buffer_prototype

    make = default_buffer_prototype().buffer.from_bytes

    async def set_all() -> None:
        for key, value in items.items():
            await store.set(key, make(value))

    run(set_all())


def get(store: Any, key: str) -> bytes | None:
    """Return the value of a key, or None when there is none."""
    from zarr.core.buffer import default_buffer_prototype

    value = run(store.get(key, default_buffer_prototype()))
    return None if value is None else bytes(value.to_bytes())


def list_nodes(store: Any, group: str) -> list[str]:
    """Return the names of what lies right below a group of a session's store."""

    async def names() -> list[str]:
        return [name.rstrip("/") async for name in store.list_dir(group)]

    return run(names())


def write_values(store: Any, array: str, start: int, values: NDArray[Any]) -> None:
    """Write values into an array of a session's store, from an element of its first axis on."""
    import zarr

    opened = zarr.open_array(store=store, path=array, mode="r+")
    opened[start : start + len(values)] = values


def delete(store: Any, keys: Sequence[str]) -> None:
    """Delete keys of a session's store."""

    async def delete_all() -> None:
        for key in keys:
            await store.delete(key)

    run(delete_all())


def made_arrays(repository: Any, commit: Any) -> frozenset[str] | None:
    """Return the arrays that a commit made, also anew; None where the history before it is gone."""
    if commit.parent_id is None:
        return frozenset()
    try:
        changed = repository.diff(from_snapshot_id=commit.parent_id, to_snapshot_id=commit.id)
    except errors():
        return None
    return frozenset(path.lstrip("/") for path in changed.new_arrays)


def delete_node(store: Any, path: str) -> None:
    """Delete an array or group of a session's store, with all that is below it."""
    run(store.delete_dir(path))


#: What an object must not differ from when it is read: modified no later, or of this entity tag.
Pin = datetime | str | None

#: Sets references in a session's store; returns how many icechunk did not take.
SetCall = Callable[[Any], int]


def prepare(
    path: str,
    start: Sequence[int],
    grid: Sequence[int],
    locations: pa.StringArray,
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    pins: datetime | Sequence[Pin] | None,
) -> SetCall:
    """Return the call that sets the references of a box of chunks; any thread can prepare it.

    ``grid`` is the box's shape and ``start`` its first chunk index; rows are in C order, and a
    null location is a missing chunk. ``pins`` are the same for all, or each chunk's own, for which
    icechunk takes objects alone. Icechunk does not raise for a location outside its
    containers: it returns the chunks, which the call counts.
    """
    there = locations.to_pylist()
    if takes_arrays() and not isinstance(pins, Sequence):
        # not by pc.fill_null, which imports pandas
        filled = [at or "" for at in there] if locations.null_count else there

        def refused(store: Any) -> Any:
            return store.set_virtual_refs_arr(
                path,
                tuple(grid),
                filled,
                offsets.view(np.uint64),
                lengths.view(np.uint64),
                arr_offset=tuple(start),
                checksum=pins,
                validate_containers=True,
            )
    else:
        specs = _specs(start, grid, there, offsets, lengths, pins)

        def refused(store: Any) -> Any:
            return store.set_virtual_refs(path, specs, validate_containers=True)

    return lambda store: len(refused(store) or ())


def _specs(
    start: Sequence[int],
    grid: Sequence[int],
    there: list[str | None],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    pins: datetime | Sequence[Pin] | None,
) -> list[Any]:
    """Return icechunk's object for every chunk that is there: about 700 bytes each."""
    make = load().VirtualChunkSpec
    if isinstance(pins, Sequence):
        own = list(compress(pins, there))
        tags: Iterable[str | None] = [pin if isinstance(pin, str) else None for pin in own]
        times: Iterable[datetime | None] = [
            pin if isinstance(pin, datetime) else None for pin in own
        ]
    else:
        tags, times = repeat(None), repeat(pins)
    ranges = (range(low, low + size) for low, size in zip(start, grid, strict=True))
    columns = (product(*ranges), there, offsets.tolist(), lengths.tolist())
    kept = (compress(column, there) for column in columns)
    return list(map(make, *kept, tags, times))


@dataclass(frozen=True)
class Held:
    """Chunks that an array has: indices of shape (n, rank), and with 2.x what they are.

    ``locations`` is ``""`` for chunks whose bytes are in the repository, those that are not
    ``virtual``; 1.x does not tell, and then all but the indices are None.
    """

    indices: NDArray[np.int64]
    virtual: NDArray[np.bool_] | None = None
    locations: list[str] | None = None
    offsets: NDArray[np.uint64] | None = None
    lengths: NDArray[np.uint64] | None = None


def held_chunks(session: Any, path: str, rank: int) -> Iterator[Held]:
    """Yield the chunks that a read-only session's array has.

    Ask a read-only session: in 2.x a writable one also counts what it has itself deleted.
    """
    iterator = _held(session, path, rank)

    async def step() -> Held | None:
        return await anext(iterator, None)

    while (batch := run(step())) is not None:
        yield batch


async def _held(session: Any, path: str, rank: int) -> AsyncIterator[Held]:
    if hasattr(session.store, "array_chunk_iterator"):
        async for indices, kinds, paths, offsets, lengths, _ in session.store.array_chunk_iterator(
            path
        ):
            virtual = kinds == _VIRTUAL
            whose = zip(paths, virtual.tolist(), strict=True)
            locations = [at if is_so else "" for at, is_so in whose]
            shaped = indices.astype(np.int64).reshape(len(kinds), rank)
            yield Held(shaped, virtual, locations, offsets, lengths)
        return
    found: list[Sequence[int]] = []
    async for index in session.chunk_coordinates(path):
        found.append(index)
        if len(found) == 100_000:
            yield Held(np.array(found, np.int64).reshape(len(found), rank))
            found = []
    if found:
        yield Held(np.array(found, np.int64).reshape(len(found), rank))


def is_virtual(session: Any, path: str, index: Sequence[int]) -> bool:
    """Whether a chunk that an array has is a reference to an object elsewhere."""
    return bool(session.chunk_type(path, list(index)) == load().ChunkType.VIRTUAL)


def whole_second_after(microseconds: int) -> datetime:
    """Return the whole second at or after a modification time: icechunk keeps no fractions."""
    return datetime.fromtimestamp(-(-microseconds // 1_000_000), UTC)


def is_anonymous(store: Any) -> bool:
    """Whether a container's store says that its chunks are read without credentials."""
    options = getattr(store, "_0", None)
    if isinstance(options, dict):
        return str(options.get("google_skip_signature", "")).lower() == "true"
    return bool(getattr(options, "anonymous", False))


def server_of(store: Any) -> tuple[str, ...]:
    """Return what names the server of a container's store: none where it is the provider's own."""
    options = getattr(store, "_0", None)
    names = ("google_base_url", "azure_storage_endpoint", "account")
    found = (
        [options.get(name) for name in names]
        if isinstance(options, dict)
        else [getattr(options, "endpoint_url", None)]
    )
    said = [str(one).rstrip("/") for one in found if one]
    return tuple(one for one in said if not one.endswith(".amazonaws.com"))


def local_access() -> Any:
    """Return the credential of local virtual chunks: 2.x has a word for it, 1.x takes None."""
    return _access("LocalFileSystemAccess")


def http_access() -> Any:
    """Return the credential of virtual chunks on HTTP servers; see `local_access`."""
    return _access("HttpAccess")


def _access(name: str) -> Any:
    found = getattr(load().credentials, name, None)
    return found() if isinstance(found, type) else found


def manifest_config(ic: Any, config: icechunk.RepositoryConfig) -> Any:
    """Return the manifest part of a repository's configuration, made where there is none."""
    return config.manifest if config.manifest is not None else ic.ManifestConfig()


def writes_together() -> bool:
    """Whether this icechunk can write manifests of several arrays at a time (2.1.2 and later)."""
    return hasattr(load().ManifestConfig, "max_concurrent_manifest_fetches_during_commit")


def write_together(config: icechunk.RepositoryConfig, arrays: int) -> None:
    """Write manifests of so many arrays at a time, unless the repository says of how many."""
    if writes_together():
        manifest = manifest_config(load(), config)
        if manifest.max_concurrent_manifest_fetches_during_commit is None:
            manifest.max_concurrent_manifest_fetches_during_commit = arrays
            config.manifest = manifest


def forget_manifests(config: icechunk.RepositoryConfig) -> None:
    """Keep no manifest that was written: an import reads none again, and holds them all else."""
    ic = load()
    caching = config.caching if config.caching is not None else ic.CachingConfig()
    caching.num_chunk_refs = 1
    config.caching = caching
