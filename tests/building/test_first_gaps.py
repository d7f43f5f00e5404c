"""Arrays that were whole and lose their first chunk: null in the root stands for no value then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
import zarr
from zarr.storage import FsspecStore

import parchunk


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


def _end(*_: Any) -> None:
    raise KeyboardInterrupt
