"""A parser for VirtualiZarr: the references of one region as a virtual dataset.

    for region in range(regions):
        vds = open_virtual_dataset(url, registry=registry, parser=RegionParser(region=region))
        vds.vz.to_icechunk(session.store, append_dim="time")    # append_dim from the second on

virtualizarr is imported when a parser is called, as it is an optional extra.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from parchunk.errors import InputError, UnsupportedError
from parchunk.extras import require
from parchunk.icechunk_import.locations import Container
from parchunk.keys.row_sets import RowSet
from parchunk.metadata.chunk_keys import chunk_key
from parchunk.metadata.codecs import is_sharded
from parchunk.metadata.names import group_of
from parchunk.metadata.spec import ArraySpec, Hierarchy, JSONObject
from parchunk.metadata.to_v3 import v3_documents
from parchunk.metadata.v3 import parse_codecs
from parchunk.out.inlined import original
from parchunk.out.opening import open_output
from parchunk.out.output import PREVIOUS, Output
from parchunk.out.plan_file import published_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import RecordFile
from parchunk.planning.plan import Partition, Plan, Region
from parchunk.reading.rows import Receipts, read_rows

if TYPE_CHECKING:
    from virtualizarr.manifests import ManifestStore

#: Times that references are read before what is wrong with them is no update's doing.
_READINGS = 4


@dataclass(frozen=True)
class RegionParser:
    """Parses the references of one region of a finished build: VirtualiZarr's parser protocol.

    Parameters
    ----------
    region
        The region's number; None is the whole of every array.
    group
        The group whose arrays are taken; those of groups below it are left out.
    skip_variables
        Names of arrays to leave out.
    output_options
        Options to reach the references, where they are remote.

    Arrays that have the split dimension are cut to the region, so that regions can be appended one
    after another. Where a region is not made of whole chunks of one (a coordinate stored as one
    chunk, say), that array's part is loaded instead, which needs its chunks' store in the registry.
    """

    region: int | None = None
    group: str = ""
    skip_variables: Iterable[str] = ()
    output_options: Mapping[str, str] | None = None

    def __call__(self, url: str, registry: Any) -> ManifestStore:
        """Return the region's arrays as a ManifestStore.

        Raises
        ------
        InputError
            When ``url`` is no finished build, or has no such region. While an update runs, or
            after one that was cut short, it is what was published before.
        UnsupportedError
            When an array has no Zarr v3 form, or a region is wanted of one that is kept sharded.
        MissingExtraError
            When VirtualiZarr is not installed.
        """
        require("virtualizarr", "virtualizarr")
        output = open_output(url, self.output_options)
        for _ in range(_READINGS):
            state = _Published.of(output)
            try:
                return self._parse(output, state, registry)
            except InputError:
                # An update that began meanwhile makes files differ from receipts read before.
                if _Published.of(output) == state:
                    raise
        return self._parse(output, _Published.of(output), registry)

    def _parse(self, output: Output, state: _Published, registry: Any) -> ManifestStore:
        from parchunk.virtualizarr.store import make_store

        plan = state.plan
        region = self._region(plan)
        skipped = set(self.skip_variables)
        chosen = {
            _name(array.spec.name): array.spec
            for array in plan.arrays
            if group_of(array.spec.name) == self.group.strip("/")
            and _name(array.spec.name) not in skipped
        }
        groups = {group.name: group for group in plan.hierarchy.groups}
        if self.group.strip("/") not in groups:
            raise InputError(f"{output.url} has no group {self.group!r}: there are {list(groups)}")
        documents = v3_documents(
            Hierarchy(tuple(chosen.values()), (groups[self.group.strip("/")],))
        )
        arrays: dict[str, Any] = {}
        uneven: dict[str, Any] = {}
        for name, spec in chosen.items():
            read = _Reader(output, state, spec, documents.arrays[spec.name])
            axis = None if region is None or plan.split is None else plan.split.axis_in(spec)
            if region is None or axis is None:
                arrays[name] = read.all()
            elif is_sharded(parse_codecs(documents.arrays[spec.name]["codecs"])):
                # VirtualiZarr counts inner chunks where it appends, and writes beside the place.
                raise UnsupportedError(
                    f"{spec.name}: VirtualiZarr cannot append regions of arrays whose shards are "
                    "kept whole: build without --shards whole, take region=None, or import with "
                    "parchunk to-icechunk"
                )
            elif read.holds_whole_chunks(axis, region):
                arrays[name] = read.part(axis, region)
            else:
                uneven[name] = read.all()
        attributes = documents.groups[self.group.strip("/")].get("attributes", {})
        return make_store(
            arrays,
            uneven,
            attributes,
            registry,
            None if plan.split is None else plan.split.dimension,
            None if region is None else slice(region.start, region.stop),
        )

    def _region(self, plan: Plan) -> Region | None:
        if self.region is None:
            return None
        if not 0 <= self.region < len(plan.regions):
            raise InputError(
                f"there is no region {self.region}: the plan has {len(plan.regions)}, from 0 on"
            )
        return plan.regions[self.region]


@dataclass(frozen=True)
class _Published:
    """What readers of OUT see, and what vouches for it."""

    plan: Plan
    receipts: Receipts
    updating: bool

    @classmethod
    def of(cls, output: Output) -> _Published:
        """Return what is published in OUT now."""
        plan = published_plan(output)
        if plan is None:
            raise InputError(
                f"{output.url} is unfinished: run its build again to resume, then open it"
            )
        return cls(plan, read_receipts(output, plan), output.get(PREVIOUS) is not None)

    def files(self, array: str) -> list[RecordFile] | None:
        """Return an array's record files; None while an update makes receipts of it untrue.

        What it writes anew has the same chunks in the same rows.
        """
        if self.updating:
            return None
        held = [receipt for (name, _), receipt in self.receipts.items() if name == array]
        if len(held) < self.plan.by_name[array].regions:
            return None
        return [file for receipt in held for file in receipt.record_files]


class _Reader:
    """Makes ManifestArrays of one array's references."""

    def __init__(
        self,
        output: Output,
        state: _Published,
        spec: ArraySpec,
        document: JSONObject,
    ) -> None:
        self._output = output
        self._plan = plan = state.plan
        self._container = Container.of_plan(plan)
        self._spec = spec
        self._document = document
        self._files = state.files(spec.name)

    def all(self) -> Any:
        """Return the whole array."""
        rows = RowSet(max(self._spec.reference_total, 1), 0, self._spec.reference_total)
        return self._array(rows, self._spec.reference_grid, self._spec.shape)

    def holds_whole_chunks(self, axis: int, region: Region) -> bool:
        """Whether a region begins and ends between two chunks, or at the array's end."""
        size, chunk = self._spec.shape[axis], self._spec.reference_chunks[axis]
        return region.start % chunk == 0 and (region.stop % chunk == 0 or region.stop >= size)

    def part(self, axis: int, region: Region) -> Any:
        """Return the region of the array, cut to its elements."""
        shape, grid, chunk = (
            self._spec.shape,
            self._spec.reference_grid,
            self._spec.reference_chunks[axis],
        )
        start = min(region.start, shape[axis])
        stop = min(region.stop, shape[axis])
        low, high = -(-start // chunk), -(-stop // chunk)
        inner = prod(grid[axis + 1 :])
        rows = RowSet(grid[axis] * inner, low * inner, high * inner, 0, prod(grid[:axis]))
        return self._array(
            rows, _replace(grid, axis, high - low), _replace(shape, axis, stop - start)
        )

    def _array(self, rows: RowSet, grid: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        from virtualizarr.manifests import ChunkManifest, ManifestArray
        from zarr.core.metadata.v3 import ArrayV3Metadata

        count = rows.total
        paths = np.full(count, "", np.dtypes.StringDType())
        offsets = np.zeros(count, np.uint64)
        lengths = np.zeros(count, np.uint64)
        inlined: dict[tuple[int, ...], bytes] = {}
        partition = Partition(self._spec.name, None, rows, rows)
        at = 0
        size = self._plan.record_size
        for batch in read_rows(self._output, partition, self._files, size):
            end = at + len(batch)
            locations = self._container.locations(self._spec.name, batch.path)
            # a list, as NumPy makes its strings of that 3 times as fast as of an object array
            paths[at:end] = pc.fill_null(locations, "").to_pylist()
            offsets[at:end] = batch.offset
            lengths[at:end] = batch.size
            for row in np.flatnonzero(batch.inlined).tolist():
                index = np.unravel_index(at + row, grid) if grid else ()
                inlined[tuple(map(int, index))] = original(batch.raw[row].as_py())
            at = end
        document = copy.deepcopy(self._document)
        document["shape"] = list(shape)
        options: dict[str, Any] = {}
        if inlined:
            options = self._inlined(inlined, rows, paths, lengths, grid)
        manifest = ChunkManifest.from_arrays(
            paths=paths.reshape(grid),
            offsets=offsets.reshape(grid),
            lengths=lengths.reshape(grid),
            validate_paths=False,
            **options,
        )
        return ManifestArray(metadata=ArrayV3Metadata.from_dict(document), chunkmanifest=manifest)

    def _inlined(
        self,
        inlined: dict[tuple[int, ...], bytes],
        rows: RowSet,
        paths: Any,
        lengths: Any,
        grid: Sequence[int],
    ) -> dict[str, Any]:
        """Put inlined chunks in a manifest; return what else it is made with."""
        from virtualizarr.manifests import ChunkManifest

        if "inlined" not in signature(ChunkManifest.from_arrays).parameters:
            if self._plan.stores is not None or self._spec.inner_chunks is not None:
                raise InputError(
                    f"{self._spec.name}: this VirtualiZarr takes no inlined chunks: upgrade it, or "
                    "build with --no-inline-coordinates and without --inline-threshold"
                )
            # Each is an object of the source, too.
            root = self._plan.location.url
            for index, data in inlined.items():
                at = int(np.ravel_multi_index(index, tuple(grid))) if grid else 0
                path = pa.array([f"{root}/{chunk_key(self._spec, rows.number(at))}"])
                paths[at] = self._container.locations(self._spec.name, path)[0].as_py()
                lengths[at] = len(data)
            return {}
        from virtualizarr.manifests.manifest import INLINED_CHUNK_PATH

        for index, data in inlined.items():
            at = int(np.ravel_multi_index(index, tuple(grid))) if grid else 0
            paths[at], lengths[at] = INLINED_CHUNK_PATH, len(data)
        return {"inlined": inlined}


def _replace(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis + 1 :])


def _name(path: str) -> str:
    return path.rpartition("/")[2]
