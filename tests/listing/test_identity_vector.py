"""What a tally keeps of objects beside their sizes: that of the object that counts."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from tests.made import spec

from parchunk.errors import ListingError
from parchunk.keys.row_sets import RowSet
from parchunk.listing.listed_rows import Listed, in_order, join
from parchunk.listing.tally import Sightings, Tally
from parchunk.stores.identity import MOST_TAG, tags_of


def listed(*rows: tuple[str, int, int, str]) -> Listed:
    paths, sizes, times, tags = zip(*rows, strict=True)
    names = pa.array(paths, pa.string())
    return Listed(
        names,
        np.array(sizes, np.uint64),
        np.array(times, np.int64),
        tags_of(pa.array(tags, pa.string()), names),
    )


def column(identity: str, *pages: Listed) -> list[object]:
    tally = Tally(spec("t", (6,), (1,)), "t/", [RowSet(6, 0, 6)], identity)
    for page in pages:
        tally.take(page, Sightings())
    kept = tally.part(0).identities
    assert kept is not None
    return [
        value if there else None
        for value, there in zip(
            kept.column().to_pylist(), tally.part(0).vector.present.tolist(), strict=True
        )
    ]


def test_each_chunk_has_its_own() -> None:
    page = listed(("t/.zarray", 9, 1, "d"), ("t/1", 5, 10, "a"), ("t/4", 6, 20, "b"))
    assert column("etag", page) == [None, "a", None, None, "b", None]
    at = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
    assert column("time", page)[1] == at.replace(microsecond=10)


def test_a_marker_beside_a_chunk_does_not_count() -> None:
    chunk, marker = ("t/1", 5, 10, "chunk"), ("t/1", 0, 99, "marker")
    for rows in ((chunk, marker), (marker, chunk)):
        assert column("etag", listed(*rows))[1] == "chunk"
        assert column("etag", *(listed(row) for row in rows))[1] == "chunk"


def test_the_latest_word_on_a_size_counts() -> None:
    """A chunk that is listed again, after it was written again meanwhile."""
    first, again = listed(("t/1", 5, 10, "old")), listed(("t/1", 5, 20, "new"))
    assert column("etag", first, again)[1] == "new"
    smaller = listed(("t/1", 4, 20, "new"))
    assert column("etag", first, smaller)[1] == "old", "as its size is: an audit shows both"


def test_rows_keep_theirs_together() -> None:
    page = listed(("a", 1, 1, "A"), ("a/", 0, 2, "m"), ("b", 3, 3, "B"))
    page = Listed(pa.array(["b", "a", "c"]), page.sizes, page.modified, page.tags)
    kept = in_order(page, None)
    assert (kept.paths.to_pylist(), kept.tags.tolist()) == (["b", "c"], [b"A", b"B"])  # type: ignore[union-attr]
    both = join([kept, kept.slice(1)])
    assert both.tags is not None
    assert both.tags.tolist() == [b"A", b"B", b"B"]


@pytest.mark.parametrize(
    ("tag", "kept"), [('"a-2"', b"a-2"), ("a", b"a"), ('W/"a"', b'W/"a"'), ("x" * MOST_TAG, None)]
)
def test_quotes_are_left_out(tag: str, kept: bytes | None) -> None:
    found = tags_of(pa.array([tag, tag]), pa.array(["k", "l"]))
    assert found.tolist() == [kept or tag.encode()] * 2
    assert tags_of(pa.array([], pa.string()), pa.array([], pa.string())).tolist() == []


@pytest.mark.parametrize("tag", [None, "", '""', "x" * (MOST_TAG + 1), "ä"])
def test_what_cannot_be_kept_is_refused_by_name(tag: str | None) -> None:
    with pytest.raises(ListingError, match=r"l has .*: build with another --identity"):
        tags_of(pa.array(["a", tag]), pa.array(["k", "l"]))
