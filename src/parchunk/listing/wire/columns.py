"""Columns out of the bytes of a page: numbers and times at places given as vectors."""

from __future__ import annotations

from functools import cache

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
#: By how many bits so many digits are shifted to the end of a word, and what of it is kept then: a
#: shift by all of it is none.
_SHIFTS = np.array([(_WORD - digits) * 8 % 64 for digits in range(_WORD + 1)], np.uint64)
_KEPT = np.array([0, *[2**64 - 1] * _WORD], np.uint64)
#: What times look like: seconds, which a fraction may follow, and the one that nearly all have.
_SECONDS, _USUAL = b"0000-00-00T00:00:00", b"0000-00-00T00:00:00.000Z"
_SHORTEST, _LONGEST = len(_SECONDS) + 1, len(_SECONDS) + 11
_FIRST_YEAR, _LAST_YEAR = 1970, 2261
_MONTHS = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
#: Microseconds since the epoch at which months begin.
_BEGINS = _MONTHS.astype("datetime64[us]").astype(np.int64)
#: What makes any time negative.
_WRONG = -(2**62)


def _worth(unit: int, first: int, last: int) -> NDArray[np.int64]:
    """Return what two digits are worth, those from ``first`` to ``last``."""
    worth = np.full(256, _WRONG)
    worth[first : last + 1] = np.arange(last + 1 - first) * unit
    return worth


_MINUTE = 60 * 1_000_000
_DAYS, _HOURS = _worth(24 * 60 * _MINUTE, 1, 31), _worth(60 * _MINUTE, 0, 23)
_MINUTES, _OF_MINUTE = _worth(_MINUTE, 0, 59), _worth(1_000_000, 0, 59)
_CENTURIES, _YEARS, _OF_YEAR = _worth(1200, 0, 99), _worth(12, 0, 99), _worth(1, 1, 12)
#: Of a fraction's first two digits, and of its third times ten.
_HUNDREDTHS, _THOUSANDTHS = _worth(10_000, 0, 99), _worth(100, 0, 99)


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
    usual = length == len(_USUAL)
    pairs = _pairs(page, starts, _USUAL if usual else _SECONDS)
    if pairs is None:
        return None
    months = _CENTURIES[pairs[0, :, 0]] + _YEARS[pairs[0, :, 2]] + _OF_YEAR[pairs[0, :, 5]]
    months -= _FIRST_YEAR * 12
    if int(months.min()) < 0 or int(months.max()) >= len(_BEGINS) - 1:
        return None
    days = _BEGINS[months] + _DAYS[pairs[1, :, 0]]
    made: NDArray[np.int64] = (
        days + _HOURS[pairs[1, :, 3]] + _MINUTES[pairs[1, :, 6]] + _OF_MINUTE[pairs[2, :, 1]]
    )
    if int(made.min()) < 0 or (days >= _BEGINS[months + 1]).any():
        return None
    if usual:
        return made + _HUNDREDTHS[pairs[2, :, 4]] + _THOUSANDTHS[pairs[2, :, 6]]
    if not stands_at(page, starts + length - 1, b"Z"):
        return None
    if length > _SHORTEST:
        digits = length - _SHORTEST - 1
        shown = numbers(page, starts + len(_SECONDS) + 1, starts + length - 1) if digits else None
        if shown is None or not stands_at(page, starts + len(_SECONDS), b"."):
            return None
        made += (shown * np.uint64(10 ** (9 - digits)) // np.uint64(1000)).astype(np.int64)
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
    # The digits go to the end of the word, behind zeros.
    words = (words << _SHIFTS[lengths]) & _KEPT[lengths] | _ZEROS[lengths]
    if not _are_digits(words):
        return None
    words = (words & _LOW) * np.uint64(10 * 2**8 + 1) >> np.uint64(8)
    words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 2**16 + 1) >> np.uint64(16)
    return (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1) >> np.uint64(32)


def _pairs(page: bytes, starts: Places, form: bytes) -> Bytes | None:
    """Return the two-digit numbers of texts in a form, each where the first of its digits stands.

    The form has a zero where a digit stands, and else what must. The numbers are in bytes, eight to
    a word, and of a word all texts', then of the next one. None where a text has another form.
    """
    words = -(-len(form) // _WORD)
    read = np.ascontiguousarray(
        windows(page, starts, words * _WORD).view("<u8").reshape(-1, words).T
    )
    fixed, digits, wanted = _masks(form)
    if ((read & fixed) != wanted).any():
        return None
    read &= digits
    if ((read + _SIX) & _HIGH & (digits << np.uint64(4))).any():
        return None
    return (read * np.uint64(10) + (read >> np.uint64(8))).view(np.uint8).reshape(words, -1, _WORD)


@cache
def _masks(form: bytes) -> tuple[Words, Words, Words]:
    """Return what of a form's words is the same in each, what are digits, and the former."""
    length = -(-len(form) // _WORD) * _WORD
    fixed = bytes(0xF0 if byte == ord("0") else 0xFF for byte in form)
    digits = bytes(0x0F if byte == ord("0") else 0x00 for byte in form)
    one, two, three = (
        np.frombuffer(text.ljust(length, b"\0"), "<u8").astype(np.uint64)[:, np.newaxis]
        for text in (fixed, digits, form)
    )
    return one, two, three


def _are_digits(words: Words) -> bool:
    """Whether all bytes of words are digits."""
    return not (((words & _HIGH) ^ _THREE) | (((words & _LOW) + _SIX) & _HIGH)).any()
