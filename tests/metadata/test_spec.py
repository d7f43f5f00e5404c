"""The values: arithmetic of chunk grids, pickle, JSON, digests."""

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.errors import InputError
from parchunk.keys.encoding import KeyEncoding
from parchunk.metadata import ArraySpec, GroupSpec, Hierarchy, Refusal
from parchunk.metadata.meaning import hierarchy_digest
from parchunk.metadata.spec import canonical, spelled_alike
from parchunk.metadata.v2 import parse_v2_array

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 1)
    | st.sampled_from([0.0, -0.0, 1.0, float("nan")]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner),
    max_leaves=3,
)


@settings(max_examples=50)
@given(values, values)
def test_values_are_spelled_alike_whose_canonical_spelling_is_the_same(
    one: object, other: object
) -> None:
    assert spelled_alike(one, other) == (canonical(one) == canonical(other))
    assert spelled_alike(one, json.loads(json.dumps(one)))
    assert spelled_alike({"a": one, "b": other}, {"b": other, "a": one})


def spec(shape: tuple[int, ...], chunks: tuple[int, ...], **changes: object) -> ArraySpec:
    array = ArraySpec(
        name="g/a",
        zarr_format=2,
        shape=shape,
        chunks=chunks,
        dtype="<f4",
        itemsize=4,
        dimension_names=(None,) * len(shape),
        keys=KeyEncoding("", ".", len(shape)),
        attributes={"u": "m"},
        document={"zarr_format": 2},
    )
    return replace(array, **changes)


@pytest.mark.parametrize(
    ("shape", "chunks", "grid", "total"),
    [
        ((), (), (), 1),
        ((0,), (5,), (0,), 0),
        ((1,), (5,), (1,), 1),
        ((10, 11), (5, 5), (2, 3), 6),
        ((0, 7), (1, 2), (0, 4), 0),
        ((87020, 127, 768, 1536), (1, 1, 768, 1536), (87020, 127, 1, 1), 11_051_540),
    ],
)
def test_grids(shape, chunks, grid, total) -> None:
    array = spec(shape, chunks)
    assert (array.grid, array.total, array.rank) == (grid, total, len(shape))


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 2**40)), max_size=4))
def test_grids_are_exact(pairs) -> None:
    """Floating point would round: 2^40 chunks of 1 and one element more are 2^40 + 1 chunks."""
    array = spec(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    total = 1
    for (size, chunk), count in zip(pairs, array.grid, strict=True):
        assert (count - 1) * chunk < size <= count * chunk or (size == 0 and count == 0)
        total *= count
    assert array.total == total


def hierarchy(**attributes: object) -> Hierarchy:
    return Hierarchy(
        arrays=(spec((3,), (2,), dimension_names=("x",), attributes=attributes),),
        groups=(GroupSpec("", 2, {"t": 1.5}, {"zarr_format": 2}),),
        refused=(Refusal("z", "odd", "mend it"),),
        skipped=(("s", "asked"),),
        warnings=("w",),
    )


def test_json_and_pickle_round_trips_are_exact() -> None:
    value = hierarchy(é="日", n=[1, None, {"x": -0.0}])
    again = Hierarchy.from_json(json.loads(json.dumps(value.to_json())))
    assert again == value
    assert again.to_json() == value.to_json()
    assert pickle.loads(pickle.dumps(value)) == value
    assert isinstance(again.arrays[0].shape, tuple)
    assert hash(again) == hash(value)


def test_json_keeps_nan() -> None:
    value = hierarchy(missing=float("nan"))
    again = Hierarchy.from_json(json.loads(json.dumps(value.to_json())))
    assert hierarchy_digest(again) == hierarchy_digest(value)


@pytest.mark.parametrize("data", [{}, {"arrays": 5}, {"arrays": [{}]}, {"arrays": [5]}])
def test_json_of_something_else_is_refused(data) -> None:
    rest = {"groups": [], "refused": [], "skipped": [], "warnings": [], "written_format": 2}
    with pytest.raises(InputError, match="plan again"):
        Hierarchy.from_json(rest | data)


def test_group_json_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="plan again"):
        GroupSpec.from_json({"name": "x"})


def test_digest_follows_the_documents(zarray) -> None:
    def digest(document: dict[str, object], attributes: dict[str, object]) -> str:
        return hierarchy_digest(Hierarchy((parse_v2_array("a", document, attributes),), ()))

    first = digest(zarray(), {"u": 1})
    assert first == digest(dict(reversed(zarray().items())), {"u": 1})
    assert len(first) == 64
    others = [
        digest(zarray(shape=[11, 20]), {"u": 1}),
        digest(zarray(fill_value=1.0), {"u": 1}),
        digest(zarray(), {"u": 2}),
        digest(zarray(), {"u": True}),
        hierarchy_digest(Hierarchy((), ())),
    ]
    assert len({first, *others}) == 6


def test_digest_ignores_warnings() -> None:
    value = hierarchy()
    assert hierarchy_digest(replace(value, warnings=())) == hierarchy_digest(value)
