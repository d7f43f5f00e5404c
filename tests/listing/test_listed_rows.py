"""Rows of a listing: their order is checked, what cannot be in order is told from markers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from parchunk.listing.listed_rows import (
    Endless,
    Listed,
    Repeats,
    Unordered,
    after,
    in_order,
    join,
    up_to,
)


def listed(*rows: str | tuple[str, int]) -> Listed:
    """Return rows of 5 bytes each, unless given; modified at 0, 1, 2..."""
    pairs = [(row, 5) if isinstance(row, str) else row for row in rows]
    return Listed(
        pa.array([path for path, _ in pairs], pa.string()),
        np.array([size for _, size in pairs], np.uint64),
        np.arange(len(pairs), dtype=np.int64),
    )


def rows_of(found: Listed) -> list[tuple[str, int, int]]:
    return list(
        zip(found.paths.to_pylist(), found.sizes.tolist(), found.modified.tolist(), strict=True)
    )


@pytest.mark.parametrize("previous", [None, "", "a"])
def test_rows_that_rise_stay(previous: str | None) -> None:
    given = listed("a/0", ("a/1", 0), "a/2")
    assert rows_of(in_order(given, previous)) == rows_of(given)


@pytest.mark.parametrize(
    ("rows", "previous", "said"),
    [
        (["b", "a"], None, "key a came after b"),
        (["a", "a"], None, "key a came after a"),
        (["a", "b"], "a", "key a came after a"),
        (["a", "b"], "aa", "key a came after aa"),
        (["a", "c", "b"], "A", "key b came after c"),
    ],
)
def test_what_falls_is_a_broken_promise(rows: list[str], previous: str | None, said: str) -> None:
    """Within a batch, and across two of them: ``previous`` is the last key of the one before."""
    with pytest.raises(Unordered, match=said):
        in_order(listed(*rows), previous)


@pytest.mark.parametrize(
    ("rows", "previous", "kept"),
    [
        # A marker, whose slash is stripped, equals the chunk that it follows...
        (["t/0", ("t/0", 0), "t/1"], None, ["t/0", "t/1"]),
        # ...or sorts before what it follows, in the same batch or in the one before.
        (["t/0.tmp", ("t/0", 0), "t/1"], None, ["t/0.tmp", "t/1"]),
        ([("t/0", 0), "t/1"], "t/0.tmp", ["t/1"]),
        ([("t/0", 0)], "t/0", []),
        # Two in a row, of which the second falls only once the first is set aside.
        (["t/1.tmp", ("t/0", 0), ("t/1", 0), "t/2"], None, ["t/1.tmp", "t/2"]),
        # One that rises may be a chunk of no bytes.
        (["t/0", ("t/1", 0), "t/2"], None, ["t/0", "t/1", "t/2"]),
    ],
)
def test_markers_that_fall_are_set_aside_and_nothing_beside_them(
    rows: list[str | tuple[str, int]], previous: str | None, kept: list[str]
) -> None:
    given = listed(*rows)
    found = in_order(given, previous)
    assert found.paths.to_pylist() == kept
    # The other columns are those of the rows that stay.
    assert set(rows_of(found)) <= set(rows_of(given))


def test_a_fall_behind_a_marker_is_seen() -> None:
    with pytest.raises(Unordered, match="key t/0 came after t/0"):
        in_order(listed("t/0.tmp", ("t/0", 0), "t/0"), None)


def test_rows_up_to_a_key_and_after_it() -> None:
    given = listed("a", "b", "c")
    assert rows_of(up_to(given, "b")) == [("a", 5, 0), ("b", 5, 1)]
    assert rows_of(after(given, "b")) == [("c", 5, 2)]
    assert rows_of(up_to(given, "A")) == rows_of(after(given, "c")) == []
    assert rows_of(up_to(given, "bb")) == [("a", 5, 0), ("b", 5, 1)]
    assert rows_of(after(given, "bb")) == [("c", 5, 2)]
    assert rows_of(up_to(listed(), "a")) == rows_of(after(listed(), "a")) == []


def test_pages_are_joined_in_turn() -> None:
    first, second = listed(("a", 2**63)), listed(("b", 1), ("c", 0))
    assert rows_of(join([first, second])) == [("a", 2**63, 0), ("b", 1, 0), ("c", 0, 1)]
    assert rows_of(join([first])) == rows_of(first)


def test_pages_that_come_again_have_no_end() -> None:
    repeats = Repeats()
    pages = [pa.array([f"{number}/a", f"{number}/b"]) for number in range(50)]
    for page in pages:
        repeats.check(page)
    for page in pages[: Repeats.MOST]:
        repeats.check(page)
    with pytest.raises(Endless, match="repeats itself"):
        repeats.check(pages[20])


def test_a_key_may_come_twice_in_a_page_and_no_more() -> None:
    Repeats().check(pa.array(["a", "a"]))
    with pytest.raises(Endless):
        Repeats().check(pa.array(["a", "a", "a"]))
