"""The receipt of a partition that consists of others, as they were built before the array grew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.made import grow, spec

import parchunk
from parchunk.building.carrying import receipts_of, renewed, taken_up
from parchunk.metadata.spec import Hierarchy
from parchunk.out.opening import open_output
from parchunk.out.plan_file import load_plan
from parchunk.out.receipts import Receipt, RecordFile
from parchunk.out.unfinished import read_unfinished
from parchunk.planning.growth import Carried, carried
from parchunk.planning.plan import ArrayPlan, Plan, Split
from parchunk.stores.opening import Location


@pytest.fixture
def grown() -> tuple[Plan, Carried]:
    """A row of a table was three regions, and is one of the three of the grown table."""
    row = spec("t", (1, 3), (1, 1), ("y", "x"))
    table = replace(row, shape=(3, 3))
    place = Location("s3://b/s.zarr", ())
    old, new = (
        Plan(place, "", Hierarchy((one,), ()), Split(name), 1, 1, 0, (ArrayPlan(one, axis, 1),))
        for one, name, axis in ((row, "x", 1), (table, "y", 0))
    )
    (item,) = carried(old, new)
    return new, item


def receipt(region: int, **other: object) -> Receipt:
    """Return a receipt of one region of the row, as it was built."""
    file = RecordFile(region, 1, 1, 100 + region, f"digest {region}")
    first = Receipt(
        fingerprint="old", array="t", region=region, dimension="x", start=region, stop=region + 1,
        stray_reasons={"foreign": 1}, last_modified=10 + region, verified=True, ordered=True,
        record_files=(file,), expected=1, present=1, bytes=7 + region, strays=1, requests=2,
    )  # fmt: skip
    return replace(first, **other)


def test_what_is_known_of_parts_is_known_of_the_whole(grown: tuple[Plan, Carried]) -> None:
    new, item = grown
    known = [receipt(2), receipt(0), receipt(1)]
    made = renewed(known, item.partition, new, {"marker": 2, "foreign": 1})
    assert made.key == item.partition.key == ("t", 0)
    assert made.fingerprint == new.fingerprint
    assert (made.dimension, made.start, made.stop) == ("y", 0, 1)
    assert (made.expected, made.present, made.bytes, made.requests) == (3, 3, 7 + 8 + 9, 6)
    assert (made.strays, made.stray_reasons) == (3, {"marker": 2, "foreign": 1})
    assert [file.index for file in made.record_files] == [0, 1, 2]
    assert (made.last_modified, made.verified, made.ordered) == (12, True, True)
    assert made.inventory is None


def test_what_is_doubtful_of_a_part_is_doubtful_of_the_whole(grown: tuple[Plan, Carried]) -> None:
    new, item = grown
    known = [
        receipt(0, verified=False, last_modified=None, inventory="2021-01-01T00:00:00Z"),
        receipt(1, ordered=False, inventory="2020-01-01T00:00:00Z"),
        receipt(2),
    ]
    made = renewed(known, item.partition, new, {})
    assert (made.verified, made.ordered, made.last_modified) == (False, False, 12)
    assert made.inventory == "2020-01-01T00:00:00Z"
    never = [replace(one, last_modified=None) for one in known]
    assert renewed(never, item.partition, new, {}).last_modified is None


def test_where_one_part_is_not_known_the_whole_is_not(grown: tuple[Plan, Carried]) -> None:
    item = grown[1]
    known = {("t", region): receipt(region) for region in range(3)}
    assert receipts_of(item, known) == list(known.values())
    del known["t", 1]
    assert receipts_of(item, known) == []


def test_receipts_are_carried_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time would delete those that tasks of the new plan write meanwhile."""
    source, out = tmp_path / "s.zarr", str(tmp_path / "refs")
    grow(source, 8)
    parchunk.build(parchunk.plan(str(source), split="time", region=4), out)
    grow(source, 16)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("parchunk.building.update.carry_over", killed)
        with pytest.raises(KeyboardInterrupt):
            parchunk.update(out)
    output = open_output(out)
    before = read_unfinished(output)
    assert before is not None
    assert before.grown_from is not None
    assert taken_up(load_plan(output), output) == replace(before, grown_from=None)
    assert read_unfinished(output) == replace(before, grown_from=None)
