"""Rows that are looked up where they are known: all of them are, or nothing is written."""

from pathlib import Path

import numpy as np
import pytest
from tests.made import spec

from parchunk.cover.inlining import ReadingBound
from parchunk.errors import OutputError
from parchunk.keys.spelling import PathBuilder
from parchunk.out.opening import open_output
from parchunk.out.record_reader import HeldFiles, RecordReader
from parchunk.writing.known_rows import Before, KnownRows


def test_a_row_that_is_nowhere_known_is_not_missing_in_silence(tmp_path: Path) -> None:
    array = spec("t", (2, 3), (1, 1))
    held = HeldFiles(ReadingBound(1 << 20, 0))
    before = RecordReader(open_output(str(tmp_path)), "t", (), 1, held, 0)
    paths = PathBuilder("s/t/", array.space).build
    rows = KnownRows(array, paths, Before((2, 2), (2, 2), before), ())
    for look in (rows.look_up, rows.inlined):
        with pytest.raises(OutputError, match="t: row 5 is nowhere known: nothing was published"):
            look(np.array([5]))
