"""Columns out of the bytes of a page: numbers and times at places given as vectors."""

from __future__ import annotations

import re
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]

#: Digits of a number that vectors read.
MOST_DIGITS = 16
_WORD = 8
#: What is kept of a word whose last so many bytes are digits.
_KEPT = np.array(
    [0, *(2**64 - 2 ** (8 * (_WORD - digits)) for digits in range(1, _WORD + 1))], np.uint64
)
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
    """Return the numbers that stand there in digits; None where anything else stands.

    Something stands in front of each: sixteen bytes at least.
    """
    lengths = stops - starts
    least, most = int(lengths.min()), int(lengths.max())
    if least < 1 or most > MOST_DIGITS:
        return None
    if most <= _WORD:
        return _number(page, stops, lengths)
    low = np.minimum(lengths, _WORD)
    high = _number(page, stops - low, lengths - low)
    rest = _number(page, stops, low)
    return None if high is None or rest is None else high * np.uint64(10**_WORD) + rest


def times(page: bytes, starts: Places, lengths: Places) -> NDArray[np.int64] | None:
    """Return times of the form ``2024-01-02T03:04:05.678Z`` in microseconds since the epoch.

    Whatever is finer is cut off. None where one has another form or length, or is no time.
    """
    length = int(lengths.min())
    if not _SHORTEST <= length <= _LONGEST or int(lengths.max()) != length:
        return None
    usual = length == len(_USUAL)
    if usual and (found := _times_of_a_month(page, starts)) is not None:
        return found
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


_HIGH, _SIX, _ZERO = _repeated(0xF0), _repeated(0x06), _repeated(ord("0"))


def _number(page: bytes, stops: Places, lengths: Places) -> Words | None:
    """Return numbers of up to eight digits; none at all is 0."""
    # The last digit is the highest byte of the word; what stands before the first one is cut off.
    words = (_words(page, stops - _WORD) ^ _ZERO) & _KEPT[lengths]
    if (((words + _SIX) | words) & _HIGH).any():
        return None
    words = words * np.uint64(10 * 2**8 + 1) >> np.uint64(8)
    words = (words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * 2**16 + 1) >> np.uint64(16)
    return (words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * 2**32 + 1) >> np.uint64(32)


def _pairs(page: bytes, starts: Places, form: bytes) -> Bytes | None:
    """Return the two-digit numbers of texts in a form, each where the first of its digits stands.

    The form has a zero where a digit stands, and else what must. The numbers are in bytes, eight to
    a word, and of a word all texts', then of the next one. None where a text has another form.
    """
    words = -(-len(form) // _WORD)
    read = _words_of(page, starts, words)
    paired = _paired(read, *_masks(form))
    return None if paired is None else paired.view(np.uint8).reshape(words, -1, _WORD)


def _words_of(page: bytes, starts: Places, count: int) -> Words:
    """Return so many words from each place, of a word all places', then of the next one."""
    found = windows(page, starts, count * _WORD).view("<u8").reshape(-1, count)
    return np.ascontiguousarray(found.T)


def _paired(read: Words, fixed: Words, digits: Words, wanted: Words) -> Words | None:
    """Return words with pairs of their digits read; None where one is not in the form."""
    if ((read & fixed) != wanted).any():
        return None
    read = read & digits
    if ((read + _SIX) & _HIGH & (digits << np.uint64(4))).any():
        return None
    return read * np.uint64(10) + (read >> np.uint64(8))


#: Where day, hour and minute stand in ``02T03:04``; second, hundredths, and thousandths times ten
#: in ``:05.678Z``.
_PLACES = np.array([[0x00FF_0000_FF00_00FF], [0x00FF_00FF_0000_FF00]], np.uint64)


def _times_of_a_month(page: bytes, starts: Places) -> NDArray[np.int64] | None:
    """Return times in their usual form, all of one month, as most pages have them; else None."""
    read = _words_of(page, starts, len(_USUAL) // _WORD)
    month = _month(int(read[0, 0]))
    if month is None or (read[0] != read[0, 0]).any():
        return None
    fixed, digits, wanted = (mask[1:] for mask in _masks(_USUAL))
    paired = _paired(read[1:], fixed, digits, wanted)
    if paired is None:
        return None
    begins, days = month
    minutes, rest = paired & _PLACES
    most = (127 - days) | (127 - 23) << 24 | (127 - 59) << 48
    too_late = (minutes + np.uint64(most)) | (rest + np.uint64((127 - 59) << 8)) & np.uint64(0x8000)
    minutes -= np.uint64(1)  # days count from one; a day of zero takes from all
    if ((too_late | minutes) & np.uint64(0x0080_0000_8000_8080)).any():
        return None
    # In the highest two bytes of the product.
    minutes = minutes * np.uint64(1 + (60 << 24) + (1440 << 48)) >> np.uint64(48)
    seconds = (rest >> np.uint64(8)) & np.uint64(0xFF)
    parts = (rest >> np.uint64(32)) * np.uint64(1 + (100 << 16))
    parts = parts >> np.uint64(16) & np.uint64(0xFFFF)
    made = minutes * np.uint64(_MINUTE) + seconds * np.uint64(1_000_000) + parts * np.uint64(100)
    shown: NDArray[np.int64] = made.view(np.int64) + begins
    return shown


@lru_cache(maxsize=64)
def _month(word: int) -> tuple[int, int] | None:
    """Return when a month like ``2024-02-``, read as a word, begins, and how many days it has."""
    text = word.to_bytes(_WORD, "little")
    if not re.fullmatch(rb"[0-9]{4}-[0-9]{2}-", text):
        return None
    year, month = int(text[:4]), int(text[5:7])
    at = (year - _FIRST_YEAR) * 12 + month - 1
    if not 1 <= month <= 12 or not 0 <= at < len(_BEGINS) - 1:
        return None
    return int(_BEGINS[at]), int(_BEGINS[at + 1] - _BEGINS[at]) // (24 * 60 * _MINUTE)


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
