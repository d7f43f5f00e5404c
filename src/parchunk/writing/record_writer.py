"""Writing partitions: rows become record files, whatever they are rows of."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from parchunk.keys.placement import Target
from parchunk.listing.tally import Part
from parchunk.out.counts import Counts
from parchunk.out.inlined import column
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import References, digest, encode, record_index, record_path
from parchunk.writing.inline_room import Inlining
from parchunk.writing.rows import FileRows, Piece, RowSource
from parchunk.writing.written import FileWritten, Written


class RecordWriter:
    """Writes the record files of one array, one a job of the ``writers`` pool.

    At most two pieces of rows are held: one is written while the next becomes known.
    """

    def __init__(
        self,
        source: RowSource,
        target: Target,
        output: Output,
        record_size: int,
        inlining: Inlining,
        writers: Executor,
    ) -> None:
        self._source = source
        self._target = target
        self._output = output
        self._record_size = record_size
        self._inlining = inlining
        self._writers = writers

    def write(self, part: Part, written: Written) -> None:
        """Write the record files of a part (a partition, or a slice of one); add to ``written``.

        Raises
        ------
        OutputError, SourceError
            Naming the record file, or the object that could not be read.
        """
        before = self._source.requests
        jobs: list[Future[FileWritten]] = []
        try:
            for piece in self._source.pieces(part):
                _gather(jobs, written)
                jobs = [
                    self._writers.submit(self._write_file, piece, begin)
                    for begin in range(0, piece.rows.total, self._record_size)
                ]
                del piece
            _gather(jobs, written)
        finally:
            for job in jobs:
                job.cancel()
        written.counts += self._source.counts(part) + Counts(found_again=part.found_again)
        written.index_requests += self._source.requests - before
        written.strays.merge(part.strays)
        if part.modified is not None:
            written.modified = max(part.modified, written.modified or part.modified)

    def _write_file(self, piece: Piece, begin: int) -> FileWritten:
        end = min(begin + self._record_size, piece.rows.total)
        numbers, target = piece.rows.numbers(begin, end), self._target
        rows_of = target.numbers(numbers)
        index = record_index(target.array, rows_of, self._record_size, target.total)
        rows = piece.file(begin, numbers)
        small = self._inlining.small(rows.present, rows.sizes)
        with self._inlining.held(target.array, index, rows.sizes[small]):
            data = encode(_references(piece, rows, small))
            self._output.put(record_path(target.array, index), data)
            present = int(np.count_nonzero(rows.present))
            record = RecordFile(index, len(numbers), present, len(data), digest(data))
            del data
        counts = Counts(
            present=present,
            inlined=int(np.count_nonzero(small)),
            bytes=int(rows.sizes.sum()),
        )
        return FileWritten(record, rows.counts + counts)


def _gather(jobs: list[Future[FileWritten]], written: Written) -> None:
    """Wait for record files under way, and count them in."""
    for job in jobs:
        done = job.result()
        written.files.append(done.record)
        written.counts += done.counts


def _references(piece: Piece, rows: FileRows, small: NDArray[np.bool_]) -> References:
    """Return the rows as they are written: bytes where they are ``small``, else references."""
    count = len(rows.present)
    raw, referenced = pa.nulls(count, pa.binary()), rows.present
    sizes, offsets = rows.sizes, rows.offsets
    if small.any():
        raw = column(piece.fetch(rows, small))
        referenced = referenced & ~small
        sizes, offsets = np.where(small, 0, sizes), np.where(small, 0, offsets)
    paths = (
        piece.paths(rows.objects, referenced) if referenced.any() else pa.nulls(count, pa.string())
    )
    return References(paths, offsets, sizes, raw)
