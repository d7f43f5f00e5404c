"""What only an OUT on a file system meets."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zarr

import parchunk
from parchunk.errors import OutputError
from parchunk.out.local import LocalOutput
from parchunk.stores.opening import Location


def test_a_folder_that_goes_while_it_is_listed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of claims does when a build has ended, under the eyes of `status --watch`."""
    output = LocalOutput(Location(str(tmp_path)))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims/one").write_bytes(b"1")
    walked, gone = os.walk, []

    def once(top: str, onerror: Callable[[OSError], None]) -> Iterator[Any]:
        if not gone:
            gone.append(top)
            onerror(FileNotFoundError(top))
        return walked(top, onerror=onerror)

    monkeypatch.setattr(os, "walk", once)
    assert output.paths("claims") == ["claims/one"]
    assert gone


def test_a_slow_disk_gets_many_writes_at_once_and_a_fast_one_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = LocalOutput(Location(str(tmp_path)))
    output.prepare()
    synced = os.fsync

    def after(seconds: float) -> int:
        clock = itertools.count(0, seconds)
        monkeypatch.setattr("parchunk.out.local.time.perf_counter", lambda: next(clock))
        return output.writes_at_once(8)

    assert [after(0.0001), after(0.0035), after(1.0)] == [1, 4, 8]
    monkeypatch.undo()
    slow: list[int] = []

    def sync(file: int) -> None:
        slow.append(file)
        time.sleep(0.01)
        synced(file)

    monkeypatch.setattr(os, "fsync", sync)
    assert output.writes_at_once(8) == 8
    assert slow
    assert not list((tmp_path / ".parchunk/tmp").iterdir())


def test_where_nothing_can_be_written_the_first_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert LocalOutput(Location(f"{tmp_path}/file/out")).writes_at_once(8) == 8
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out/.parchunk").mkdir(parents=True)
    (tmp_path / "out/.parchunk/tmp").symlink_to(elsewhere)
    assert LocalOutput(Location(f"{tmp_path}/out")).writes_at_once(8) == 8
    assert not list(elsewhere.iterdir())


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        for name in ("mine", "mine/out"):
            with pytest.raises(
                OutputError, match=r"cannot look into .*mine.*ermission.*another OUT"
            ):
                LocalOutput(Location(f"{tmp_path}/{name}")).is_empty()
    finally:
        os.seteuid(user)


def test_clearing_that_is_killed_at_any_folder_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is parchunk's own as long as its plan is there."""
    source, out = tmp_path / "s", tmp_path / "out"
    root = zarr.open_group(source, mode="w")
    root.create_array("a/t", shape=(2,), chunks=(1,), dtype="i4")[...] = 1
    parchunk.build(source, out)
    rmdir, left = Path.rmdir, 0
    while True:
        calls = itertools.count()

        # Where files are half-written a lease is given back, by a thread of its own.
        def killed(self: Path, calls: Iterator[int] = calls, left: int = left) -> None:
            if out in self.parents and self.name != "tmp" and next(calls) == left:
                raise KeyboardInterrupt
            rmdir(self)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rmdir", killed)
            try:
                parchunk.build(source, out, overwrite=True)
            except KeyboardInterrupt:
                left += 1
                continue
        break
    assert left > 3
    assert parchunk.audit(out).complete
