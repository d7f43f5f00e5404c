"""Strays after updates: each is its region's by position, as in a fresh build of the same state."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore

import parchunk
from parchunk.building.carried_strays import KnownStrays
from parchunk.listing.strays import KEPT
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipt_files import read_receipts
from parchunk.out.receipts import strays_path
from parchunk.planning.growth import carried

Shape = tuple[int, int]

#: What lies among chunks in folders and is none, of grids of up to 25 x 12.
STRAYS = (
    "0.tmp", "1.tmp", "1/1.tmp", "2/.nfs0", "3/zzz", "3/deep/x", "4.tmp", "9/11.x", "9.tmp",
    "00/1", "5/01", "junk/x", "junk/0/0", "README", "-1/0", "40/0", "12/5", "7/7", "0/20",
)  # fmt: skip


class Written:
    """A store with an array ``a`` of 1 x 1 chunks, which are as the shape is."""

    def __init__(self, store: Any, formats: int) -> None:
        self.store, self.formats = store, formats
        self.shape: Shape = (0, 0)
        group = {2: {"zarr_format": 2}, 3: {"zarr_format": 3, "node_type": "group"}}[formats]
        store.put({2: ".zgroup", 3: "zarr.json"}[formats], json.dumps(group).encode())

    def put(self, tail: str) -> None:
        store = self.store
        store.put(f"a/{'c/' if self.formats == 3 else ''}{tail}", b"x")

    def resize(self, shape: Shape) -> None:
        """Give the array another shape: chunks come, and go."""
        now = set(itertools.product(*map(range, shape)))
        before = set(itertools.product(*map(range, self.shape)))
        for index in now - before:
            self.put("/".join(map(str, index)))
        marker = "c/" if self.formats == 3 else ""
        gone = [f"a/{marker}{'/'.join(map(str, index))}" for index in before - now]
        if gone:
            self.store.delete(gone)
        self.shape = shape
        if self.formats == 2:
            document = {
                "zarr_format": 2, "shape": shape, "chunks": [1, 1], "dtype": "|u1", "order": "C",
                "compressor": None, "filters": None, "fill_value": 0, "dimension_separator": "/",
            }  # fmt: skip
            self.store.put("a/.zarray", json.dumps(document).encode())
            return
        document = {
            "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0, "codecs": [{"name": "bytes"}], "attributes": {},
            "dimension_names": ["t", "x"],
        }  # fmt: skip
        self.store.put("a/zarr.json", json.dumps(document).encode())


def told(out: Path) -> tuple[dict[Any, Any], list[Any]]:
    """Return the strays of each partition by reason, and those that the view has."""
    output = open_output(str(out))
    receipts = read_receipts(output, load_plan(output))
    with parchunk.connect(str(out)) as con:
        rows = con.sql("SELECT path, size, reason FROM strays ORDER BY ALL").fetchall()
    return {key: dict(one.stray_reasons) for key, one in receipts.items()}, rows


def inventory(source: Path, number: int, beside: Iterable[str] = ()) -> Path:
    """Write an inventory of what a folder holds now, and of objects ``beside``."""
    files = [path for path in source.rglob("*") if path.is_file()]
    rows = [f"{path.relative_to(source)},{path.stat().st_size}\n" for path in files]
    rows += [f"{path},1\n" for path in beside]
    table = source.parent / f"objects-{number}.csv"
    table.write_text("".join(["key,size\n", *rows]))
    return table


#: Two digits along either axis, and few record files: there is one a chunk.
sizes = st.tuples(st.integers(1, 25), st.integers(1, 2)) | st.tuples(
    st.integers(1, 3), st.integers(1, 12)
)


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(
    st.sampled_from([2, 3]),
    st.booleans(),
    st.lists(sizes, min_size=2, max_size=4),
    st.booleans(),
    st.sets(st.sampled_from(STRAYS), max_size=8),
)
def test_strays_are_of_the_regions_that_a_fresh_build_counts_them_in(
    formats: int, local: bool, shapes: list[Shape], along: bool, strays: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "s"), Path(folder, "refs")
        source.mkdir()
        written = Written(LocalStore(str(source)), formats)
        if along:  # along the leading axis alone, and only longer
            shapes = [(rows, shapes[0][1]) for rows in sorted(rows for rows, _ in shapes)]
        written.resize(shapes[0])
        for tail in strays:
            written.put(tail)
        options: dict[str, Any] = {"split": 0, "region": 3, "record_size": 1}

        def listed(number: int) -> dict[str, Any]:
            """A folder has no order, an inventory has."""
            return {} if local else {"inventory": str(inventory(source, number))}

        parchunk.build(parchunk.plan(str(source), **options, **listed(0)), str(out))
        for number, shape in enumerate(shapes[1:], 1):
            written.resize(shape)
            parchunk.update(str(out), allow_shrink=True, **listed(number))
            fresh = Path(folder, f"fresh{number}")
            parchunk.build(parchunk.plan(str(source), **options, **listed(number)), str(fresh))
            assert told(out) == told(fresh)


def test_strays_between_the_folders_of_tasks_are_told_by_one_of_them(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((12, 2))
    for tail in STRAYS:
        written.put(tail)
    plan = parchunk.plan(str(source), split=0, region=3, record_size=2)
    parchunk.build(plan, str(tmp_path / "whole"))
    for task in parchunk.tasks(plan, str(tmp_path / "parts"), parts=4):
        parchunk.run_task(task)
    parchunk.publish(str(tmp_path / "parts"))
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert len(told(tmp_path / "parts")[1]) == len(STRAYS)


def test_a_file_in_place_of_a_folder_is_a_stray_to_tasks_too(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "s/a", shape=(4, 2, 2), chunks=(1, 1, 1), dtype="i1", fill_value=1
    )
    array[:] = 2
    shutil.rmtree(tmp_path / "s/a/c/1")
    (tmp_path / "s/a/c/1").write_bytes(b"x")
    plan = parchunk.plan(tmp_path / "s/a", split=0, region=1)
    assert parchunk.build(plan, tmp_path / "whole").missing == 4
    for task in parchunk.tasks(plan, tmp_path / "parts", parts=4):
        parchunk.run_task(task)
    parchunk.publish(tmp_path / "parts")
    assert told(tmp_path / "parts") == told(tmp_path / "whole")
    assert len(told(tmp_path / "parts")[1]) == 1


@pytest.mark.parametrize(("before", "now", "last"), [(5, 12, 9), (12, 5, 4)])
def test_strays_of_which_not_all_are_known_by_name_are_listed_again(
    tmp_path: Path, before: int, now: int, last: int
) -> None:
    """All of them stand behind the last chunk in text order, which is another one now."""
    source, out = tmp_path / "s", tmp_path / "refs"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((before, 1))
    beside = [f"a/c/README{number}" for number in range(KEPT + 1)]
    options: dict[str, Any] = {"split": 0, "region": 1, "record_size": 1}
    first = str(inventory(source, 0, beside))
    parchunk.build(parchunk.plan(str(source), inventory=first, **options), str(out))
    written.resize((now, 1))
    second = str(inventory(source, 1, beside))
    parchunk.update(str(out), inventory=second, allow_shrink=True)
    reasons, _ = told(out)
    assert {key: sum(each.values()) for key, each in reasons.items() if each} == {
        ("a", last): KEPT + 1
    }


@pytest.mark.parametrize(("before", "now", "most"), [(5, 12, 1), (12, 5, 1), (12, 5, 9)])
def test_of_very_many_strays_no_more_are_held_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, now: int, most: int
) -> None:
    """That before 10 is before 2 of five chunks, whose partition had none and stays as it is."""
    monkeypatch.setattr("parchunk.building.carried_strays.MOST_NAMED", most)
    source, out = tmp_path / "s", tmp_path / "refs"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((before, 1))
    for tail in ("1.tmp", "2.tmp", "README"):
        written.put(tail)
    options: dict[str, Any] = {"split": 0, "region": 1, "record_size": 1}
    parchunk.build(parchunk.plan(str(source), **options), str(out))
    written.resize((now, 1))
    parchunk.update(str(out), allow_shrink=True)
    parchunk.build(parchunk.plan(str(source), **options), str(tmp_path / "fresh"))
    assert told(out) == told(tmp_path / "fresh")
    assert len(told(out)[1]) == 3


def test_strays_of_a_partition_that_went_and_had_no_receipt_are_listed(tmp_path: Path) -> None:
    """As after an update that was cut short: whose they are now, and how many, nobody knows."""
    source, out = tmp_path / "s", tmp_path / "refs"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((12, 1))
    written.put("9.tmp")
    written.put("README")
    options: dict[str, Any] = {"split": 0, "region": 1, "record_size": 1}
    parchunk.build(parchunk.plan(str(source), **options), str(out))
    assert read_receipts(open_output(str(out)), load_plan(open_output(str(out))))["a", 9].strays
    (out / ".parchunk/receipts/a/9.json").unlink()
    written.resize((5, 1))
    parchunk.update(str(out), allow_shrink=True)
    parchunk.build(parchunk.plan(str(source), **options), str(tmp_path / "fresh"))
    assert told(out) == told(tmp_path / "fresh")
    assert len(told(out)[1]) == 2


def test_strays_that_went_are_told_no_more(tmp_path: Path) -> None:
    source, out = tmp_path / "s", tmp_path / "refs"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((8, 1))
    written.put("1.tmp")
    parchunk.build(parchunk.plan(str(source), split=0, region=2, record_size=1), str(out))
    assert len(told(out)[1]) == 1
    (source / "a/c/1.tmp").unlink()
    parchunk.update(str(out), regions=0)
    assert told(out)[1] == []
    assert list((out / ".parchunk/strays").rglob("*.parquet")) == []


@pytest.mark.parametrize("damage", [b"PAR1", None])
def test_strays_that_are_damaged_or_of_more_partitions_are_listed_again(
    tmp_path: Path, damage: bytes | None
) -> None:
    """None: an update that joined regions was killed between their strays and their receipt."""
    source, out = tmp_path / "s", tmp_path / "refs"
    source.mkdir()
    written = Written(LocalStore(str(source)), 3)
    written.resize((8, 1))
    for tail in ("1.tmp", "3.tmp"):
        written.put(tail)
    plan = parchunk.plan(str(source), split=0, region=2, record_size=1)
    parchunk.build(plan, str(out))
    output = open_output(str(out))
    old = load_plan(output)
    array = old.arrays[0]
    new = replace(old, region_length=4, arrays=(replace(array, region_chunks=4),))
    joined = next(item for item in carried(old, new) if len(item.before) == 2)
    paths = [strays_path(part) for part in joined.before]
    receipts = read_receipts(output, old)
    known = [receipts[part.key] for part in joined.before]
    assert [one.strays for one in known] == [1, 1]
    found = KnownStrays(old, new, receipts, output).of(joined, known, in_place=True)
    assert found is not None
    assert found.file is not None
    assert sum(found.reasons.values()) == 2
    output.put(paths[0], found.file if damage is None else damage)
    assert KnownStrays(old, new, receipts, output).of(joined, known, in_place=True) is None


def test_strays_of_the_last_of_many_stores_that_grew_are_counted_once(tmp_path: Path) -> None:
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stores.append(Written(LocalStore(str(tmp_path / name)), 3))
        stores[-1].resize((6, 2))
        for tail in ("1.tmp", "5/.nfs0", "README"):
            stores[-1].put(tail)
    sources = [str(tmp_path / name) for name in ("one", "two")]
    options: dict[str, Any] = {"concat": "t", "region": 2, "record_size": 1}
    parchunk.build(parchunk.plan(sources, **options), str(tmp_path / "refs"))
    stores[-1].resize((12, 2))
    parchunk.update(str(tmp_path / "refs"))
    parchunk.build(parchunk.plan(sources, **options), str(tmp_path / "fresh"))
    assert told(tmp_path / "refs") == told(tmp_path / "fresh")
    assert len(told(tmp_path / "refs")[1]) == 6
