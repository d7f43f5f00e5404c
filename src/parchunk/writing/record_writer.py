"""Writing partitions: rows become record files, whatever they are rows of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.keys.numbers import Int64Array
from parchunk.keys.placement import Target
from parchunk.listing.tally import Part
from parchunk.metadata.spec import ArraySpec
from parchunk.out.counts import NOTHING, Counts
from parchunk.out.inlined import column
from parchunk.out.object_files import encode_objects, no_objects, objects_path
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import References, digest, encode, record_index, record_path
from parchunk.writing.inline_room import Inlining
from parchunk.writing.rows import FileRows, Piece, RowSource
from parchunk.writing.seams import Fragment, Seams, numbers_of
from parchunk.writing.written import FileWritten, Written


@dataclass(frozen=True, slots=True)
class _File:
    """A record file before it is encoded: ``small`` are the rows of each fragment to be inlined.

    ``inlined`` are the sizes of those chunks.
    """

    index: int
    numbers: Int64Array
    fragments: list[Fragment]
    small: list[NDArray[np.bool_]]
    inlined: Int64Array

    @property
    def lacks_some(self) -> bool:
        """Whether chunks of it are missing."""
        present = sum(int(np.count_nonzero(one.rows.present)) for one in self.fragments)
        return present < len(self.numbers)


class RecordWriter:
    """Writes the record files of one array, one a job of the ``writers`` pool.

    Rows of a record file that has others elsewhere wait in ``seams`` for those; without, there are
    none.
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
        seams: Seams | None = None,
        identity: str = "none",
        gaps_come: Callable[[Mapping[str, ArraySpec]], None] | None = None,
    ) -> None:
        """Prepare to write rows of ``source``, and what ``identity`` keeps of their objects.

        ``gaps_come`` is told of arrays, by name, before a record file is written that lacks chunks.
        """
        self._source = source
        self._target = target
        self._output = output
        self._record_size = record_size
        self._inlining = inlining
        self._writers = writers
        self._seams = seams
        self._identity = identity
        self._gaps_come = gaps_come
        #: The record files of the last piece.
        self._under_way: list[Future[FileWritten | None]] = []

    def write(self, part: Part) -> Written:
        """Write the record files of a part (a partition, or some of its rows); return what is.

        Raises
        ------
        OutputError, SourceError
            Naming the record file, or the object that could not be read.
        """
        return self.begin(part)()

    def begin(self, part: Part) -> Callable[[], Written]:
        """Write a part but for its last piece, which is being written; return what waits for that.

        So the next part's first piece becomes known meanwhile. The part itself may go before,
        where the pieces of its source outlast it.

        Raises
        ------
        OutputError, SourceError
            As `write`, and so does what is returned.
        """
        before = self._source.requests
        written = Written()
        jobs: list[Future[FileWritten | None]] = []
        try:
            for piece in self._source.pieces(part):
                _gather(jobs, written)
                if self._under_way:
                    wait(self._under_way)
                self._under_way = jobs = [
                    self._writers.submit(self._write_file, piece, begin)
                    for begin in range(0, piece.rows.total, self._record_size)
                ]
                del piece
        except BaseException:
            _cancel(jobs)
            raise
        self._count(part, written)
        written.index_requests += self._source.requests - before

        def finish() -> Written:
            try:
                _gather(jobs, written)
            finally:
                _cancel(jobs)
            return written

        return finish

    def _count(self, part: Part, written: Written) -> None:
        """Count in what is known of a part beside the rows of its record files."""
        found_again = Counts(found_again=part.found_again) if part.found_again else NOTHING
        written.counts = Counts.total([written.counts, self._source.counts(part), found_again])
        written.strays.merge(part.strays)
        written.modified = part.modified

    def _write_file(self, piece: Piece, begin: int) -> FileWritten | None:
        """Write a record file; None where some of its rows are not known yet."""
        file = self._file(piece, begin)
        if file is None:
            return None
        with self._inlining.held(self._target.array, file.index, file.inlined):
            data = encode(_joined(file))
            if file.lacks_some:
                _tell_gaps([self])
            return self._found(file, data, self._put(file, data))

    def _only_file(self, part: Part) -> _File | None:
        """Return the record file of a part; None where there are more, or it waits for anything."""
        if self._seams is not None or not 0 < part.rows.total <= self._record_size:
            return None
        (piece,) = self._source.pieces(part)
        file = self._file(piece, 0)
        return None if file is None or len(file.inlined) else file

    def _written(self, part: Part, found: FileWritten) -> Written:
        """Return what was written of a part that is one record file."""
        written = Written(found.counts, files=[found.record])
        self._count(part, written)
        return written

    def _file(self, piece: Piece, begin: int) -> _File | None:
        """Return the rows of a record file; None where some of them are not known yet."""
        end = min(begin + self._record_size, piece.rows.total)
        numbers, target = piece.rows.numbers(begin, end), self._target
        fragment = Fragment(target.numbers(numbers), piece, piece.file(begin, numbers))
        fragments = self._seams.joined(target, fragment) if self._seams else [fragment]
        if not fragments:
            return None
        rows_of = numbers_of(fragments)
        index = (
            record_index(target.array, rows_of, self._record_size, target.total)
            if target.gathered is None
            else int(rows_of[0])
        )
        each = [self._inlining.small(one.rows.present, one.rows.sizes) for one in fragments]
        inlined = np.concatenate(
            [one.rows.sizes[small] for one, small in zip(fragments, each, strict=True)]
        )
        return _File(index, rows_of, fragments, each, inlined)

    def _put(self, file: _File, data: bytes) -> str:
        """Write a record file that is encoded, and what is kept of its objects before.

        Of gaps in it has been told. Return the digest of what is kept, empty where nothing is.
        """
        kept = self._identity != "none"
        objects = self._put_objects(file.index, file.fragments) if kept else ""
        self._output.put(record_path(self._target.array, file.index), data)
        return objects

    def _found(self, file: _File, data: bytes, objects: str) -> FileWritten:
        """Return what was written of a record file."""
        rows = [one.rows for one in file.fragments]
        present = sum(int(np.count_nonzero(one.present)) for one in rows)
        record = RecordFile(
            file.index, len(file.numbers), present, len(data), digest(data), objects
        )
        counts = Counts(
            present=present,
            inlined=len(file.inlined),
            bytes=sum(int(np.add.reduce(one.sizes)) for one in rows),
        )
        return FileWritten(record, Counts.total([counts, *(one.counts for one in rows)]))

    def _put_objects(self, index: int, fragments: list[Fragment]) -> str:
        """Write what is kept of a record file's objects; return its digest."""
        kept = [_kept(one.rows, self._identity) for one in fragments]
        column = kept[0] if len(kept) == 1 else pa.concat_arrays(kept)
        shared = self._source.spec.inner_chunks is not None
        data = encode_objects(self._identity, column, shared)
        self._output.put(objects_path(self._target.array, index), data)
        return digest(data)


def write_together(
    parts: Sequence[tuple[RecordWriter, Part]], take: Callable[[int, Written], None]
) -> None:
    """Write parts of arrays whose rows are known from listings; ``take`` is told what of each.

    What is done for one is done for all before anything else is: a processor that does the same
    again takes two thirds of the time for it.

    Raises
    ------
    OutputError, SourceError
        As `RecordWriter.write`. What was written before has been taken.
    """
    each = [writer._only_file(part) for writer, part in parts]
    files = [(at, file) for at, file in enumerate(each) if file is not None]
    joined = [_joined(file) for _, file in files]
    encoded = list(map(encode, joined))
    del joined
    put: list[str] = []
    try:
        _tell_gaps([parts[at][0] for at, file in files if file.lacks_some])
        for (at, file), data in zip(files, encoded, strict=True):
            put.append(parts[at][0]._put(file, data))
    finally:
        found = [
            (at, parts[at][0]._found(file, data, objects))
            for (at, file), data, objects in zip(files, encoded, put, strict=False)
        ]
        written = [(at, parts[at][0]._written(parts[at][1], one)) for at, one in found]
        for at, one in written:
            take(at, one)
    for at, (writer, part) in enumerate(parts):
        if each[at] is None:
            take(at, writer.write(part))


def _tell_gaps(writers: Sequence[RecordWriter]) -> None:
    """Tell of the arrays that lack chunks together: each alone would take longer."""
    if writers and (told := writers[0]._gaps_come) is not None:
        told({one._target.array: one._source.spec for one in writers})


def _kept(rows: FileRows, identity: str) -> pa.Array:
    """Return what is kept of each row's object, null where the row is not present."""
    count = len(rows.present)
    if rows.identities is None:
        return no_objects(identity, count)
    if rows.present.all():
        return rows.identities
    return pc.if_else(pa.array(rows.present), rows.identities, no_objects(identity, count))


def _cancel(jobs: list[Future[FileWritten | None]]) -> None:
    for job in jobs:
        job.cancel()


def _gather(jobs: list[Future[FileWritten | None]], written: Written) -> None:
    """Wait for record files under way, and count them in."""
    for job in jobs:
        done = job.result()
        if done is not None:
            written.files.append(done.record)
            written.counts += done.counts


def _joined(file: _File) -> References:
    """Return the rows of a record file as they are written."""
    each = [
        _references(one.piece, one.rows, which)
        for one, which in zip(file.fragments, file.small, strict=True)
    ]
    if len(each) == 1:
        return each[0]
    return References(
        pa.concat_arrays([one.path.cast(pa.string()) for one in each]),
        np.concatenate([one.offset for one in each]),
        np.concatenate([one.size for one in each]),
        pa.concat_arrays([one.raw for one in each]),
    )


def _references(piece: Piece, rows: FileRows, small: NDArray[np.bool_]) -> References:
    """Return the rows as they are written: bytes where they are ``small``, else references."""
    count = len(rows.present)
    raw, referenced = pa.nulls(count, pa.binary()), rows.present
    sizes, offsets = rows.sizes, rows.offsets
    if np.count_nonzero(small):
        raw = column(piece.fetch(rows, small))
        referenced = referenced & ~small
        sizes, offsets = np.where(small, 0, sizes), np.where(small, 0, offsets)
    paths = (
        piece.paths(rows.objects, referenced)
        if np.count_nonzero(referenced)
        else pa.nulls(count, pa.string())
    )
    return References(paths, offsets, sizes, raw)
