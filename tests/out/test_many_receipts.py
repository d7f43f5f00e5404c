"""Receipts that are kept as columns: what comes out is what was put in, in any order of asking."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.out.counts import Counts, names_of
from parchunk.out.many_receipts import ManyReceipts, each
from parchunk.out.receipts import Receipt, RecordFile

BASE = Receipt(
    expected=96,
    present=96,
    fingerprint="f" * 64,
    array="a",
    region=None,
    dimension=None,
    start=None,
    stop=None,
    stray_reasons={},
    last_modified=1,
    verified=True,
    ordered=True,
)
FIELDS = [name for name in names_of(Receipt) if name != "record_files"]
counts = st.integers(0, (1 << 63) - 1)
digests = st.one_of(
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.sampled_from(["", "AB" * 16, "ab " * 10 + "ab", "é" * 32, "0" * 64]),
)
files = st.builds(RecordFile, counts, counts, counts, counts, digests, st.just("") | digests)
receipts = st.builds(
    replace,
    st.just(BASE),
    array=st.text(max_size=3),
    region=st.none() | st.integers(0, 9),
    bytes=counts,
    seconds=st.floats(0, 1e9) | st.just(0),
    last_modified=st.none() | st.integers(-(1 << 70), 1 << 70),
    stray_reasons=st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=2),
    verified=st.booleans(),
    record_files=st.lists(files, max_size=3).map(tuple),
    inventory=st.none() | st.text(max_size=2),
)


@settings(max_examples=25)
@given(st.lists(receipts, max_size=8), st.integers(1, 4), st.data())
def test_what_comes_out_is_what_was_put_in(
    all_of_them: list[Receipt], together: int, data: Any
) -> None:
    kept = ManyReceipts(all_of_them[:3], together)
    kept.extend(all_of_them[3:])
    assert list(kept) == all_of_them
    assert kept == all_of_them
    assert all_of_them == kept
    # 0 is not 0.0, nor True: documents say which
    assert [str(one.to_json()) for one in kept] == [str(one.to_json()) for one in all_of_them]
    assert len(kept) == len(all_of_them)
    assert kept.expected == sum(one.expected for one in all_of_them)
    names = data.draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3))
    fields = [tuple(getattr(one, name) for name in names) for one in all_of_them]
    for held in (kept, all_of_them):
        assert list(each(held, *names)) == fields
    assert kept.counts == Counts.total(all_of_them)
    part = data.draw(st.slices(len(all_of_them)))
    assert kept[part] == all_of_them[part]
    if all_of_them:
        at = data.draw(st.integers(-len(all_of_them), len(all_of_them) - 1))
        assert kept[at] == all_of_them[at]
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert kept != [*all_of_them, BASE]


def test_what_is_not_there_is_asked_for() -> None:
    with pytest.raises(IndexError):
        ManyReceipts([BASE])[1]
    assert ManyReceipts([BASE]) != BASE


def test_every_other_one_is_asked_for() -> None:
    some = [replace(BASE, bytes=number) for number in range(5)]
    assert ManyReceipts(some, 2)[::2] == some[::2]
    assert ManyReceipts(some, 2)[::-1] == some[::-1]


def test_each_takes_less_than_a_hundred_bytes() -> None:
    names = [f"group/a{number}" for number in range(4_096)]
    tracemalloc.start()
    try:
        kept = ManyReceipts()
        for number, name in enumerate(names):
            digest = f"{number:032x}"
            record = RecordFile(0, 96, 96, 1_000 + number, digest)
            kept.append(
                replace(
                    BASE,
                    array=name,
                    bytes=number << 20,
                    seconds=number / 8,
                    last_modified=number << 40,
                    record_files=(record,),
                )
            )
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100 * len(names)
    assert [one.array for one in kept] == names
