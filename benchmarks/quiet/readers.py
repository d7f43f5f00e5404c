"""What stock readers see of OUT: chunks through fsspec, values through zarr on it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import zarr
from fsspec.implementations.reference import ReferenceNotReachable

from benchmarks.quiet.truth import Held, attributes_of, dates_of

#: What a reference leads to that leads nowhere.
DANGLING = b"there is no such object"


@dataclass(frozen=True)
class Stock:
    """OUT as stock readers open it, by the options of fsspec; ``remote`` are those of chunks."""

    out: str
    options: dict[str, Any]
    protocol: str = "file"
    remote: tuple[tuple[str, Any], ...] = ()

    def chunks(self) -> dict[str, Held]:
        """Return the arrays that the root names, with the bytes of chunks as fsspec gets them."""
        files = fsspec.filesystem("reference", **self._storage(asynchronous=False))
        documents = json.loads(files.cat_file(".zmetadata"))["metadata"]
        found = {}
        for key, said in documents.items():
            name, _, kind = key.rpartition("/")
            if kind != ".zarray":
                continue
            shape, chunk_shape = said["shape"], tuple(said["chunks"])
            grid = [-(-size // chunk) for size, chunk in zip(shape, chunk_shape, strict=True)]
            mark = said.get("dimension_separator", ".")
            keys = {
                index: f"{name}/{mark.join(map(str, index)) or '0'}"
                for index in itertools.product(*map(range, grid))
            }
            found[name] = Held(
                np.empty(shape, "i1"),
                {index: _got(files, each) for index, each in keys.items()},
                chunk_shape,
                attributes_of(documents.get(f"{name}/.zattrs", {})),
                said["fill_value"],
            )
        return found

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of arrays of these names; days of those of time."""
        if self.protocol == "file":
            storage = self._storage(asynchronous=False)
            root = zarr.open_group("reference://", mode="r", zarr_format=2, storage_options=storage)
        else:
            files = fsspec.filesystem("reference", **self._storage(asynchronous=True))
            store = zarr.storage.FsspecStore(files, read_only=True, path="")
            root = zarr.open_group(store, mode="r", zarr_format=2)
        return {name: _values(root[name]) for name in names}

    def _storage(self, asynchronous: bool) -> dict[str, Any]:
        remote = dict(self.remote)
        if asynchronous:
            remote["asynchronous"] = True
        return {
            "fo": self.out, "target_options": self.options, "skip_instance_cache": True,
            "remote_protocol": self.protocol, "remote_options": remote,
            **({"asynchronous": True} if asynchronous else {}),
        }  # fmt: skip


def _got(files: Any, key: str) -> bytes | None:
    try:
        return bytes(files.cat_file(key))
    except ReferenceNotReachable:  # there is a reference, to what is not there
        return DANGLING
    except FileNotFoundError:
        return None


def _values(array: Any) -> Any:
    return dates_of(array) if array.basename == "time" else np.asarray(array[...])
