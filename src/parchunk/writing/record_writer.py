"""Writing one partition: sizes become rows, rows become record files. Paths are made here."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.errors import SourceError
from parchunk.keys.row_sets import require_aligned
from parchunk.keys.spelling import PathBuilder
from parchunk.listing.tally import Part
from parchunk.metadata.spec import ArraySpec
from parchunk.out.inlined import column
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import References, digest, encode, record_index, record_path
from parchunk.stores.source import Source
from parchunk.writing.inline_room import Inlining
from parchunk.writing.written import FileInWork, Written

#: Chunks that are fetched to be inlined before the next ones are asked for.
_FETCHED = 1_000


class PartitionWriter:
    """Writes the record files of one array; one a job of the ``writers`` pool."""

    def __init__(
        self,
        spec: ArraySpec,
        source: Source,
        output: Output,
        record_size: int,
        inlining: Inlining,
        writers: Executor,
        fetches: Executor,
    ) -> None:
        self._spec = spec
        self._source = source
        self._output = output
        self._record_size = record_size
        self._inlining = inlining
        self._writers = writers
        self._fetches = fetches
        self._paths = PathBuilder(f"{source.url}/{spec.name}/", spec.space)

    def write(self, part: Part, written: Written) -> None:
        """Write the record files of a part (a partition, or a slice of one); add to ``written``.

        Raises
        ------
        OutputError, SourceError
            Naming the object that could not be written, or fetched to be inlined.
        """
        total = self._spec.reference_total
        require_aligned(self._spec.name, part.rows, self._record_size, total)
        jobs: list[Future[FileInWork]] = []
        try:
            for begin in range(0, len(part.vector), self._record_size):
                jobs.append(self._writers.submit(self._write_file, part, begin))
            for job in jobs:
                done = job.result()
                written.files.append(done.record)
                written.present += done.record.present
                written.zero_sized += done.zero_sized
                written.inlined += done.inlined
                written.bytes += done.bytes
        finally:
            for job in jobs:
                job.cancel()
        written.found_again += part.found_again
        written.strays.merge(part.strays)
        if part.modified is not None:
            written.modified = max(part.modified, written.modified or part.modified)

    def _write_file(self, part: Part, begin: int) -> FileInWork:
        end = min(begin + self._record_size, len(part.vector))
        numbers = part.rows.numbers(begin, end)
        index = record_index(numbers, self._record_size, self._spec.reference_total)
        vector = part.vector[begin:end]
        present = vector > 1
        sizes = np.where(present, vector - np.uint64(1), np.uint64(0)).astype(np.int64)
        small = self._inlining.small(present, sizes)
        with self._inlining.held(self._spec.name, index, sizes[small]):
            data = encode(self._references(numbers, present, small, sizes))
            self._output.put(record_path(self._spec.name, index), data)
            count = int(np.count_nonzero(present))
            record = RecordFile(index, len(vector), count, len(data), digest(data))
            del data
        return FileInWork(
            record,
            int(np.count_nonzero(vector == 1)),
            int(np.count_nonzero(small)),
            int(sizes.sum()),
        )

    def _references(
        self,
        numbers: NDArray[np.int64],
        present: NDArray[np.bool_],
        small: NDArray[np.bool_],
        sizes: NDArray[np.int64],
    ) -> References:
        rows = len(numbers)
        raw = pa.nulls(rows, pa.binary())
        referenced = present
        if small.any():
            raw = self._fetch(numbers, small, sizes)
            referenced = present & ~small
            sizes = np.where(small, 0, sizes)
        # Spelling them all is quicker than picking those that are referenced.
        paths = (
            self._paths.build(numbers, referenced)
            if referenced.any()
            else pa.nulls(rows, pa.string())
        )
        return References(paths, np.zeros(rows, np.int64), sizes, raw)

    def _fetch(
        self, numbers: NDArray[np.int64], small: NDArray[np.bool_], sizes: NDArray[np.int64]
    ) -> pa.BinaryArray:
        """Return the bytes of the small chunks, null elsewhere; fetched side by side."""
        content: list[bytes | None] = [None] * len(numbers)
        rows = np.flatnonzero(small).tolist()
        for begin in range(0, len(rows), _FETCHED):
            some = rows[begin : begin + _FETCHED]
            keys = [self._key(int(numbers[row])) for row in some]
            for row, key, data in zip(
                some, keys, self._fetches.map(self._source.get, keys), strict=True
            ):
                if data is None or len(data) != sizes[row]:
                    got = "is gone" if data is None else f"has {len(data)} bytes"
                    raise SourceError(
                        f"{self._source.describe(key)} was listed with {sizes[row]} bytes and "
                        f"now {got}: the store changed meanwhile; run again to resume"
                    )
                content[row] = data
        return column(content)

    def _key(self, number: int) -> str:
        index = []
        for size in reversed(self._spec.grid):
            number, at = divmod(number, size)
            index.append(at)
        return f"{self._spec.name}/{self._spec.keys.tail(index[::-1])}"
