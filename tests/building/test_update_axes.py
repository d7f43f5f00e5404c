"""Arrays that grew along any axis, shrank, came, went, or were rewritten otherwise.

What OUT holds then is what a fresh build of the same state writes, byte for byte.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from tests.full_output import full
from tests.made import named

import parchunk
from parchunk.building.carrying import is_due
from parchunk.building.effort import Effort
from parchunk.building.renumbering import Renumbering
from parchunk.cli.main import run
from parchunk.errors import InputError, OutputError
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipts import Receipt
from parchunk.out.unfinished import Unfinished
from parchunk.planning.plan import Partition

Published = Callable[[Path], dict[str, bytes]]


def make(path: Path, name: str, shape: tuple[int, ...], **chosen: Any) -> zarr.Array:
    """Make an array of numbers from 1 on, uncompressed, so that sizes tell of chunks."""
    zarr_format = chosen.pop("zarr_format", 3)
    root = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    array = root.create_array(
        name,
        shape=shape,
        dtype="i4",
        fill_value=-1,
        **named(list("tyx"[: len(shape)]), zarr_format),
        **chosen,
    )
    array[...] = np.arange(1, 1 + array.size).reshape(shape)
    return array


def resize(array: zarr.Array, shape: tuple[int, ...]) -> None:
    """Give an array another shape, and what came values from -5 down."""
    before = array.shape
    array.resize(shape)
    for axis in range(len(shape)):
        if shape[axis] > before[axis]:
            came = tuple(slice(None) if a != axis else slice(before[axis], None) for a in range(9))
            part = array[came[: len(shape)]]
            array[came[: len(shape)]] = -5 - np.arange(part.size).reshape(part.shape)


def fresh(source: Path, out: Path, like: Path, **options: Any) -> None:
    """Build anew, with record files of as many rows."""
    size = load_plan(open_output(like)).record_size
    plan = parchunk.plan(str(source), record_size=size, **options)
    assert plan.record_size == size
    parchunk.build(plan, str(out))


def due_if_small(partition: Partition, receipt: Receipt, *, page: int, asked: Unfinished) -> bool:
    """As `is_due`, for a store whose pages hold a single key."""
    return is_due(partition, receipt, page=1, asked=asked)


def findings(out: Path) -> list[str]:
    found = parchunk.audit(str(out), against_source=True).findings
    return [item.message for item in found if item.kind not in ("missing-chunks", "strays")]


def check(out: Path, source: Path, published: Published, **options: Any) -> None:
    """The same bytes as when it is built at once, and the audit agrees with the source."""
    anew = out.with_name("fresh")
    shutil.rmtree(anew, ignore_errors=True)
    fresh(source, anew, out, **options)
    assert published(out) == published(anew)
    assert not findings(out), findings(out)
    assert not [p.name for p in (out / ".parchunk").iterdir() if p.name not in KEPT]


@pytest.mark.parametrize("then", [16, 64])
def test_slabs_may_be_cut_otherwise_when_it_is_gone_on_with(
    tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch, then: int
) -> None:
    """As with another --memory: what was listed for rows is not taken for others'."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (4, 3), chunks=(1, 1))
    options: dict[str, Any] = {"split": "t", "region": 2}
    parchunk.build(parchunk.plan(str(source), record_size=2, **options), str(out))
    resize(array, (4, 12))
    (source / "a" / "c" / "0" / "4").unlink()
    for held in (32, then):
        with monkeypatch.context() as patched:
            patched.setattr(Effort, "most_held", lambda *_, held=held: held)
            if held != then:
                patched.setattr(Renumbering, "_write", _end)
                with pytest.raises(KeyboardInterrupt):
                    parchunk.update(str(out))
            else:
                parchunk.update(str(out))
    check(out, source, published, **options)


def _end(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("seen", "then", "puts"),
    [(2, 5, None), (2, 5, 1), (2, 7, 0), (2, 7, 3), (0, 5, None)],
)
def test_what_a_killed_update_saw_shorter_or_gone_is_not_taken_for_what_it_was(
    tmp_path: Path, published: Published, seen: int, then: int, puts: int | None
) -> None:
    """Its chunks were deleted, and written anew; whatever ends the updates that follow."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (12, 5), chunks=(3, 1))
    options: dict[str, Any] = {"split": "t", "region": 6, "inline_threshold": 100}
    parchunk.build(parchunk.plan(str(source), record_size=10, **options), str(out))
    make(source, "b", (1,), chunks=(1,))
    if seen:
        resize(array, (12, seen))
    else:
        shutil.rmtree(source / "a")
    with pytest.raises(OutputError, match="no space left"):
        parchunk.update(full(out, 4), allow_shrink=True, allow_gone=True)
    if not seen:
        array = make(source, "a", (12, 2), chunks=(3, 1))
    resize(array, (12, then))
    if puts is not None:
        with pytest.raises(OutputError, match="no space left"):
            parchunk.update(full(out, puts))
    parchunk.update(str(out))
    check(out, source, published, **options)


def test_nor_by_a_build_that_goes_on_or_a_relocation(tmp_path: Path, published: Published) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    array = make(source, "a", (12, 5), chunks=(3, 1))
    options: dict[str, Any] = {"split": "t", "region": 6, "inline_threshold": 100}
    plan = parchunk.plan(str(source), record_size=10, **options)
    parchunk.build(plan, str(out))
    resize(array, (12, 2))
    with pytest.raises(OutputError, match="no space left"):
        parchunk.update(full(out, 4), allow_shrink=True)
    resize(array, (12, 5))
    shutil.copytree(source, tmp_path / "moved")
    with pytest.raises(InputError, match="run its build again, or parchunk update"):
        parchunk.relocate(str(out), str(tmp_path / "moved"))
    parchunk.build(plan, str(out))
    check(out, source, published, **options)
    parchunk.relocate(str(out), str(tmp_path / "moved"))
    assert not findings(out)


KEPT = ("labels.parquet", "plan.json", "receipts", "strays")


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    """Return how an array is made, and the shapes that it gets."""
    rank = draw(st.integers(1, 3))
    chunks = tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(rank))
    shards = None
    if draw(st.booleans()):
        shards = tuple(size * draw(st.sampled_from([1, 2])) for size in chunks)
    shapes = [tuple(draw(st.integers(1, 7)) for _ in range(rank)) for _ in range(3)]
    return {"shape": shapes[0], "chunks": chunks, "shards": shards}, shapes[1:]


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories(), data=st.data())
def test_any_shape_after_any_other_is_a_fresh_build(
    published: Published, history: tuple[dict[str, Any], list[tuple[int, ...]]], data: st.DataObject
) -> None:
    """A gap is there from the beginning: an update believes what was there."""
    made, shapes = history
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr("parchunk.building.carrying.is_due", due_if_small)
        source, out = Path(folder) / "s.zarr", Path(folder) / "refs"
        array = make(source, "a", compressors=None, **made)
        if data.draw(st.booleans()):
            some = sorted(path for path in (source / "a" / "c").rglob("*") if path.is_file())
            some[len(some) // 2].unlink()
        inline = data.draw(st.sampled_from([0, 4, 1000]))
        try:
            plan = parchunk.plan(
                str(source),
                split=data.draw(st.sampled_from([None, *"tyx"[: array.ndim]])),
                record_size=data.draw(st.sampled_from([1, 2, 5, 100])),
                region=data.draw(st.sampled_from([None, 2, 4])),
                inline_threshold=inline,
            )
        except InputError:
            return
        parchunk.build(plan, str(out))
        for shape in shapes:
            resize(zarr.open_array(source / "a", mode="r+"), shape)
            parchunk.update(str(out), allow_shrink=True, gaps=data.draw(st.booleans()))
            check(out, source, published, inline_threshold=inline)


def test_only_what_came_is_listed(tmp_path: Path) -> None:
    """Of 50,100 chunks, 100 of which came along x, on a server that counts."""

    def store(width: int) -> Any:
        return zarr_store([("t", (10, width), (1, 1), ("time", "x"))])

    def options(server: Any) -> dict[str, str]:
        return {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": "true"}

    out = tmp_path / "refs"
    with serve(store(5_000)) as server:
        source = parchunk.Source.open(f"s3://{server.bucket}", options(server))
        plan = parchunk.plan(source, split="time", region=2, record_size=1_000)
        assert parchunk.build(plan, str(out)).requests >= 50
    with serve(store(5_010)) as server:
        result = parchunk.update(str(out), store_options=options(server), trust_listing=True)
        assert (result.expected, result.missing, result.built) == (50_100, 0, 0)
        assert result.requests <= 10 + 4  # a row each, and groups looked through for new arrays
    with parchunk.connect(str(out)) as connection:
        url = f"s3://{server.bucket}/"
        query = "SELECT count(*), count(DISTINCT path) FROM refs WHERE path = ? || chunk_key"
        assert connection.execute(query, [url]).fetchall() == [(50_100, 50_100)]


def test_one_that_is_chunked_otherwise_is_built_anew_and_others_are_left_alone(
    tmp_path: Path, published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    for name in ("a", "b", "c"):
        make(source, name, (20, 2), chunks=(1, 1))
    parchunk.build(parchunk.plan(str(source), split="t", region=10, record_size=5), str(out))
    before = {path: path.stat().st_ino for path in out.rglob("refs.*.parq")}
    shutil.rmtree(source / "b")
    make(source, "b", (20, 2), chunks=(2, 1))
    shutil.rmtree(source / "c")
    resize(zarr.open_array(source / "a", mode="r+"), (10, 2))
    assert run(["update", str(out), "--allow-shrink", "--allow-gone", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["partitions_built"] == 2
    assert [note.partition(":")[0] for note in said["notes"][:2]] == [
        "b has other metadata (chunks [1, 1], now [2, 1])",
        "c is gone",
    ]
    assert "must open it again" in said["notes"][2]
    check(out, source, published, split="t", region=10)
    # Shrunk to a region's end, `a` keeps the files that it has.
    kept = {path for path, inode in before.items() if path.exists() and path.stat().st_ino == inode}
    assert kept == {out / "a" / f"refs.{number}.parq" for number in range(4)}
    assert not (out / "c").exists()


def test_what_is_odd_is_listed_whole(tmp_path: Path, published: Published) -> None:
    """Strays and empty objects are known by no row: their partitions are found as by a build."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (20, 2), chunks=(1, 1))
    (source / "a" / "c" / "15" / "0").write_bytes(b"")
    (source / "a" / "c" / "3" / "stray").write_bytes(b"")
    parchunk.build(parchunk.plan(str(source), split="t", region=5, record_size=5), str(out))
    resize(zarr.open_array(source / "a", mode="r+"), (20, 3))
    result = parchunk.update(str(out), gaps=False)
    assert (result.built, result.strays, result.zero_sized, result.missing) == (2, 1, 1, 1)
    anew = tmp_path / "fresh"
    fresh(source, anew, out)
    assert published(out) == published(anew)


def test_a_damaged_record_file_is_not_taken_over(tmp_path: Path) -> None:
    """The remedy that is named is one."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (11, 2), chunks=(1, 1))
    parchunk.build(parchunk.plan(str(source), split="t", region=6, record_size=4), str(out))
    (out / "a" / "refs.0.parq").write_bytes(b"damage")
    resize(zarr.open_array(source / "a", mode="r+"), (11, 3))
    with pytest.raises(InputError, match="is not what its receipt says: run parchunk update OUT"):
        parchunk.update(str(out))
    assert parchunk.update(str(out), arrays=["a"]).built == 2
    assert findings(out) == []


def test_nothing_is_left_to_reference(tmp_path: Path) -> None:
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (3,), chunks=(1,))
    parchunk.build(parchunk.plan(str(source)), str(out))
    shutil.rmtree(source / "a")
    with pytest.raises(InputError, match="no arrays"):
        parchunk.update(str(out), allow_gone=True)


def test_dates_stay_what_they_are_called(tmp_path: Path, published: Published) -> None:
    """The coordinate's record file is where it was; it is not looked for where others come from."""
    source, out = tmp_path / "s.zarr", tmp_path / "refs"
    make(source, "a", (6, 2), chunks=(1, 1))
    time = make(source, "t", (6,), chunks=(1,))
    time.attrs["units"] = "days since 2000-01-01"
    plan = parchunk.plan(str(source), split="t", region=2, record_size=2)
    parchunk.build(plan, str(out))
    resize(zarr.open_array(source / "a", mode="r+"), (6, 3))
    parchunk.update(str(out), repair=())  # the coordinate is not listed again
    with parchunk.connect(str(out)) as connection:
        labels = connection.execute("SELECT label FROM labels ORDER BY element").fetchall()
    assert [label for (label,) in labels] == [f"2000-01-0{day}" for day in range(2, 8)]
    check(out, source, published, split="t", region=2)
