"""Arrays that were whole and lose their first chunk: null in the root stands for no value then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zarr
from zarr.storage import FsspecStore

import parchunk
from parchunk.building.doing import do_here
from parchunk.building.first_gaps import FirstGaps
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import ROOT


def arrays_of_seven(source: Path, names: Iterable[str], first: int = 0) -> None:
    """Write arrays of four chunks, whose fill value is 7, from the first chunk on."""
    zarr.create_group(source)
    for name in names:
        array = zarr.create_array(source / name, shape=(4,), chunks=(1,), dtype="f4", fill_value=7)
        array[first:] = 1


@pytest.mark.parametrize(("fill", "said", "beside"), [(7, True, 0), (0, False, 0), (7, True, 15)])
def test_who_had_an_array_open_that_lost_its_first_chunk_is_told_of(
    fill: int, said: bool, beside: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Null stood for the fill value, which is in the root before the update is done.

    Where there are as many arrays ``beside``, receipts of all are written in blocks.
    """
    source, out = tmp_path / "s.zarr", str(tmp_path / "out")
    array = zarr.create_array(
        source / "v", shape=(4,), chunks=(1,), dtype="f4", fill_value=fill, dimension_names=["t"]
    )
    zarr.create_group(source)
    for number in range(beside):
        zarr.create_array(source / f"w{number}", shape=(1,), dtype="f4", dimension_names=["x"])
    array[...] = 1
    parchunk.build(parchunk.plan(str(source), split="t", region=2), out)
    (source / "v/c/0").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.build.publish_root", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, regions=[0])
    files = fsspec.filesystem(
        "reference", fo=out, remote_protocol="file", asynchronous=True, skip_instance_cache=True
    )
    stock = zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r", zarr_format=2)
    assert stock["v"][...].tolist() == [fill, 1, 1, 1]  # type: ignore[union-attr,index]
    for _ in range(2):
        notes = " ".join(parchunk.update(out, regions=[0]).notes)
        assert ("readers that had OUT open must open it again" in notes) is said
        said = False


def test_of_many_such_arrays_the_root_is_written_for_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an entry of each array, so that to write it for each one would never end."""
    monkeypatch.setattr("parchunk.building.first_gaps._SHARE", 1e-9)
    source, out = tmp_path / "s.zarr", str(tmp_path / "out")
    arrays_of_seven(source, [f"v{number:02}" for number in range(20)])
    asked: list[str] = []
    put, get = LocalOutput.put, LocalOutput.get

    def wrote(self: LocalOutput, path: str, data: bytes) -> Any:
        asked.extend(["put"] * (path == ROOT))
        return put(self, path, data)

    def got(self: LocalOutput, path: str) -> bytes | None:
        asked.extend(["get"] * (path == ROOT))
        return get(self, path)

    def values() -> list[float]:
        files = fsspec.filesystem(
            "reference", fo=out, remote_protocol="file", asynchronous=True, skip_instance_cache=True
        )
        stock: Any = zarr.open_group(FsspecStore(files, read_only=True, path=""), mode="r")
        return [float(stock[f"v{number:02}"][0]) for number in range(20)]

    parchunk.build(parchunk.plan(str(source)), out)
    for number in range(20):
        (source / f"v{number:02}/c/0").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(LocalOutput, "put", wrote)
        parchunk.update(out, regions=[0])
    assert asked.count("put") == 2  # as the first one is met, and when all are done
    assert values() == [7.0] * 20

    asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(LocalOutput, "get", got)
        patched.setattr("parchunk.building.build.publish_root", lambda *_: None)
        parchunk.build(parchunk.plan(str(source)), str(tmp_path / "new"))
    assert asked.count("get") <= 2  # nobody reads what is not published yet


def test_those_that_wait_are_written_with_the_next_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "s.zarr", str(tmp_path / "out")
    arrays_of_seven(source, "abc", first=1)
    result = parchunk.build(parchunk.plan(str(source)), out)
    receipts = {receipt.array: receipt for receipt in result.receipts}
    output, plan = open_output(out), parchunk.plan(str(source))
    root = output.get(ROOT)
    assert root is not None
    whole = root.replace(b'"fill_value": 7.0', b'"fill_value": null')
    output.put(ROOT, whole)
    gaps = FirstGaps(plan, output, lambda: None)
    monkeypatch.setattr("parchunk.building.first_gaps._SHARE", 1e-9)
    gaps.notice(receipts["a"])
    gaps.notice(receipts["b"])
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 1
    gaps._next = 0.0
    gaps.notice(replace(receipts["b"], missing=0))  # whatever it is of
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 2
    gaps.notice(receipts["c"])
    gaps._next = 0.0
    gaps.notice(receipts["c"])
    assert output.get(ROOT) == root


def test_what_a_killed_update_had_not_written_into_the_root_the_next_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt is there, and is not written again."""
    source, out = tmp_path / "s.zarr", str(tmp_path / "out")
    arrays_of_seven(source, "vw")
    parchunk.build(parchunk.plan(str(source)), out)
    output = open_output(out)
    (source / "v/c/1").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(FirstGaps, "notice", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, arrays=["v"])
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 0
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.build.publish_root", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out)
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 1


def test_those_that_wait_are_written_where_an_update_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "s.zarr", str(tmp_path / "out")
    arrays_of_seven(source, "abc")
    parchunk.build(parchunk.plan(str(source)), out)
    for name in "abc":
        (source / name / "c/0").unlink()

    def interrupted(*arguments: Any) -> int:
        do_here(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("parchunk.building.first_gaps._SHARE", 1e-9)
    monkeypatch.setattr("parchunk.building.build.do_here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parchunk.update(out, arrays=["a", "b", "c"])
    assert (open_output(out).get(ROOT) or b"").count(b'"fill_value": 7.0') == 3


def _end(*_: Any) -> None:
    raise KeyboardInterrupt
