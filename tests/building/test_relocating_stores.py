"""References of many stores whose chunks are somewhere else: what a build there writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.s3_server import S3Bucket
from tests.many_stores import Made, write

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError

Published = Callable[[Path], dict[str, bytes]]


def store(path: Path, at: int, axis: int = 0, **how: Any) -> Path:
    """Write the hours of one of several stores, one chunk of which is missing."""
    values = 1 + np.arange(6)[:, None] + 10 * at + np.arange(4) / 10
    names = ["time", "y"]
    if axis:
        values, names = values.T, names[::-1]
    shards = (2, 4) if how.pop("shards", False) else None
    units = {"units": f"hours since 2000-01-{1 + at // 4:02d} {6 * (at % 4):02d}:00"}
    arrays = {
        "t": Made(values, tuple(names), (1, 2), {}, shards),
        "time": Made(np.arange(6), ("time",), (6,), units),
        "y": Made(np.arange(4.0), ("y",)),
        "few": Made(np.arange(6, dtype="i1") + 1, ("time",), (3,)),
    }
    write(path, arrays, 3)
    if shards is None:
        (path / "t" / "c" / "2" / "1").unlink()
    return path


def moved_to(folder: Path, out: Path, paths: list[Path], **options: Any) -> parchunk.Plan:
    """Move all stores' folder, relocate OUT, and return a plan as made there."""
    done = parchunk.relocate(out, folder)
    assert done.record_files == len(list(out.rglob("refs.*.parq")))
    assert done.checked >= len(paths)
    return parchunk.plan([str(folder / path.name) for path in paths], **options)


@pytest.mark.parametrize("how", [{}, {"axis": 1}, {"shards": True}, {"stack": True}], ids=str)
def test_they_are_what_a_build_in_the_new_place_writes(
    tmp_path: Path, how: dict[str, Any], published: Published
) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    old.mkdir()
    options: dict[str, Any] = {"concat": "time", "inline_threshold": 20}
    if how.pop("stack", False):
        options = {"stack": "member", "labels": "a,b,c", "static": "first"}
    paths = [store(old / f"{at}", at if "concat" in options else 0, **how) for at in range(3)]
    parchunk.build(parchunk.plan(f"{old}/*", **options), tmp_path / "out")
    old.rename(new)
    plan = moved_to(new, tmp_path / "out", paths, **options)
    parchunk.build(plan, tmp_path / "fresh")
    assert published(tmp_path / "out") == published(tmp_path / "fresh")
    assert parchunk.status(tmp_path / "out").plan.arrays == plan.arrays
    if "concat" in options and not how:
        store(new / "3", 3)  # the pattern is looked up there
        assert len(parchunk.update(tmp_path / "out").plan.stores.stores) == 4
        with parchunk.open_dataset(tmp_path / "out") as found:
            assert found.t[:, 0].values.tolist() == [
                1 + hour % 6 + 10 * (hour // 6) for hour in range(24)
            ]


def end(*_: Any) -> None:
    raise KeyboardInterrupt


def test_one_store_is_elsewhere(
    tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [store(tmp_path / "in" / f"{at}.zarr", at) for at in range(3)]
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    parchunk.build(parchunk.plan("in/*.zarr", concat="time"), out)
    away = tmp_path / "away" / "1.zarr"
    shutil.copytree(paths[1], away)
    for name in ("zarr", "5.zarr", ""):
        with pytest.raises(InputError, match="--store"):
            parchunk.relocate(out, away, store=name)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.relocating.publish_root", end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, away, store="1.zarr")
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.out.switching._each", end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(shutil.copytree(out, tmp_path / "again"), away, store="1.zarr")
    again = parchunk.relocate(tmp_path / "again", away, store="1.zarr")
    assert (again.now, again.record_files) == (str(away), 0)
    assert "in its place now" in again.notes[0]
    done = parchunk.relocate(out, away, store="1.zarr")  # goes on with that
    assert (done.before, done.now, done.record_files) == (str(paths[1]), str(away), 0)
    assert "in/*.zarr is not looked up any more" in done.notes[0]
    with pytest.raises(InputError, match=r"in several folders below .*\(in/0.zarr, away/1.zarr\)"):
        parchunk.relocate(out, tmp_path / "in")
    for name in ("1.zarr", str(paths[1])):  # once more, by any name
        done = parchunk.relocate(out, away, store=name)
        assert (done.now, done.record_files) == (str(away), 0)
        assert f"{away} already" in done.notes[0]
    now = [paths[0], away, paths[2]]
    parchunk.build(parchunk.plan([str(path) for path in now], concat="time"), tmp_path / "fresh")
    assert published(out) == published(tmp_path / "fresh")
    shutil.rmtree(paths[1])
    paths.append(store(tmp_path / "in" / "3.zarr", 3))
    parchunk.update(out, paths[3])
    kinds = {found.kind for found in parchunk.audit(out, against_source=True).findings}
    assert kinds == {"missing-chunks"}
    with parchunk.open_dataset(out) as found:
        assert found.t[:, 0].values.tolist() == [1 + h % 6 + 10 * (h // 6) for h in range(24)]


def test_what_is_not_there_is_refused_and_nothing_is_touched(
    tmp_path: Path, tree: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [store(tmp_path / "old" / f"{at}", at) for at in range(6)]
    out, new = tmp_path / "out", tmp_path / "new"
    parchunk.build(parchunk.plan(paths, concat="time"), out)
    shutil.copytree(tmp_path / "old", new)
    before = tree(out)

    def refused(said: str, *options: str, to: Path = new) -> None:
        assert run(["relocate", str(out), str(to), "--sample", "1", *options]) == 2
        assert tree(out) == before
        message = capsys.readouterr().err
        assert said in message
        assert message.count("\n") == 1

    for path in (new / "4" / "t" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(b"short")
    refused("new/4/")
    refused("has 5 bytes there", "--store", "4", to=new / "4")
    shutil.rmtree(new / "4")
    refused("new/4")
    shutil.copytree(tmp_path / "old" / "4", new / "4")
    zarr.open_array(new / "4" / "time", mode="r+")[2:] = [20, 21, 22, 23]
    refused("time")
    assert run(["relocate", str(out), str(tmp_path / "old")]) == 0  # where they are
    refused("no store is called so", "--store", "9")
    shutil.rmtree(new / "4")
    shutil.copytree(tmp_path / "old" / "4", new / "4")
    assert run(["relocate", str(out), str(new), "--sample", "1"]) == 0


@pytest.mark.s3
def test_from_a_folder_into_buckets(tmp_path: Path, bucket: S3Bucket) -> None:
    """All of them, and then one alone into another folder; not to another server, or a disk."""
    paths = [store(tmp_path / "in" / f"{at}", at) for at in range(2)]
    out, options = tmp_path / "out", bucket.options
    parchunk.build(parchunk.plan(paths, concat="time"), out)
    held = parchunk.Source.open(f"s3://{bucket.name}", options).store
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file():
            for folder in ("era", "again"):
                held.put(f"{folder}/{path.relative_to(tmp_path / 'in')}", path.read_bytes())
    root = f"s3://{bucket.name}"
    parchunk.relocate(out, f"{root}/era", store_options=options)
    parchunk.relocate(out, f"{root}/again/1", store="1", store_options=options)
    plan = parchunk.status(out).plan
    assert [one.url for one in plan.stores.stores] == [f"{root}/era/0", f"{root}/again/1"]
    assert dict(plan.location.options) == {
        key: value for key, value in options.items() if key in dict(plan.location.options)
    }
    audit = parchunk.audit(out, against_source=True, store_options=options)
    assert {found.kind for found in audit.findings} == {"missing-chunks"}
    for url, how in (
        (str(paths[1]), {}),
        (f"{root}/era/1", options | {"endpoint": "http://127.0.0.1:9"}),
    ):
        with pytest.raises(InputError, match="is not reached as the other stores are"):
            parchunk.relocate(out, url, store="1", store_options=how)
