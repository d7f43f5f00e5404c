"""Keys by the batch against `KeyEncoding`, one key at a time."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parchunk.keys.encoding import KeyEncoding
from parchunk.keys.parsing import parse_paths, positions_of
from parchunk.keys.space import KeySpace
from parchunk.keys.spelling import PathBuilder

BASES = ["air/", "a b/é%#?/日本/", "c/", "0/", ""]


@st.composite
def encodings(draw: st.DrawFn, least: int = 0) -> KeyEncoding:
    return KeyEncoding(
        draw(st.sampled_from(["", "c"])),
        draw(st.sampled_from("./")),
        draw(st.integers(least, 4)),
    )


@st.composite
def grids(draw: st.DrawFn, rank: int, least: int = 1) -> tuple[int, ...]:
    return tuple(
        draw(st.lists(st.sampled_from([least, 1, 2, 9, 10, 11, 101]), min_size=rank, max_size=rank))
    )


def tails(encoding: KeyEncoding) -> st.SearchStrategy[str]:
    """Tails that are chunk keys, and such as are nearly that."""
    number = st.integers(0, 120).map(str)
    odd = st.sampled_from(
        [
            "",
            "00",
            "01",
            "-1",
            "+1",
            "1e1",
            "٣",
            "1 ",
            "9" * 18,
            "9" * 19,
            "9" * 30,
            "c",
            "x",
            "1_0",
        ]
    )
    part = st.one_of(number, number, number, odd)
    joined = st.lists(part, min_size=max(encoding.rank - 1, 0), max_size=encoding.rank + 1).map(
        lambda parts: encoding.head + encoding.separator.join(parts)
    )
    plain = st.lists(number, min_size=encoding.rank, max_size=encoding.rank).map(
        lambda parts: encoding.head + encoding.separator.join(parts)
    )
    swapped = joined.map(lambda tail: tail.translate(str.maketrans("./", "/.")))
    suffixed = st.tuples(plain, st.sampled_from([".tmp", "/", "~", "\n", "\0", ".0", "/0"])).map(
        "".join
    )
    documents = st.sampled_from([".zarray", "zarr.json", "c", "", "0", "README.md"])
    return st.one_of(plain, plain, joined, swapped, suffixed, documents)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), base=st.sampled_from(BASES))
def test_parsing_agrees_with_the_definition(data: st.DataObject, base: str) -> None:
    encoding = data.draw(encodings())
    grid = data.draw(grids(encoding.rank, least=0))
    drawn = data.draw(st.lists(tails(encoding), max_size=30))
    sliced = data.draw(st.integers(0, 3))
    # A slice: buffers that do not begin where the array does are what listings are cut into.
    whole = pa.array([base + "0"] * sliced + [base + tail for tail in drawn], pa.string())
    parsed = parse_paths(whole.slice(sliced), base, KeySpace(grid, encoding))

    expected, inside = [], []
    for tail in drawn:
        index = encoding.index(tail)
        good = index is not None and all(i < n for i, n in zip(index, grid, strict=True))
        good = good and math.prod(grid) > 0
        inside.append(good)
        if good:
            expected.append(int(np.ravel_multi_index(index, grid)) if grid else 0)
    assert parsed.numbers.tolist() == expected
    assert (
        (parsed.chunks is None and all(inside))
        if parsed.chunks is None
        else parsed.chunks.tolist() == inside
    )
    assert parsed.others.tolist() == [row for row, good in enumerate(inside) if not good]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 18).flatmap(lambda digits: st.integers(0, 10**digits)),
            st.sampled_from(["", "", "", "0", "000000000"]),
            st.integers(0, 6),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([10**17, 10**16 + 7, 10**9, 10**8, 99_999_999]),
    st.sampled_from([(1, 1), (1,), (7, 1), (7,), ()]),
)
def test_numbers_of_any_length_are_read(
    drawn: list[tuple[int, str, int]], size: int, rest: tuple[int, ...]
) -> None:
    grid, width = (size, *rest), math.prod(rest)
    encoding = KeyEncoding("", ".", len(grid))
    last = [min(part, grid[1] - 1) if rest else 0 for _, _, part in drawn]
    paths = [
        "t/"
        + ".".join([f"{zeros}{number}", *([str(part)] if rest else []), *["0"] * len(rest[1:])])
        for (number, zeros, _), part in zip(drawn, last, strict=True)
    ]
    parsed = parse_paths(pa.array(paths, pa.string()), "t/", KeySpace(grid, encoding))
    good = [not zeros and number < size for number, zeros, _ in drawn]
    assert parsed.others.tolist() == [row for row, fine in enumerate(good) if not fine]
    assert parsed.numbers.tolist() == [
        number * width + part
        for (number, _, _), part, fine in zip(drawn, last, good, strict=True)
        if fine
    ]


@pytest.mark.parametrize(
    "grid", [(3, 70_000), (70_000,), (400, 300, 2), (2, 1, 70_001, 1), (10**9, 2)]
)
@pytest.mark.parametrize("separator", ["/", "."])
def test_large_grids_go_there_and_back(grid: tuple[int, ...], separator: str) -> None:
    encoding = KeyEncoding("c", separator, len(grid))  # type: ignore[arg-type]
    total = math.prod(grid)
    numbers = np.unique(np.random.default_rng(1).integers(0, total, 5000))
    numbers = np.union1d(numbers, [0, total - 1])
    paths = PathBuilder("s3://b/air/", KeySpace(grid, encoding)).build(numbers)
    for at in (0, 17, len(numbers) - 1):
        index = tuple(int(i) for i in np.unravel_index(numbers[at], grid))
        assert paths[at].as_py() == "s3://b/air/" + encoding.tail(index)
    parsed = parse_paths(paths, "s3://b/air/", KeySpace(grid, encoding))
    assert np.array_equal(parsed.numbers, numbers)
    assert parsed.chunks is None


@settings(deadline=None, max_examples=200)
@given(data=st.data())
@example(data=None)
def test_an_index_is_read_back_from_its_tail(data: st.DataObject | None) -> None:
    if data is None:
        assert KeyEncoding("c", "/", 0).index("c") == ()
        assert KeyEncoding("", ".", 0).index("0") == ()
        assert KeyEncoding("", ".", 2).index("00.1") is None
        assert KeyEncoding("", ".", 1).index("٣") is None  # Unicode calls it a digit
        assert KeyEncoding("", ".", 1).index("9" * 5_000) is None  # more than Python reads
        return
    encoding = data.draw(encodings(1))
    index = tuple(
        data.draw(st.lists(st.integers(0, 10**12), min_size=encoding.rank, max_size=encoding.rank))
    )
    assert encoding.index(encoding.tail(index)) == index


@given(
    grid=st.sampled_from([(12,), (3, 0), (101, 7), (3, 1, 23), (), (10**9,), (10**4, 10**5)]),
    data=st.data(),
)
def test_what_is_no_chunk_has_the_position_of_its_definition(
    grid: tuple[int, ...], data: st.DataObject
) -> None:
    style = data.draw(st.sampled_from(["", "c"])), data.draw(st.sampled_from("./"))
    encoding = KeyEncoding(*style, len(grid))
    keys = st.tuples(*[st.integers(0, max(size - 1, 0)) for size in grid]).map(encoding.tail)
    after = st.one_of(st.sampled_from([".tmp", "/", "~", "\U0010ffff"]), st.text(min_size=1))
    strays = st.one_of(st.builds(str.__add__, keys, after), st.text(max_size=3))
    tails = [tail for tail in data.draw(st.lists(strays)) if encoding.index(tail) is None]
    found = positions_of(pa.array(tails, pa.string()), KeySpace(grid, encoding))
    assert found.tolist() == [KeySpace(grid, encoding).position(tail) for tail in tails]


def test_no_paths_are_no_numbers() -> None:
    parsed = parse_paths(
        pa.array([], pa.string()), "air/", KeySpace((3, 3), KeyEncoding("c", "/", 2))
    )
    assert len(parsed.numbers) == 0
    assert parsed.chunks is None
    assert len(parsed.others) == 0


def test_all_keys_of_a_small_grid_are_told_from_others_as_many() -> None:
    space = KeySpace((12, 11), KeyEncoding("c", "/", 2))
    keys = sorted((space.key(number), number) for number in range(space.total))
    paths, wanted = [f"a/{key}" for key, _ in keys], [number for _, number in keys]
    assert parse_paths(pa.array(paths), "a/", space).numbers.tolist() == wanted
    other = [paths[1], paths[0], *paths[2:]]
    swapped = parse_paths(pa.array(other), "a/", space)
    assert swapped.numbers.tolist() == [wanted[1], wanted[0], *wanted[2:]]
    other[5] = "a/c/0/11"  # beyond the grid
    stray = parse_paths(pa.array(other), "a/", space)
    assert (stray.others.tolist(), len(stray.numbers)) == ([5], space.total - 1)


def test_neighbours_among_the_keys_of_a_small_grid_are_told_from_others() -> None:
    space = KeySpace((12, 11), KeyEncoding("c", "/", 2))
    keys = sorted((space.key(number), number) for number in range(space.total))
    for first, stop in [(0, 1), (0, 50), (7, 107), (50, 132), (131, 132)]:
        paths = [f"a b/é/{key}" for key, _ in keys[first:stop]]
        wanted = [number for _, number in keys[first:stop]]
        parsed = parse_paths(pa.array(paths), "a b/é/", space)
        assert (parsed.numbers.tolist(), parsed.chunks, len(parsed.others)) == (wanted, None, 0)
        if stop - first > 2:
            lacking = parse_paths(pa.array([paths[0], *paths[2:]]), "a b/é/", space)
            assert lacking.numbers.tolist() == [wanted[0], *wanted[2:]]
            paths[1] += ".tmp"
            stray = parse_paths(pa.array(paths), "a b/é/", space)
            assert stray.numbers.tolist() == [wanted[0], *wanted[2:]]
            assert stray.others.tolist() == [1]
    beyond = parse_paths(pa.array(["a/c/9/9", "a/c/9/9.tmp"]), "a/", space)
    assert (beyond.numbers.tolist(), beyond.others.tolist()) == ([9 * 11 + 9], [1])
