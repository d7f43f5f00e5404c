"""Whatever a record file holds, the audit and the views work or say one line."""

import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import record_file

#: Rows of the record file that is replaced.
ROWS = 4
BOUNDED = settings(
    max_examples=int(os.environ.get("PARCHUNK_FUZZ", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

NUMBERS = st.one_of(
    st.none(), st.integers(-2, 9), st.sampled_from([2**63 - 1, -(2**63), 2**62, 2**31, 10**18])
)
PATHS = st.one_of(
    st.none(),
    st.binary(max_size=12),
    st.text(max_size=12).map(str.encode),
    st.sampled_from([b"\xff\xfe", b"../../etc/passwd", b"\0", b"<b>&", b"x" * 5000, b"a\nb"]),
)


@st.composite
def columns(draw: st.DrawFn) -> pa.Table:
    """A table that may be a record file's, or that of something else."""
    rows = draw(st.sampled_from([ROWS, ROWS, ROWS, 0, 1, 40]))

    def column(values: st.SearchStrategy) -> list:
        few = draw(st.lists(values, min_size=1, max_size=4))
        return [few[row % len(few)] for row in range(rows)]

    binary = pa.array(column(PATHS), pa.binary())
    number = pa.array(column(NUMBERS), pa.int64())
    made = {
        "path": draw(
            st.sampled_from([binary.view(pa.string()), binary, binary.dictionary_encode(), number])
        ),
        "offset": number,
        "size": draw(st.sampled_from([pa.array(column(NUMBERS), pa.int64()), number])),
        "raw": draw(st.sampled_from([binary, pa.nulls(rows, pa.binary()), pa.nulls(rows)])),
    }
    names = draw(
        st.sampled_from(
            [list(made), list(made), list(made)[::-1], ["path"], ["path", "size", "offset", "x"]]
        )
    )
    table = pa.table({name: made.get(name, number) for name in names})
    return table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))


def encoded(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


HUGE = pa.array([2**63 - 1] * ROWS)
NONE = pa.nulls(ROWS, pa.binary())
NO_TEXT = pa.array([b"\xff\xfe"] * ROWS, pa.binary()).view(pa.string())


@BOUNDED
@given(table=columns(), dictionary=st.booleans(), group=st.sampled_from([1, 5, 100]))
@example(
    table=pa.table({"path": NO_TEXT, "offset": HUGE, "size": HUGE, "raw": NONE}),
    dictionary=True,
    group=100,
)
def test_tables(table: pa.Table, dictionary: bool, group: int) -> None:
    record_file(encoded(table, use_dictionary=dictionary, row_group_size=group))


RIGHT = encoded(
    pa.table(
        {
            "path": pa.array(["a", None] * (ROWS // 2)),
            "offset": pa.array([0] * ROWS),
            "size": pa.array([4, 0] * (ROWS // 2)),
            "raw": pa.nulls(ROWS, pa.binary()),
        }
    )
)


@BOUNDED
@given(
    damage=st.lists(
        st.tuples(st.integers(0, len(RIGHT) - 1), st.binary(min_size=1, max_size=4)), max_size=4
    ),
    keep=st.one_of(st.just(len(RIGHT)), st.integers(0, len(RIGHT))),
)
@example(damage=[(378, b"\x80")], keep=len(RIGHT))  # DuckDB quotes what is no text
def test_damaged_bytes(damage: list[tuple[int, bytes]], keep: int) -> None:
    data = bytearray(RIGHT)
    for at, bytes_ in damage:
        data[at : at + len(bytes_)] = bytes_
    record_file(bytes(data[:keep]))
