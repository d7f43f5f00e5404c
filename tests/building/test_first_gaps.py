"""Arrays that were whole and lose their first chunk: null in the root stands for no value then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

import fsspec
import pytest
import zarr
from obstore.store import MemoryStore
from zarr.storage import FsspecStore, ObjectStore

import parchunk
from parchunk.building.first_gaps import FirstGaps
from parchunk.errors import OutputError
from parchunk.metadata.spec import ArraySpec
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.output import BLOCKS, RECEIPTS, ROOT, Output
from parchunk.out.plan_file import load_plan
from parchunk.out.root import whole_arrays_hiding_fill
from parchunk.planning.plan import Plan


def arrays_of_seven(source: Path, names: Iterable[str]) -> None:
    """Write arrays of four chunks, whose fill value is 7."""
    zarr.create_group(source)
    for name in names:
        array = zarr.create_array(
            source / name,
            shape=(4,),
            chunks=(1,),
            dtype="f4",
            fill_value=7,
            dimension_names=[f"of_{name}"],
        )
        array[...] = 1


def published(folder: Path, names: Iterable[str]) -> tuple[Output, dict[str, ArraySpec]]:
    """Return references to arrays that are whole, published, and the specs of these by name."""
    arrays_of_seven(folder / "s.zarr", names)
    parchunk.build(parchunk.plan(str(folder / "s.zarr")), folder / "out")
    output = open_output(folder / "out")
    return output, {name: array.spec for name, array in load_plan(output).by_name.items()}


def opened(out: str | Path) -> Any:
    """Open references as stock readers do, who know nothing of what was there before."""
    files = fsspec.filesystem(
        "reference",
        fo=str(out),
        remote_protocol="file",
        asynchronous=True,
        skip_instance_cache=True,
    )
    store = FsspecStore(files, read_only=True, path="")
    return zarr.open_group(store, mode="r", zarr_format=2)


@contextmanager
def looked_at_every_write(out: Path, names: Iterable[str]) -> Iterator[list[dict[str, float]]]:
    """Yield what stock readers find of the first chunks after each change of OUT.

    That is what they find where whoever writes is killed there. A reference to an object that is
    gone is an error to them, and has no value.
    """
    seen: list[dict[str, float]] = []
    lock = RLock()  # nobody writes between what a reader reads first and what it reads last

    def looking(verb: Callable[..., Any]) -> Callable[..., Any]:
        def then_look(self: LocalOutput, *arguments: Any) -> Any:
            with lock:
                done = verb(self, *arguments)
                group, found = opened(out), {}
                for name in names:
                    with suppress(Exception):
                        found[name] = float(group[name][0])
                seen.append(found)
            return done

        return then_look

    with pytest.MonkeyPatch.context() as patched:
        for verb in ("put", "put_if", "delete", "move"):
            patched.setattr(LocalOutput, verb, looking(getattr(LocalOutput, verb)))
        yield seen


@contextmanager
def threads_for_processes(_: int) -> Iterator[ThreadPoolExecutor]:
    """Yield what runs the calls of worker processes, where their writes can be looked at."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def in_threads(_: Path, out: Path, **options: Any) -> None:
    parchunk.update(out, regions=[0], **options)


def in_processes(_: Path, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("parchunk.building.running.worker_processes", threads_for_processes)
        parchunk.update(out, regions=[0], workers=2)


def in_an_executor(_: Path, out: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        parchunk.update(out, regions=[0], executor=executor, workers=2)


def in_tasks(source: Path, out: Path) -> None:
    """Finish an update that was killed before it listed anything, on machines that share it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("parchunk.building.build.do_here", _end)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out, regions=[0])
    for task in parchunk.tasks(parchunk.plan(str(source)), out, parts=2):
        parchunk.run_task(task)
    parchunk.publish(out)


@pytest.mark.parametrize("update", [in_threads, in_processes, in_an_executor, in_tasks])
@pytest.mark.parametrize("count", [2, 20])
def test_no_reader_ever_takes_a_chunk_that_is_gone_for_zeros(
    update: Callable[[Path, Path], None], count: int, tmp_path: Path
) -> None:
    """Wherever an update is killed. Of as many as 20, receipts are written in blocks."""
    source, out = tmp_path / "s.zarr", tmp_path / "out"
    names = [f"v{number:02}" for number in range(count)]
    arrays_of_seven(source, names)
    parchunk.build(parchunk.plan(str(source)), out)
    for name in names[:2]:
        (source / name / "c/0").unlink()
    with looked_at_every_write(out, names[:2]) as seen:
        update(source, out)
    values = [value for found in seen for value in found.values()]
    assert set(values) == {7.0}
    assert seen[0] == {}  # the references are still to what is gone
    assert seen[-1] == dict.fromkeys(names[:2], 7.0)
    assert parchunk.audit(out).counts["damage"] == 0


def test_nor_where_other_values_are_masked_now(tmp_path: Path) -> None:
    """With the mask that the source has by now null would stand for nothing: in the next root."""
    source, out = tmp_path / "s.zarr", tmp_path / "out"
    arrays_of_seven(source, ["v"])
    parchunk.build(parchunk.plan(str(source)), out)
    zarr.open_array(source / "v").attrs["_FillValue"] = 7
    (source / "v/c/0").unlink()
    with looked_at_every_write(out, ["v"]) as seen:
        parchunk.update(out, arrays=["v"])
    assert {value for found in seen for value in found.values()} == {7.0}
    assert seen[-1] == {"v": 7.0}


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
    assert opened(out)["v"][...].tolist() == [fill, 1, 1, 1]
    for _ in range(2):
        notes = " ".join(parchunk.update(out, regions=[0]).notes)
        assert ("readers that had OUT open must open it again" in notes) is said
        said = False


def test_the_root_is_not_written_more_often_than_arrays_lose_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it read where nothing is missing, or looked at again once it has what is needed."""
    store, out = MemoryStore(), tmp_path / "out"
    group = zarr.create_group(ObjectStore(store))
    names = [f"v{number:02}" for number in range(20)]
    for name in names:
        group.create_array(name, shape=(4,), chunks=(1,), dtype="f4", fill_value=7)[...] = 1
    source = parchunk.Source(store, "", "memory://bucket")
    asked: list[str] = []
    for verb in ("put", "put_if", "get_version"):
        monkeypatch.setattr(LocalOutput, verb, _noting(asked, verb))
    parchunk.build(parchunk.plan(source), out)
    assert asked == ["put"]  # nobody reads what is not published yet, and nothing is missing
    for name in names:
        store.delete(f"{name}/c/0")
    asked.clear()
    for folder in (RECEIPTS, BLOCKS):  # so that all is listed again
        shutil.rmtree(out / folder, ignore_errors=True)
    parchunk.build(parchunk.plan(source), out)
    assert 1 <= asked.count("put_if") <= 20
    assert asked.count("put") == 0  # it is what is published, too
    assert (open_output(out).get(ROOT) or b"").count(b'"fill_value": 7.0') == 20


def test_arrays_that_wait_for_the_root_are_written_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As threads that meet gaps while it is written."""
    output, specs = published(tmp_path, "abcd")
    asked = list[str]()
    gaps, put_if = FirstGaps(output), _noting(asked, "put_if")

    with ThreadPoolExecutor(3) as others:

        def meanwhile(self: LocalOutput, *arguments: Any) -> Any:
            if not asked:
                for name in "bcd":
                    others.submit(gaps.come, {name: specs[name]})
                while not gaps._due >= {"b", "c", "d"}:
                    time.sleep(0.001)
            return put_if(self, *arguments)

        monkeypatch.setattr(LocalOutput, "put_if", meanwhile)
        gaps.come({"a": specs["a"]})
    assert len(asked) == 2
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 4


def test_arrays_whose_root_could_not_be_written_are_written_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for another to write it for both does not take that for done."""
    output, specs = published(tmp_path, "ab")
    gaps, put_if = FirstGaps(output), LocalOutput.put_if

    with ThreadPoolExecutor(1) as others:
        waiting: list[Future[None]] = []

        def full(self: LocalOutput, *arguments: Any) -> Any:
            monkeypatch.setattr(LocalOutput, "put_if", put_if)
            raise OutputError("no space is left")

        def looked(root: bytes, plan: Plan) -> set[str]:
            waiting.append(others.submit(gaps.come, {"b": specs["b"]}))
            while "b" not in gaps._due:
                time.sleep(0.001)
            return whole_arrays_hiding_fill(root, plan)

        monkeypatch.setattr(LocalOutput, "put_if", full)
        monkeypatch.setattr("parchunk.building.first_gaps.whole_arrays_hiding_fill", looked)
        with pytest.raises(OutputError, match="no space"):
            gaps.come({"a": specs["a"]})
        waiting[0].result()
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 2


def test_two_processes_that_meet_gaps_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, specs = published(tmp_path, "abc")
    one, other = FirstGaps(output), FirstGaps(output)
    put_if = LocalOutput.put_if

    def other_first(self: LocalOutput, *arguments: Any) -> str | None:
        monkeypatch.setattr(LocalOutput, "put_if", put_if)
        other.come({name: specs[name] for name in "bc"})
        return put_if(self, *arguments)

    monkeypatch.setattr(LocalOutput, "put_if", other_first)
    one.come({name: specs[name] for name in "ab"})
    assert (output.get(ROOT) or b"").count(b'"fill_value": 7.0') == 3


def _noting(asked: list[str], verb: str) -> Callable[..., Any]:
    """Return a verb of an Output that notes when it is asked of the root."""
    real = getattr(LocalOutput, verb)

    def note(self: LocalOutput, path: str, *data: Any) -> Any:
        asked.extend([verb] * (path == ROOT))
        return real(self, path, *data)

    return note


def _end(*_: Any) -> None:
    raise KeyboardInterrupt
