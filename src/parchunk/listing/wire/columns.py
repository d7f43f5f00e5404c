"""Columns out of the bytes of a page: text, numbers and times at places given as vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]

#: Digits of a number that vectors read.
MOST_DIGITS = 16
_WORD = 8
#: Zeros in front of so many digits, in a word.
_ZEROS = np.array(
    [int.from_bytes(b"0" * (_WORD - digits), "little") for digits in range(_WORD + 1)], np.uint64
)
#: What a time looks like, and how long it is with and without a fraction.
_FORM = b"0000-00-00T00:00:00"
_SHORTEST, _LONGEST = len(_FORM) + 1, len(_FORM) + 11
_FIRST_YEAR, _LAST_YEAR = 1970, 2261
_MONTHS = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
_FIRST_DAYS = _MONTHS.astype("datetime64[D]").astype(np.int64)


def windows(page: bytes, places: Places, width: int) -> NDArray[np.void]:
    """Return the ``width`` bytes from each place; nothing lies beyond the page.

    Raises
    ------
    IndexError
        When something would.
    """
    # A type as wide as a row lets one kernel copy it whole.
    every = np.ndarray((max(len(page) - width + 1, 0),), f"V{width}", page, strides=(1,))
    return every[places]


def stands_at(page: bytes, places: Places, text: bytes) -> bool:
    """Whether ``text`` stands at all of the places."""
    return windows(page, places, len(text)).tobytes() == text * len(places)


def gather(page: bytes, starts: Places, lengths: Places) -> Bytes:
    """Return the bytes of texts, one behind the other."""
    if len(lengths) and int(lengths.min()) == int(lengths.max()):
        same: Bytes = windows(page, starts, int(lengths[0])).view(np.uint8)
        return same
    before = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    text: Bytes = np.frombuffer(page, np.uint8)[places]
    return text


def numbers(page: bytes, starts: Places, stops: Places) -> NDArray[np.uint64] | None:
    """Return the numbers that stand there in digits; None where anything else stands."""
    lengths = stops - starts
    least, most = int(lengths.min()), int(lengths.max())
    if least < 1 or most > MOST_DIGITS:
        return None
    if most <= _WORD:
        return _number(page, starts, lengths)
    low = np.minimum(lengths, _WORD)
    high = _number(page, starts, lengths - low)
    rest = _number(page, stops - low, low)
    return None if high is None or rest is None else high * np.uint64(10**_WORD) + rest


def times(page: bytes, starts: Places, lengths: Places) -> NDArray[np.int64] | None:
    """Return times of the form ``2024-01-02T03:04:05.678Z`` in microseconds since the epoch.

    Whatever is finer is cut off. None where one has another form or length, or is no time.
    """
    length = int(lengths.min())
    if not _SHORTEST <= length <= _LONGEST or int(lengths.max()) != length:
        return None
    days, clock, second = (
        _pairs(page, starts + at, _FORM[at : at + _WORD]) for at in (0, _WORD, 2 * _WORD)
    )
    if days is None or clock is None or second is None:
        return None
    century, year, month = _byte(days, 0), _byte(days, 2), _byte(days, 5)
    day, hour, minute, seconds = _byte(clock, 0), _byte(clock, 3), _byte(clock, 6), _byte(second, 1)
    months = (century * 100 + year - _FIRST_YEAR) * 12 + month - 1
    if (
        int(month.min()) < 1
        or int(month.max()) > 12
        or int(months.min()) < 0
        or int(months.max()) >= len(_FIRST_DAYS) - 1
    ):
        return None
    whole = _FIRST_DAYS[months] + day - 1
    if (
        int(day.min()) < 1
        or int(hour.max()) > 23
        or int(minute.max()) > 59
        or int(seconds.max()) > 59
        or (whole >= _FIRST_DAYS[months + 1]).any()
    ):
        return None
    made: NDArray[np.int64] = (((whole * 24 + hour) * 60 + minute) * 60 + seconds) * 1_000_000
    if not stands_at(page, starts + length - 1, b"Z"):
        return None
    if length > _SHORTEST:
        digits = length - _SHORTEST - 1
        shown = numbers(page, starts + len(_FORM) + 1, starts + length - 1) if digits else None
        if shown is None or not stands_at(page, starts + len(_FORM), b"."):
            return None
        exact = shown * np.uint64(10 ** (9 - digits)) // np.uint64(1000)
        made = made + exact.astype(np.int64)
    return made


def _words(page: bytes, places: Places) -> Words:
    """Return eight bytes each, the first one as the lowest of the word."""
    return windows(page, places, _WORD).view("<u8")


def _repeated(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * _WORD, "little"))


_LOW, _HIGH, _SIX, _THREE = _repeated(0x0F), _repeated(0xF0), _repeated(0x06), _repeated(0x30)


def _number(page: bytes, starts: Places, lengths: Places) -> Words | None:
    """Return numbers of up to eight digits; none at all is 0."""
    words = _words(page, starts)
    # The digits go to the end of the word, behind zeros; a shift by all of it is none.
    words = words << ((_WORD - lengths) * 8).astype(np.uint64) % np.uint64(64)
    words = np.where(lengths > 0, words, np.uint64(0)) | _ZEROS[lengths]
    if not _are_digits(words):
        return None
    words = (words & _LOW) * np.uint64(10 * 2**8 + 1) >> np.uint64(8)
    words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 2**16 + 1) >> np.uint64(16)
    return (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1) >> np.uint64(32)


def _pairs(page: bytes, places: Places, form: bytes) -> Words | None:
    """Return words of two-digit numbers, each where the first of its digits stands.

    ``form`` has a zero where a digit stands, and else what must. None where it does not.
    """
    words = _words(page, places)
    zero = ord("0")
    low = bytes(0x0F if byte == zero else 0 for byte in form).ljust(_WORD, b"\0")
    fixed = bytes(0xF0 if byte == zero else 0xFF for byte in form).ljust(_WORD, b"\0")
    digits = np.uint64(int.from_bytes(low, "little"))
    if not (
        (words & np.uint64(int.from_bytes(fixed, "little")))
        == np.uint64(int.from_bytes(form.ljust(_WORD, b"\0"), "little"))
    ).all():
        return None
    words = words & digits
    if ((words + _SIX) & _HIGH & (digits << np.uint64(4))).any():
        return None
    return words * np.uint64(10) + (words >> np.uint64(8))


def _are_digits(words: Words) -> bool:
    """Whether all bytes of words are digits."""
    return not (((words & _HIGH) ^ _THREE) | (((words & _LOW) + _SIX) & _HIGH)).any()


def _byte(words: Words, at: int) -> NDArray[np.int64]:
    return (words >> np.uint64(8 * at) & np.uint64(0xFF)).astype(np.int64)
