"""Rows of record files, read back by their positions: a few files held at a time, and no more."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from parchunk.errors import InputError
from parchunk.out.inlined import stored
from parchunk.out.opening import open_output
from parchunk.out.output import Output
from parchunk.out.receipts import RecordFile
from parchunk.out.record_files import References, digest, encode, record_path
from parchunk.out.record_reader import HeldFiles, RecordReader

ROWS, FILES = 7, 5
CHUNKS = [None, b"", b"base64:AA==", b"x" * 3_000_000, None, b"y" * 3_000_000, b"x" * 3_000_000]


class Room:
    """Room for so many bytes; remembers what was asked for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.read: list[str] = []

    def check_read(self, record_file: str, wanted: int) -> None:
        if wanted > self.room:
            raise InputError(f"{record_file} takes {wanted}")
        self.read.append(record_file)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    found = open_output(str(tmp_path))
    found.prepare()
    return found


@pytest.fixture
def files(output: Output) -> list[RecordFile]:
    """Files of which the first has two row groups of inlined chunks, the others none."""
    made = []
    for index in range(FILES):
        raw = [chunk and stored(chunk) if chunk else chunk for chunk in CHUNKS]
        data = encode(
            References(
                pa.array([None] * ROWS, pa.string()),
                np.arange(ROWS) + 100 * index,
                np.arange(ROWS) + 1000 * index,
                pa.array(raw if not index else [None] * ROWS, pa.binary()),
            )
        )
        output.put(record_path("a", index), data)
        made.append(RecordFile(index, ROWS, ROWS, len(data), digest(data)))
    return made


def test_rows_and_their_bytes_are_what_was_written(output: Output, files: list[RecordFile]) -> None:
    reader = RecordReader(output, "a", files, ROWS, HeldFiles(Room(1 << 30)), 3_000_000)
    rows = reader.take(np.arange(1, ROWS * FILES, 3))
    of, at = np.divmod(np.arange(1, ROWS * FILES, 3), ROWS)
    assert rows.offsets.tolist() == (at + 100 * of).tolist()
    assert rows.sizes.tolist() == (at + 1000 * of).tolist()
    sizes = [-1 if chunk is None else len(chunk) for chunk in CHUNKS]
    assert rows.inlined.tolist() == [sizes[a] if not o else -1 for o, a in zip(of, at, strict=True)]
    assert reader.inlined(np.array([1, 2, 5, 6])) == [CHUNKS[row] for row in (1, 2, 5, 6)]
    with pytest.raises(InputError, match="no receipt has row 35"):
        reader.take(np.array([34, 35]))


def test_as_many_files_are_held_as_there_is_room_for(
    output: Output, files: list[RecordFile]
) -> None:
    plain = files[1:]
    most = max(RecordReader(output, "a", plain, ROWS, HeldFiles(Room(0)), 0).most_to_read(at)
               for at in range(4))  # fmt: skip
    backwards = np.arange(ROWS, ROWS * FILES)
    for room, again in ((most, 4), (most + 3 * 24 * ROWS, 0)):
        rooms = Room(room)
        reader = RecordReader(output, "a", plain, ROWS, HeldFiles(rooms), 0)
        reader.take(backwards)
        rooms.read.clear()
        reader.take(backwards)
        assert len(rooms.read) == again
    # No more are forgotten than must be, however many were before.
    rooms = Room(most + 2 * 24 * ROWS)
    reader = RecordReader(output, "a", plain, ROWS, HeldFiles(rooms), 0)
    for index in (1, 2, 3, 4, 1, 3, 4):
        reader.take(np.array([index * ROWS]))
    assert len(rooms.read) == 5
    with pytest.raises(InputError, match=r"a/refs\.1\.parq takes"):
        RecordReader(output, "a", plain, ROWS, HeldFiles(Room(most // 2)), 0).take(backwards)


def test_readers_that_share_what_is_held_keep_their_files_apart(
    output: Output, files: list[RecordFile]
) -> None:
    held = HeldFiles(Room(1 << 30))
    for index in (1, 2, 3):
        reader = RecordReader(output, "a", [files[index]], ROWS, held, 0)
        assert reader.take(np.array([index * ROWS])).offsets.tolist() == [100 * index]
        del reader
