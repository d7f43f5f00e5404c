"""Record files that are checked by threads or by who asks: with the same outcome, in one order."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import zarr

import parchunk
from parchunk.auditing.record_check import RecordChecker


def test_who_checks_record_files_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    for number in range(12):
        length = 60 if number % 3 else 6  # of many rows between those of few
        array = root.create_array(f"a{number:02}", shape=(length,), chunks=(1,), dtype="u1")
        array.attrs["_ARRAY_DIMENSIONS"] = ["t"]
        array[: length - 2] = 1
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(str(tmp_path / "s"), record_size=30), str(out))
    for name in ("a00/refs.0.parq", "a04/refs.1.parq", "a09/refs.0.parq"):
        (out / name).write_bytes(b"no")
    monkeypatch.setattr("parchunk.auditing.record_files._ROWS_AT_ONCE", 50)
    threads: set[bool] = set()
    check = RecordChecker.check

    def checked(self: RecordChecker, *arguments: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        return check(self, *arguments)

    monkeypatch.setattr(RecordChecker, "check", checked)
    seen = []
    for small, who in ((0, {False}), (25, {True, False}), (1_000, {True})):
        monkeypatch.setattr("parchunk.auditing.record_files._SMALL", small)
        threads.clear()
        report = parchunk.audit(str(out))
        assert threads == who
        seen.append((report.findings, [array.missing for array in report.arrays]))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0][0]) >= 3
