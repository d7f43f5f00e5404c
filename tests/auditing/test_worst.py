"""Of very many arrays pictures are kept of those that lack most, and of no more than so many."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

import parchunk
from parchunk.auditing.heat import Heat
from parchunk.auditing.result import ArrayAudit
from parchunk.auditing.sizes import Sizes
from parchunk.auditing.worst import Pictured, rank_of
from parchunk.report.strips import worst_first


def audited(name: str, missing: int) -> ArrayAudit:
    """Return an array of 12 chunks, some of them missing, as it is when all its files are read."""
    heat, sizes = Heat((4, 3), 0), Sizes()
    held = np.full(12, 7, np.int64)
    held[:missing] = 0
    heat.take(0, held)
    sizes.take(held[missing:], np.arange(missing, 12))
    heat.settle()
    sizes.settle()
    return ArrayAudit(
        expected=12, present=12 - missing, missing=missing, array=name, allowed=False, gap_count=0,
        gaps=(), gap_labels=(), unjudged=(), outliers=None, notable_strays=(), stray_reasons={},
        sizes=sizes, heat=heat,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40), st.integers(1, 6))
def test_pictures_of_the_worst_are_kept_whenever_they_come(
    arrays: list[tuple[int, bool]], most: int
) -> None:
    pictured = Pictured(most)
    made = [audited(f"a{n}", missing) for n, (missing, _) in enumerate(arrays)]
    ranks = {}
    for array, (missing, damaged) in zip(made, arrays, strict=True):
        pictured.take(array, damaged, damaged or missing > 0)
        ranks[array.array] = rank_of(array, damaged, damaged or missing > 0)
    kept = [array.array for array in made if array.heat.kept]
    assert len(kept) <= 2 * most
    assert set(sorted(ranks, key=ranks.__getitem__)[:most]) <= set(kept)
    for array in made:
        # What programs read of an array is there in any case.
        assert array.sizes.count == array.present
        assert array.sizes.median == (7 if array.present else 0)
        assert bool(array.sizes.histogram()) == (array.heat.kept and array.present > 0)
        assert array.heat.expected.sum() == 12


def test_an_audit_that_was_sent_elsewhere_knows_which_pictures_it_has() -> None:
    kept, dropped = audited("a", 3), audited("b", 3)
    dropped.heat.drop()
    for sent in (lambda array: pickle.loads(pickle.dumps(array)), copy.deepcopy):
        assert [sent(array).heat.kept for array in (kept, dropped)] == [True, False]


@pytest.mark.usefixtures("quiet_zarr")
def test_a_file_too_many_is_damage_as_it_is_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        array = zarr.create_array(tmp_path / "s", name=name, shape=4, chunks=1, dtype="u1")
        array[: 4 if name == "b" else 2] = 1
    out = tmp_path / "out"
    parchunk.build(tmp_path / "s", out)
    (out / "b/refs.7.parq").write_bytes(b"no")
    monkeypatch.setattr(Pictured.__init__, "__defaults__", (1,))
    report = parchunk.audit(out)
    kept = [array.array for array in report.arrays if array.heat.kept]
    assert "b" in kept
    assert len(kept) < 4
    assert worst_first(report, list(report.arrays))[0].array == "b"
