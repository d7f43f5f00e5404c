"""Strays against a reading of each key on its own."""

from __future__ import annotations

import re
from math import prod

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.space import KeySpace
from parchunk.keys.text_order import index_at
from parchunk.listing.listed_rows import Listed
from parchunk.listing.strays import KEPT, Strays, encode_strays, find_strays
from parchunk.listing.tally import Sightings, Tally
from parchunk.metadata.spec import ArraySpec
from parchunk.planning.plan import ArrayPlan

TAILS = st.one_of(
    st.text(max_size=6),
    st.from_regex(r"c?[/.]?[0-9]{1,3}([/.][0-9]{0,3}){0,3}[.a-z]?", fullmatch=True),
    st.sampled_from(["", "/", "c", "c/", "0.", ".0", "00", "0.00", "٣.١", "c/0", ".zarray", "1e3"]),
)
STYLES = st.sampled_from([("", "/"), ("", "."), ("c", "/"), ("c", ".")])


def spec_of(grid: tuple[int, ...], style: tuple[str, str]) -> ArraySpec:
    keys = KeyEncoding(*style, len(grid))  # type: ignore[arg-type]
    return ArraySpec("v", 2, grid, (1,) * len(grid), "i4", 4, (None,) * len(grid), keys, {}, {})


def reason_of(spec: ArraySpec, tail: str, size: int) -> str | None:
    """Say why one key, which is no chunk of the grid, is a stray."""
    if tail in {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}:
        return None
    if spec.keys.index(tail) is not None:
        return "outside the grid"
    if size == 0:
        example = spec.keys.tail((0,) * spec.rank).split("/")
        segments = tail.split("/") if tail else []
        if len(segments) < len(example) and all(
            segment == wanted or (wanted == "0" and re.fullmatch("[0-9]+", segment))
            for segment, wanted in zip(segments, example, strict=False)
        ):
            return "directory marker"
    canonical = re.sub("[0-9]+", lambda match: match.group().lstrip("0") or "0", tail)
    if canonical != tail and spec.keys.index(canonical) is not None:
        return "not a canonical number"
    return "not a chunk key"


@given(
    grid=st.lists(st.integers(0, 30), max_size=3).map(tuple),
    style=STYLES,
    tails=st.lists(TAILS, max_size=8),
    data=st.data(),
)
@example(grid=(), style=("", "/"), tails=["7", "00", "c"], data=None)
def test_reasons(
    grid: tuple[int, ...], style: tuple[str, str], tails: list[str], data: st.DataObject | None
) -> None:
    spec = spec_of(grid, style)
    strays = [
        tail
        for tail in tails
        if (index := spec.keys.index(tail)) is None
        or any(at >= size for at, size in zip(index, grid, strict=True))
    ]
    sizes = [data.draw(st.integers(0, 1)) if data else 1 for _ in strays]
    found = find_strays(spec, pa.array(strays, pa.string()), np.array(sizes, np.int64))
    expected = [
        (tail, size, reason)
        for tail, size in zip(strays, sizes, strict=True)
        if (reason := reason_of(spec, tail, size)) is not None
    ]
    assert list(map(tuple, found.to_pandas().itertuples(index=False))) == expected


@given(
    grid=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    style=STYLES,
    tails=st.lists(TAILS, max_size=12, unique=True),
    data=st.data(),
)
def test_each_stray_goes_to_the_row_set_of_the_next_chunk(
    grid: tuple[int, ...], style: tuple[str, str], tails: list[str], data: st.DataObject
) -> None:
    spec = spec_of(grid, style)
    axis = data.draw(st.integers(0, len(grid) - 1))
    plan = ArrayPlan(spec, axis, data.draw(st.integers(1, grid[axis])))
    partitions = [p for p in plan.partitions(1) if data.draw(st.booleans())]
    partitions = partitions or list(plan.partitions(1))
    tally = Tally(spec, "é/v/", [partition.rows for partition in partitions])
    expected: dict[int, list[str]] = {}
    for tail in sorted(tails, key=str.encode):
        index = spec.keys.index(tail)
        if index is not None and all(at < size for at, size in zip(index, grid, strict=True)):
            continue
        if reason_of(spec, tail, 1) is None:
            continue
        rank = min(KeySpace(grid, spec.keys).position(tail), prod(grid) - 1)
        number = int(np.ravel_multi_index(index_at(grid, rank), grid))
        for position, partition in enumerate(partitions):
            rows = partition.rows
            if number in rows.numbers(0, rows.total):
                expected.setdefault(position, []).append(tail)
    sightings = Sightings()
    paths = pa.array([f"é/v/{tail}" for tail in tails], pa.string())
    ones = np.ones(len(tails), np.uint64)
    tally.take(Listed(paths, ones, ones.astype(np.int64)), sightings)
    found = {owner: held.kept()["path"].to_pylist() for owner, held in sightings.strays.items()}
    assert found == expected


def strays_named(names: list[str]) -> pa.Table:
    spec = spec_of((10,), ("", "/"))
    return find_strays(spec, pa.array(names), np.ones(len(names), np.int64))


def test_many_are_counted_in_full_and_kept_in_part() -> None:
    strays, others = Strays(), Strays()
    total = 5 * KEPT
    names = [f"{number * 7919 % total:06}.tmp" for number in range(total)]
    for at in range(0, total, 1000):
        (strays if at % 2000 else others).add(strays_named(names[at : at + 1000]))
        assert strays._table().num_rows <= 2 * KEPT
    strays.merge(others)
    assert strays.count == total
    assert strays.reasons == {"not a chunk key": total}
    assert strays.kept()["path"].to_pylist() == [f"{n:06}.tmp" for n in range(KEPT)]
    assert len(encode_strays("v", strays)) < 100 * KEPT


def test_a_second_listing_adds_what_no_other_showed() -> None:
    first, second = Strays(), Strays()
    first.add(strays_named(["b", "d"]))
    second.add(strays_named(["a", "b", "c", "d"]))
    first.merge_again(second)
    assert first.kept()["path"].to_pylist() == ["a", "b", "c", "d"]
    assert first.count == 4
    # Met by two more listings, and gathered to more than are held as they came.
    first, again = Strays(), Strays()
    names = [f"{number:06}" for number in range(KEPT - 1)]
    for _ in range(3):
        listed = Strays()
        listed.add(strays_named(names))
        again.merge_again(listed)
    first.merge_again(again)
    assert first.count == len(names)
    # Beyond those known by name nobody can tell.
    full = Strays()
    full.add(strays_named([f"m{number:06}" for number in range(3 * KEPT)]))
    second.add(strays_named(["z"]))
    full.merge_again(second)
    assert full.count == 3 * KEPT + 4
    assert full.kept()["path"].to_pylist()[:5] == ["a", "b", "c", "d", "m000000"]
