"""Counts: one addition for what partitions, builds and audits come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import zarr
from hypothesis import given
from hypothesis import strategies as st

import parchunk
from parchunk.out.counts import BuildCounts, Counts

NAMES = [field.name for field in fields(BuildCounts)]

#: Seconds are floats, of which no sum of so many whole ones is rounded.
MOST = {name: 1 << (50 if name == "seconds" else 60) for name in NAMES}

counted = st.just(BuildCounts()) | st.builds(
    BuildCounts, **{name: st.integers(0, most) for name, most in MOST.items()}
)


@given(st.lists(counted, max_size=4))
def test_every_field_is_summed(found: list[BuildCounts]) -> None:
    sums: Counter[str] = Counter()
    for one in found:
        sums.update(one.values())
    assert BuildCounts.total(found).values() == {name: sums[name] for name in NAMES}


@given(counted, counted)
def test_sums_are_of_what_both_have(one: BuildCounts, other: BuildCounts) -> None:
    together = one + other
    assert type(together) is Counts
    assert together == Counts.total([one, other])
    assert together.bytes == one.bytes + other.bytes


def test_a_build_and_its_audit_come_to_the_sum_of_receipts(tmp_path: Path) -> None:
    """Whoever adds a count to receipts finds it in all sums."""
    store, out = tmp_path / "s.zarr", tmp_path / "refs.parquet"
    group = zarr.create_group(store, zarr_format=3)
    for name, shards in (("plain", None), ("sharded", (4,))):
        group.create_array(
            name, shape=(12,), chunks=(2,), shards=shards, dtype="i4", dimension_names=["t"]
        )[2:] = np.arange(1, 11)
    (store / "plain/c/3").write_bytes(b"")
    (store / "plain/c/3.tmp").write_bytes(b"stray")
    (store / "sharded/c/2").write_bytes(b"")
    result = parchunk.build(parchunk.plan(store, split="t", region=4, inline_threshold=4), out)
    assert len(result.receipts) == 6
    report = parchunk.audit(out)
    for name in (field.name for field in fields(Counts)):
        expected = sum(getattr(receipt, name) for receipt in result.receipts)
        assert getattr(result, name) == getattr(report, name) == expected, name
        assert sum(getattr(one, name) for one in report.arrays) == expected, name
        assert sum(getattr(one, name) for one in report.partitions) == expected, name
    assert (result.zero_sized, result.strays, result.shards, result.shards_present) == (3, 1, 3, 2)
    assert result.present + result.missing == result.expected == 12


def test_nothing_counted_is_none_of_anything() -> None:
    assert set(BuildCounts().values().values()) == {0}
    assert BuildCounts.total([]) == BuildCounts()
