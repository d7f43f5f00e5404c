"""Small arrays listed together: as array by array, whatever listing does, wherever it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from arro3.core import RecordBatch
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.rules import HashFraction
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store
from tests.made import FAULTS, QUICK, check_exact, source_of

import parchunk
from parchunk.building.tasks import Task, do_task
from parchunk.cover.jobs import Pass, Unit
from parchunk.cover.limits import Limits
from parchunk.cover.walks import Width
from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.row_sets import RowSet
from parchunk.listing.many_arrays import SharedListing
from parchunk.listing.one_array import ArrayListing
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.walker import Listing
from parchunk.metadata.spec import ArraySpec
from parchunk.out.local import LocalOutput
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import Receipt
from parchunk.planning.plan import PartitionKey
from parchunk.workers.here import Here

Published = Callable[[Path], dict[str, bytes]]

#: Names that are beginnings of each other, and sort around each other's slash.
NAMES = ["air", "air-2m", "air.x", "air_temp", "air0", "g/air", "g/air 2", "g/é", "g/h/c", "zz"]
STRAYS = {
    "air/0.0.tmp": b"xx",
    "air/~": b"x",
    "air/c/0.tmp": b"x",
    "air/c.tmp": b"x",
    "air/sub/0.0": b"x",
    "air-2m/00.1": b"x",
    "air_temp/9.9": b"x",
    "air0/ 0": b"x",
    "g/é/0": b"",
    "g/readme.txt": b"of no array",
    "air!/0.0": b"of no array",
    "air.zip": b"of no array",
}


def many(count: int = 60, **options: Any) -> FormulaStore:
    """Return a store of small arrays, a few pages in all."""
    arrays = [(name, (8, 12), (1, 1), ("time", "x")) for name in NAMES]
    arrays += [(f"m/a{n}", (8, 12), (1, 1), ("time", "x")) for n in range(count)]
    return zarr_store(arrays, **options)


def receipts_in(out: Path) -> dict[PartitionKey, Receipt]:
    """Return the receipts in OUT, wherever they lie."""
    output = open_output(str(out))
    return read_receipts(output, load_plan(output))


def known(out: Path) -> dict[str, Any]:
    """Return all receipts without what tells only of the effort, and the strays kept."""
    effort = {"requests", "requests_least", "seconds", "retries", "found_again"}
    receipts = {
        str(key): {name: value for name, value in receipt.to_json().items() if name not in effort}
        for key, receipt in receipts_in(out).items()
    }
    assert receipts
    strays = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in (out / ".parchunk/strays").rglob("*.parquet")
    }
    return receipts | strays


@pytest.mark.parametrize("style", [{}, {"zarr_format": 3, "separator": "/"}])
@pytest.mark.parametrize("region", [8, 3])
def test_the_same_bytes_as_array_by_array(
    tmp_path: Path,
    published: Published,
    style: dict[str, Any],
    region: int,
) -> None:
    store = many(present=HashFraction(0.9, seed=5), extra=STRAYS, **style)
    twin = FormulaListing(store)
    plan = parchunk.plan(parchunk.Source(twin, "", "s3://b"), region=region)  # type: ignore[arg-type]
    together = parchunk.build(plan, str(tmp_path / "together"))
    none_small = Limits(small=0)
    apart = parchunk.build(plan, str(tmp_path / "apart"), limits=none_small)
    assert apart.requests >= 2 * len(NAMES + [f"{n}" for n in range(60)])
    # Gaps are everywhere, so everything is listed twice.
    assert together.requests <= 2 * (together.requests_least + 3)
    assert published(tmp_path / "together") == published(tmp_path / "apart")
    assert known(tmp_path / "together") == known(tmp_path / "apart")
    assert together.strays == apart.strays > 0
    check_exact(tmp_path / "together", plan, store)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("holes", [False, True])
def test_a_fault_in_the_middle_of_a_walk(tmp_path: Path, name: str, holes: bool) -> None:
    store = many(10, present=HashFraction(0.8) if holes else None, extra=STRAYS)
    with source_of(store, FAULTS[name], page=150) as (server, source):
        plan = parchunk.plan(source)
        patient = Patience(12, 0.01, 0.02)
        server.reset()
        result = parchunk.build(plan, str(tmp_path / "r"), patience=patient, concurrency=2)
        made = server.lists()
        assert sum(server.counts()["faults"].values()) >= 1
    check_exact(tmp_path / "r", plan, store)
    assert result.strays == len(STRAYS) - 3
    assert sum(receipt.requests for receipt in result.receipts) == result.requests
    if name in {"503", "429", "500", "408", "reset", "cut", "reset-body", "stall", "hang"}:
        assert sum(r.retries for r in result.receipts) == result.retries >= 1
        assert len(made) < 30 + 10 * holes  # resumed, not begun again
    if name in {"repeat-page", "swap-pages", "reverse"}:
        assert any("does not list in order" in note for note in result.notes)
    if name == "drop":
        assert sum(r.found_again for r in result.receipts) >= 1


@pytest.mark.parametrize("kind", ["short", "no-token", "error-body"])
def test_listings_that_always_end_early_are_not_believed(tmp_path: Path, kind: Any) -> None:
    store = many(60)
    with source_of(store, Fault(kind, first=6, times=None), page=250) as (_, source):
        plan = parchunk.plan(source, consolidated="only")  # planning's own listings come first
        if kind == "error-body":
            untrue = r"after key m/a.* (without a key that|it is an error)"
            with pytest.raises(parchunk.ListingError, match=untrue):
                parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
            assert not (tmp_path / "r" / ".zmetadata").exists()
            return
        # Each page is true, and only its end is not: the next one is asked for by its last key.
        parchunk.build(plan, str(tmp_path / "r"), patience=QUICK)
    check_exact(tmp_path / "r", plan, store)


def test_a_walk_that_breaks_for_good_names_the_key_and_is_resumed(tmp_path: Path) -> None:
    store = many(200)
    out = tmp_path / "r"
    with source_of(store, Fault("503", first=12, times=None)) as (server, source):
        plan = parchunk.plan(source)
        server.reset()
        with pytest.raises(parchunk.ListingError, match=r"s3://formula after key m/a1.*4 attempts"):
            parchunk.build(plan, str(out), patience=QUICK)
    receipts = receipts_in(out)
    assert 50 < len(receipts) < 200, "what the walk had passed is done"
    with source_of(store) as (server, source):
        plan = parchunk.plan(source)
        server.reset()
        result = parchunk.build(plan, str(out), patience=QUICK)
        assert len([e for e in server.lists() if e["delimiter"] is None]) == result.requests
    assert result.built == 210 - len(receipts)
    # The arrays that are done are passed over by a page's end, or by none.
    assert result.requests <= -(-result.built * 98 // 1000) + 2
    kept = receipts_in(out)
    assert receipts == {key: kept[key] for key in receipts}, "none was done again"
    check_exact(out, plan, store)


@pytest.mark.parametrize("writes", [1, 7, 60, 70])
def test_a_job_that_ends_at_any_write_is_resumed(
    tmp_path: Path,
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    twin = FormulaListing(many())
    plan = parchunk.plan(parchunk.Source(twin, "", "s3://b"))  # type: ignore[arg-type]
    parchunk.build(plan, str(tmp_path / "wanted"))
    put, left = LocalOutput.put, [writes]

    def failing(self: LocalOutput, path: str, data: bytes) -> None:
        if path.endswith((".parq", ".jsonl")):
            left[0] -= 1
            if left[0] < 0:
                raise parchunk.OutputError("no room")
        put(self, path, data)

    out = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr(LocalOutput, "put", failing)
        with pytest.raises(parchunk.OutputError, match="no room"):
            parchunk.build(plan, str(out))
    assert not (out / ".zmetadata").exists()
    done = len(receipts_in(out))
    result = parchunk.build(plan, str(out))
    assert result.built == 70 - done
    assert published(out) == published(tmp_path / "wanted")
    assert list((out / ".parchunk").glob("tmp/*")) == []


def test_arrays_before_one_that_cannot_be_written_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = parchunk.plan(parchunk.Source(FormulaListing(many()), "", "s3://b"))  # type: ignore[arg-type]
    put, written = LocalOutput.put, list[str]()

    def failing(self: LocalOutput, path: str, data: bytes) -> None:
        if path.endswith(".parq"):
            if len(written) == 40:
                raise parchunk.OutputError("no room")
            written.append(path)
        put(self, path, data)

    monkeypatch.setattr(LocalOutput, "put", failing)
    with pytest.raises(parchunk.OutputError, match="no room"):
        parchunk.build(plan, str(tmp_path / "r"))
    assert {name for name, _ in receipts_in(tmp_path / "r")} == {
        path.rpartition("/")[0] for path in written
    }


class Watched(Executor):
    """Runs tasks in threads, and keeps them."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.tasks: list[Task] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a task."""
        assert fn is do_task
        self.tasks.append(args[0])
        return self.pool.submit(fn, *args, **kwargs)


def test_executors_are_given_arrays_together(tmp_path: Path, published: Published) -> None:
    store = many()
    twin = FormulaListing(store)
    plan = parchunk.plan(parchunk.Source(twin, "", "s3://b"))  # type: ignore[arg-type]
    here = parchunk.build(plan, str(tmp_path / "here"))
    watched = Watched()
    there = parchunk.build(plan, str(tmp_path / "there"), executor=watched)
    watched.pool.shutdown()
    assert [(task.start, task.stop) for task in watched.tasks] == [(0, 70)]
    assert there.requests == here.requests < 10
    assert published(tmp_path / "there") == published(tmp_path / "here")


class Above(FormulaListing):
    """A store that does not let what is above its arrays be listed."""

    def list(self, prefix: str | None = None, **options: Any) -> Any:
        if not (prefix or "").startswith("g/"):
            raise PermissionError("403 Forbidden")
        return super().list(prefix, **options)


class Backwards(FormulaListing):
    """A store that lists the keys of each page from the last to the first."""

    def list(self, prefix: str | None = None, **options: Any) -> Any:
        for batch in super().list(prefix, **options):
            rows = pa.record_batch(batch)
            yield RecordBatch.from_arrow(rows.take(pa.array(range(len(rows) - 1, -1, -1))))


@pytest.mark.parametrize("kind", [Above, Backwards])
def test_parts_stay_where_each_array_is_listed_alone_in_the_end(
    kind: type[FormulaListing],
) -> None:
    """Who reads them may be behind: entity tags had been given back to the system by then."""
    total, names = 4_800, ["g/a", "g/b", "g/c"]
    store = zarr_store([(name, (total,), (1,), ("t",)) for name in names], size=9)
    source = parchunk.Source(kind(store), "", "s3://b", identity="etag")  # type: ignore[arg-type]
    listing = Listing(source, "", Requests(), QUICK, threading.Event())
    keys = KeyEncoding("", ".", 1)
    walked = Pass((total,), (Unit(0, RowSet(total, 0, total)),), Width(1, 8, 1000))
    with ThreadPoolExecutor(2) as pool:
        members = [
            ArrayListing(
                ArraySpec(name, 2, (total,), (1,), "<f4", 4, (None,), keys, {}, {}),
                listing, pool, Here(), False,
            )
            for name in names
        ]  # fmt: skip
        shared = SharedListing(members, [walked] * 3, pool, threading.Lock())
        parts = [part for _, _, part in shared.parts()]
    assert "instead" in shared.notes[0]
    assert [int(part.vector.present.sum()) for part in parts] == [total] * 3
    tags = [part.identities.column().to_pylist() for part in parts if part.identities]
    assert len(tags) == 3
    assert {tag for some in tags for tag in some} == {tags[0][0]} != {""}
