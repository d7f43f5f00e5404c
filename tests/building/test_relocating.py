"""References whose chunks are somewhere else now: OUT is what a build there writes."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from instruments.s3_server import S3Bucket

import parchunk
from parchunk.cli.main import run
from parchunk.errors import InputError
from parchunk.out.output import PREPARED_FOR, PREPARED_ROOT

Published = Callable[[Path], dict[str, bytes]]
Reader = Callable[..., zarr.Group]

OPTIONS: dict[str, Any] = {"split": "t", "region": 4, "record_size": 4, "inline_threshold": 20}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Plain, sharded and inlined arrays, a gap, an empty object and a stray."""
    source = tmp_path / "old" / "s.zarr"
    root = zarr.open_group(source, mode="w", zarr_format=3)
    for name, chosen in (
        ("air", {"chunks": (1, 3)}),
        ("deep/er", {"chunks": (1, 3), "shards": (4, 6)}),
        ("small", {"chunks": (1, 1)}),
    ):
        array = root.create_array(
            name, shape=(12, 6), dtype="i8", fill_value=-1, compressors=None,
            dimension_names=["t", "x"], **chosen,
        )  # fmt: skip
        array[...] = 1 + np.arange(72).reshape(12, 6)
    time = root.create_array(
        "t", shape=(12,), chunks=(12,), dtype="i4", dimension_names=["t"],
        attributes={"units": "days since 2001-01-01"},
    )  # fmt: skip
    time[:] = np.arange(12)
    (source / "air/c/3/1").unlink()
    (source / "air/c/4/1").write_bytes(b"")
    (source / "air/c/5/stray").write_bytes(b"x")
    return source


@pytest.fixture
def out(store: Path, tmp_path: Path) -> Path:
    parchunk.build(parchunk.plan(str(store), **OPTIONS), str(tmp_path / "refs"))
    return tmp_path / "refs"


@pytest.fixture
def moved(store: Path, out: Path, tmp_path: Path) -> Path:
    """Where the store is now."""
    new = tmp_path / "new place" / "s.zarr"
    new.parent.mkdir()
    store.rename(new)
    return new


def counted(out: Path) -> dict[str, Any]:
    """What receipts say, but for what they cost and whose they are."""
    said = {}
    for path in (out / ".parchunk/receipts").rglob("*.json"):
        receipt = json.loads(path.read_text())
        for name in ("fingerprint", "seconds", "requests", "index_requests", "last_modified"):
            del receipt[name]
        said[path.relative_to(out).as_posix()] = receipt
    return said


def test_it_is_what_a_build_in_the_new_place_writes(
    out: Path, moved: Path, tmp_path: Path, published: Published, open_references: Reader
) -> None:
    fresh = tmp_path / "fresh"
    parchunk.build(parchunk.plan(str(moved), **OPTIONS), str(fresh))
    for stale in (parchunk.update, partial(parchunk.audit, against_source=True)):
        with pytest.raises(InputError, match="if it moved, parchunk relocate OUT URL says where"):
            stale(out)
    done = parchunk.relocate(out, moved)
    assert (done.before, done.now) == (str(tmp_path / "old" / "s.zarr"), str(moved))
    assert done.record_files == len(list(out.rglob("refs.*.parq")))
    assert done.checked >= 3
    assert published(out) == published(fresh)
    assert counted(out) == counted(fresh)
    assert open_references(out)["air"][11].tolist() == [67, 68, 69, 70, 71, 72]
    assert {found.kind for found in parchunk.audit(str(out), against_source=True).findings} == {
        found.kind for found in parchunk.audit(str(fresh), against_source=True).findings
    }
    with parchunk.connect(str(out)) as connection:
        (strays,) = connection.execute("SELECT path FROM strays").fetchall()
        (label,) = connection.execute("SELECT label FROM labels WHERE element = 11").fetchall()
    assert strays == ("c/5/stray",)
    assert label == ("2001-01-12",)
    assert sorted(p.name for p in (out / ".parchunk").iterdir()) == [
        "labels.parquet", "plan.json", "receipts", "strays",
    ]  # fmt: skip
    # From now on that is the source: updates list it.
    array = zarr.open_array(moved / "air", mode="r+")
    array[3:5] = 5
    assert parchunk.update(out).missing == 0


def test_what_is_not_there_is_refused_and_nothing_is_touched(
    out: Path, moved: Path, tmp_path: Path, tree: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(out)
    other = tmp_path / "other.zarr"
    said: list[str] = []

    def refused(*options: str) -> None:
        assert run(["relocate", str(out), str(other), *options]) == 2
        assert tree(out) == before
        said.append(capsys.readouterr().err)
        assert said[-1].count("\n") == 1

    refused()
    shutil.copytree(moved, other)
    (other / "air/c/11/1").unlink()
    refused()
    assert "air/c/11/1 is not there" in said[-1]
    (other / "air/c/11/1").write_bytes(b"short")
    refused("--sample", "1000")
    assert "has 5 bytes there, not 24" in said[-1]
    (other / "air/c/11/1").write_bytes(bytes(24))
    (other / "deep/er/c/2/0").write_bytes(b"short")
    refused()
    assert "deep/er/c/2/0 has 5 bytes there" in said[-1]
    shutil.copy(moved / "deep/er/c/2/0", other / "deep/er/c/2/0")
    for kept in ("t/c/0", "small/c/11/5"):  # in OUT they would stay what they were
        content = (other / kept).read_bytes()
        (other / kept).write_bytes(bytes(len(content)))
        refused()
        assert f"{kept} holds other bytes there than the references keep of it" in said[-1]
        (other / kept).write_bytes(content)
    document = json.loads((other / "air/zarr.json").read_text())
    (other / "air/zarr.json").write_text(json.dumps(document | {"fill_value": 3}))
    refused()
    assert "array air: fill_value -1, now 3" in said[-1]
    shutil.copytree(moved, tmp_path / "old/s.zarr")
    (out / ".parchunk/receipts/air/1.json").unlink()
    with pytest.raises(InputError, match="unfinished"):
        parchunk.relocate(out, moved)


def _end(*_: Any) -> None:
    raise KeyboardInterrupt


def test_cut_short_anywhere_it_is_finished_by_the_next(
    out: Path,
    moved: Path,
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fresh = tmp_path / "fresh"
    parchunk.build(parchunk.plan(str(moved), **OPTIONS), str(fresh))
    before = published(out)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.relocating.publish_root", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, moved)
    assert published(out) == before
    assert run(["status", str(out)]) == 1
    said = capsys.readouterr().out
    assert "a relocation was cut short: nothing is listed; readers see" in said
    assert "run the same parchunk relocate again: it finishes that (or parchunk update" in said
    assert len(list((out / ".parchunk/next").rglob("refs.*.parq"))) == len(before) - 1
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.out.switching._each", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, moved)
    assert not (out / ".zmetadata").exists()
    with pytest.raises(InputError, match=r"is being relocated: .* run the same parchunk relocate"):
        parchunk.audit(out)
    assert run(["relocate", str(out), str(moved)]) == 0, "which is said to be what finishes it"
    assert "is in its place now" in capsys.readouterr().out
    assert published(out) == published(fresh)
    receipts = [path.stat().st_mtime_ns for path in (out / ".parchunk/receipts").rglob("*.json")]
    assert run(["relocate", str(out), str(moved)]) == 0, "as after success"
    said = capsys.readouterr().out
    assert said == f"{out}: the references are to {moved} already: there was nothing to do\n"
    now = [path.stat().st_mtime_ns for path in (out / ".parchunk/receipts").rglob("*.json")]
    assert receipts == now
    assert not (out / ".parchunk/next").exists()


def test_one_to_elsewhere_that_was_cut_short_is_dropped_where_all_is_to_stay(
    out: Path, store: Path, moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(moved, store, dirs_exist_ok=True)
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.relocating.publish_root", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, moved)
    done = parchunk.relocate(out, store)
    assert (done.before, done.now, done.record_files) == (str(store), str(store), 0)
    assert run(["status", str(out)]) == 0
    (out / ".parchunk/receipts/air/1.json").unlink()
    with pytest.raises(InputError, match="unfinished"):
        parchunk.relocate(out, store)


@pytest.mark.parametrize("what", ["array", "group"])
def test_a_part_of_a_store_is_found_again(tmp_path: Path, store: Path, what: str) -> None:
    """What was given as the source then is given now."""
    out, new = tmp_path / "refs", tmp_path / "copy"
    given = "deep/er" if what == "array" else ""
    plan = parchunk.plan(str(store / given), **({} if given else {"group": "deep"}))
    parchunk.build(plan, str(out))
    shutil.copytree(store, new)
    parchunk.relocate(out, new / given)
    shutil.rmtree(store)
    with parchunk.connect(str(out)) as connection:
        paths = connection.execute("SELECT DISTINCT path FROM refs").fetchall()
    assert {path for (path,) in paths} == {f"{new}/deep/er/c/{number}/0" for number in range(3)}
    with pytest.raises(InputError, match="is called air there" if given else "no Zarr metadata"):
        parchunk.relocate(out, new / ("air" if given else "deep"))


@pytest.mark.s3
def test_from_a_folder_into_a_bucket(
    out: Path, moved: Path, bucket: S3Bucket, open_references: Reader
) -> None:
    """And OUT, too, may lie in a bucket."""
    store = parchunk.Source.open(f"s3://{bucket.name}", bucket.options).store
    for path in moved.rglob("*"):
        if path.is_file():
            store.put(f"s.zarr/{path.relative_to(moved)}", path.read_bytes())
    done = parchunk.relocate(out, f"s3://{bucket.name}/s.zarr", store_options=bucket.options)
    assert done.checked > 0
    again, other = ({**bucket.options, **more} for more in ({}, {"region": "eu-west-1"}))
    assert parchunk.relocate(out, done.now, store_options=again).record_files == 0
    with pytest.raises(InputError, match="already, reached in another manner"):
        parchunk.relocate(out, done.now, store_options=other)
    kinds = {
        found.kind
        for found in parchunk.audit(
            str(out), against_source=True, store_options=bucket.options
        ).findings
    }
    assert kinds <= {"missing-chunks", "zero-sized", "strays"}
    refs = f"s3://{bucket.name}/refs"
    plan = parchunk.plan(str(moved), **OPTIONS)
    parchunk.build(plan, refs, output_options=bucket.options)
    parchunk.relocate(
        refs, f"s3://{bucket.name}/s.zarr", store_options=bucket.options,
        output_options=bucket.options,
    )  # fmt: skip
    kinds = {found.kind for found in parchunk.audit(refs, output_options=bucket.options).findings}
    assert kinds <= {"missing-chunks", "zero-sized", "strays"}


def test_one_that_was_cut_short_is_dropped_by_an_update(
    out: Path, moved: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published(out)
    shutil.copytree(moved, out.parent / "old/s.zarr")
    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.relocating.publish_root", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, moved)
    (found,) = [one for one in parchunk.audit(out).findings if one.kind == "unfinished"]
    assert found.remedy.endswith("(or parchunk update OUT, which drops it)")
    parchunk.update(out)
    assert published(out) == before
    assert not (out / ".parchunk/next").exists()
    assert "unfinished" not in {one.kind for one in parchunk.audit(out).findings}


def test_a_root_that_came_late_is_not_called_a_relocation_that_was_done(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back to where the references are: nothing was in place of them."""
    out = tmp_path / "out"
    parchunk.build(parchunk.plan(str(store), **OPTIONS), out)
    shutil.copytree(store, tmp_path / "copy.zarr")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.relocating.switch", killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.relocate(out, tmp_path / "copy.zarr")
    (out / PREPARED_ROOT).write_bytes(b'{"late": 1}')
    (note,) = parchunk.relocate(out, store).notes
    assert "there was nothing to do" in note
    assert not (out / PREPARED_ROOT).exists()
    assert not (out / PREPARED_FOR).exists()
    assert not [found for found in parchunk.audit(str(out)).findings if found.kind == "unfinished"]
