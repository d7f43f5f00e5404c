"""Writing one partition of an expanded array: shards become rows of inner chunks."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.row_sets import RowSet, require_aligned
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.shard_reading import InnerChunks, ShardReader
from parchunk.listing.tally import Part
from parchunk.metadata.shard_grid import inner_slices, shard_numbers
from parchunk.metadata.shard_index import EMPTY, ZERO_SIZED
from parchunk.metadata.shard_spans import spans
from parchunk.out.inlined import column
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import References, digest, encode, record_index, record_path
from parchunk.writing.inline_room import Inlining
from parchunk.writing.written import Written

#: A dictionary of paths pays from this many rows of a shard in a record file.
_SHARED = 4


@dataclass(frozen=True)
class _File:
    record: RecordFile
    zero_sized: int
    empty: int
    inlined: int
    bytes: int


class ShardWriter:
    """Writes the record files of one expanded array, one a job of the ``writers`` pool.

    At most two slices of ``inner_cells`` rows are held: one is written while the next is read.
    """

    def __init__(
        self,
        reader: ShardReader,
        output: Output,
        record_size: int,
        inner_cells: int,
        inlining: Inlining,
        writers: Executor,
    ) -> None:
        self._reader = reader
        self._spec = spec = reader.spec
        self._output = output
        self._record_size = record_size
        self._inner_cells = inner_cells
        self._inlining = inlining
        self._writers = writers
        self._paths = PathBuilder(f"{reader.source.url}/{spec.name}/", spec.space)

    def write(self, part: Part, rows: RowSet, written: Written) -> None:
        """Write the record files of ``rows``, whose listed shards are ``part``.

        Raises
        ------
        OutputError, SourceError
            Naming the record file or the shard.
        """
        require_aligned(self._spec.name, rows, self._record_size, self._spec.reference_total)
        requests = self._reader.requests
        before = requests.gets
        jobs: list[Future[_File]] = []
        try:
            for some in inner_slices(self._spec, rows, self._inner_cells, self._record_size):
                found = self._reader.read(some, part)
                self._gather(jobs, written)
                jobs = [
                    self._writers.submit(self._write_file, found, begin)
                    for begin in range(0, some.cells, self._record_size)
                ]
                del found
            self._gather(jobs, written)
        finally:
            for job in jobs:
                job.cancel()
        written.shards_present += int(np.count_nonzero(part.vector > 1))
        written.index_requests += requests.gets - before
        written.found_again += part.found_again
        written.strays.merge(part.strays)
        written.modified = part.modified

    def _gather(self, jobs: list[Future[_File]], written: Written) -> None:
        for job in jobs:
            done = job.result()
            written.files.append(done.record)
            written.present += done.record.present
            written.zero_sized += done.zero_sized
            written.empty_entries += done.empty
            written.inlined += done.inlined
            written.bytes += done.bytes

    def _write_file(self, found: InnerChunks, begin: int) -> _File:
        end = min(begin + self._record_size, found.rows.cells)
        numbers = found.rows.numbers(begin, end)
        index = record_index(numbers, self._record_size, self._spec.reference_total)
        states = found.sizes[begin:end]
        present = states > 0
        sizes = np.where(present, states, 0)
        small = self._inlining.small(present, sizes)
        with self._inlining.held(self._spec.name, index, sizes[small]):
            data = encode(self._references(found, begin, numbers, small))
            self._output.put(record_path(self._spec.name, index), data)
            count = int(np.count_nonzero(present))
            record = RecordFile(index, len(numbers), count, len(data), digest(data))
            del data
        return _File(
            record,
            int(np.count_nonzero(states == ZERO_SIZED)),
            int(np.count_nonzero(states == EMPTY)),
            int(np.count_nonzero(small)),
            int(sizes.sum()),
        )

    def _references(
        self,
        found: InnerChunks,
        begin: int,
        numbers: NDArray[np.int64],
        small: NDArray[np.bool_],
    ) -> References:
        states = found.sizes[begin : begin + len(numbers)]
        offsets = found.offsets[begin : begin + len(numbers)]
        present = states > 0
        sizes = np.where(present, states, 0)
        shards = shard_numbers(self._spec, numbers)
        raw = pa.nulls(len(numbers), pa.binary())
        if small.any():
            raw = self._fetch(found, shards, small, offsets, sizes)
            sizes, offsets = np.where(small, 0, sizes), np.where(small, 0, offsets)
        return References(self._path(shards, present & ~small), offsets, sizes, raw)

    def _path(
        self, shards: NDArray[np.int64], referenced: NDArray[np.bool_]
    ) -> pa.StringArray | pa.DictionaryArray:
        """Return the path of each row's shard, null where there is no reference."""
        if not referenced.any():
            return pa.nulls(len(shards), pa.string())
        whole = bool(referenced.all())
        # Arrow's dictionary is by hash: no sort, and shards stay in the order they come.
        distinct = pa.array(shards, mask=None if whole else ~referenced).dictionary_encode()
        paths = self._paths.build(np.asarray(distinct.dictionary))
        if whole and len(paths) * _SHARED > len(shards):
            return paths.take(distinct.indices)
        return pa.DictionaryArray.from_arrays(distinct.indices, paths)

    def _fetch(
        self,
        found: InnerChunks,
        shards: NDArray[np.int64],
        small: NDArray[np.bool_],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> pa.BinaryArray:
        """Return the bytes of the small inner chunks, null elsewhere; one shard after another."""
        content: list[bytes | None] = [None] * len(shards)
        rows = np.flatnonzero(small)
        rows = rows[np.lexsort((offsets[rows], shards[rows]))]
        for of_shard in np.split(rows, np.flatnonzero(np.diff(shards[rows])) + 1):
            number = int(shards[of_shard[0]])
            at = int(np.searchsorted(found.shards, number))
            for span in spans(of_shard.tolist(), offsets, sizes):
                data, version = self._reader.get(
                    number, span.start, span.stop, int(found.lengths[at])
                )
                if version != found.versions[at]:
                    raise self._reader.changed(number)
                for row in span.rows:
                    begin = int(offsets[row]) - span.start
                    content[row] = data[begin : begin + int(sizes[row])]
        return column(content)
