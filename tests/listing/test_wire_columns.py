"""Numbers and times read by vectors are those that stand there."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from parchunk.listing.wire.columns import numbers, times
from parchunk.listing.wire.page import UnreadablePage
from parchunk.listing.wire.strict_reader import microseconds


@given(st.lists(st.integers(0, 10**16 - 1), min_size=1), st.booleans())
def test_numbers_are_those_that_stand_there(values: list[int], padded: bool) -> None:
    texts = [str(value).zfill(16) if padded else str(value) for value in values]
    body = ("." * 16 + ";".join(texts)).encode()
    ends = 16 + np.cumsum([len(text) + 1 for text in texts]) - 1
    starts = ends - [len(text) for text in texts]
    found = numbers(body, starts, ends)
    assert found is not None
    assert found.tolist() == values


@given(st.lists(st.text("0123456789 +-.:/;\x00", min_size=1, max_size=17), min_size=1))
def test_what_is_no_number_is_none(texts: list[str]) -> None:
    body = ("." * 16 + ";".join(texts)).encode()
    ends = 16 + np.cumsum([len(text) + 1 for text in texts]) - 1
    found = numbers(body, ends - [len(text) for text in texts], ends)
    readable = all(text.isdigit() and len(text) <= 16 for text in texts)
    assert (found.tolist() if found is not None else None) == (
        [int(text) for text in texts] if readable else None
    )


MARKS = "0123456789-:.TZ+ /"


@given(st.datetimes(), st.integers(0, 9), st.integers(0, 30), st.sampled_from(MARKS))
@example(datetime(1970, 1, 1), 0, 30, "0")
@example(datetime(2000, 2, 29), 3, 30, "0")
@example(datetime(1900, 2, 28), 3, 30, "0")
def test_times_are_those_that_stand_there(when: datetime, digits: int, at: int, mark: str) -> None:
    text = when.isoformat(timespec="seconds") + ("." + f"{when.microsecond:06d}123"[:digits]) * (
        digits > 0
    )
    text = (text + "Z")[:at] + mark + (text + "Z")[at + 1 :] if at < 30 else text + "Z"
    body = ("........" + text + "........").encode()
    found = times(body, np.array([8]), np.array([8 + len(text)]))
    if found is not None:
        assert found.tolist() == [microseconds(text)]
    elif at == 30:
        assert not 1970 <= when.year <= 2261


@given(
    st.dates(datetime(1969, 12, 1).date(), datetime(2263, 1, 1).date()),
    st.lists(
        st.tuples(st.integers(0, 40), *(st.integers(0, top) for top in (29, 69, 69, 999))),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 9),
    st.integers(0, 60),
    st.sampled_from(MARKS),
)
@example(date(2024, 2, 1), [(1, 0, 0, 0, 0), (1, 0, 0, 0, 0)], 1, 28, "3")  # another year
@example(date(2024, 2, 1), [(1, 0, 0, 0, 0), (1, 0, 0, 0, 0)], 1, 31, "1")  # another month
@example(date(2024, 2, 1), [(1, 0, 0, 0, 0), (2, 0, 0, 0, 0)], 9, 60, "-")
def test_times_of_one_month_are_those_that_stand_there(
    month: date, moments: list[tuple[int, ...]], again: int, at: int, mark: str
) -> None:
    moments = [moment for moment in moments for _ in range(again)]
    text = ";".join(
        f"{month:%Y-%m}-{day:02}T{hour:02}:{minute:02}:{second:02}.{part:03}Z"
        for day, hour, minute, second, part in moments
    )
    text = text[:at] + mark + text[at + 1 :] if 7 < at < len(text) else text
    starts = 8 + np.arange(len(moments)) * 25
    found = times(b"." * 8 + text.encode() + b"." * 8, starts, starts + 24)
    texts = [text[start - 8 :][:24] for start in starts]
    try:
        expected = [microseconds(one) for one in texts]
        readable = all(one[-5] == "." and 1970 <= int(one[:4]) <= 2261 for one in texts)
    except UnreadablePage:
        readable = False
    assert (found.tolist() if found is not None else None) == (expected if readable else None)
