"""Columns out of the bytes of a page: numbers and times at places given as vectors."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]
#: Bytes of one width from several places.
Rows = NDArray[np.void]

#: Digits of a number that vectors read.
MOST_DIGITS = 16
_WORD = 8
#: What times look like: seconds, which a fraction may follow, and the one that nearly all have.
_SECONDS, _USUAL = b"0000-00-00T00:00:00", b"0000-00-00T00:00:00.000Z"
_SHORTEST, _LONGEST = len(_SECONDS) + 1, len(_SECONDS) + 11
USUAL_TIME = len(_USUAL)
_FIRST_YEAR, _LAST_YEAR = 1970, 2261
_MONTHS = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
#: Microseconds since the epoch at which months begin.
_BEGINS = _MONTHS.astype("datetime64[us]").astype(np.int64)
_MINUTE = 60 * 1_000_000
#: Changes of times in a page, so many at most, that are read one by one.
_FEW = 8


def windows(page: bytes, places: Places, width: int) -> Rows:
    """Return the ``width`` bytes from each place; nothing lies beyond the page.

    Raises
    ------
    IndexError
        When something would.
    """
    # A type as wide as a row lets one kernel copy it whole.
    every = np.ndarray((max(len(page) - width + 1, 0),), f"V{width}", page, strides=(1,))
    return every[places]


def column(rows: Rows, at: int, width: int) -> Rows:
    """Return ``width`` bytes of each row, from the one at ``at`` on."""
    return np.ndarray((len(rows),), f"V{width}", rows, at, (rows.itemsize,))


def stands_at(page: bytes, places: Places, text: bytes) -> bool:
    """Whether ``text`` stands at all of the places."""
    return windows(page, places, len(text)).tobytes() == text * len(places)


def numbers(page: bytes, starts: Places, stops: Places) -> Words | None:
    """Return the numbers that stand there in digits; None where anything else stands.

    What is in front of each is no digit, and sixteen bytes at least.
    """
    found, digits = last_numbers(windows(page, stops - MOST_DIGITS, MOST_DIGITS))
    lengths = stops - starts
    return found if int(lengths.min()) > 0 and (digits == lengths).all() else None


def last_numbers(rows: Rows) -> tuple[Words, Places]:
    """Return the numbers that end rows of sixteen bytes, and of how many digits they are."""
    words = rows.view(np.dtype(("<u8", (2,))))
    found, digits = _last_number(words[:, 1].astype(np.uint64))
    if int(digits.max()) == _WORD:
        more, others = _last_number(words[:, 0].astype(np.uint64))
        goes_on = digits == _WORD
        found += more * (goes_on * np.uint64(10**_WORD))
        digits += others * goes_on
    return found, digits.view(np.int64)


def times(page: bytes, starts: Places, stops: Places) -> NDArray[np.int64] | None:
    """Return times of the form ``2024-01-02T03:04:05.678Z`` in microseconds since the epoch.

    Whatever is finer is cut off. None where one has another form or length, or is no time.
    """
    lengths = stops - starts
    length = int(lengths.min())
    if not _SHORTEST <= length <= _LONGEST or int(lengths.max()) != length:
        return None
    if length == USUAL_TIME:
        return usual_times(windows(page, starts, length))
    if not stands_at(page, starts + length - 1, b"Z"):
        return None
    # Read as if there were no fraction, which is added.
    usual = np.full(len(starts), np.void(_USUAL))
    column(usual, 0, len(_SECONDS))[:] = windows(page, starts, len(_SECONDS))
    made = usual_times(usual)
    if made is not None and length > _SHORTEST:
        digits = length - _SHORTEST - 1
        shown = numbers(page, starts + len(_SECONDS) + 1, starts + length - 1) if digits else None
        if shown is None or not stands_at(page, starts + len(_SECONDS), b"."):
            return None
        made += (shown * np.uint64(10 ** (9 - digits)) // np.uint64(1000)).astype(np.int64)
    return made


def _words_of(rows: Rows) -> Words:
    """Return words of eight bytes, the first one the lowest; of a word all rows', then the next."""
    words = rows.itemsize // _WORD
    return np.ascontiguousarray(rows.view(np.dtype(("<u8", (words,)))).T)


def _constant(word: int) -> Words:
    """Return a word that kernels take as it is: any other number they would convert each time."""
    return np.array(word, np.uint64)


def _each(byte: int) -> Words:
    return _constant(int.from_bytes(bytes([byte]) * _WORD, "little"))


_ZERO, _LOW, _HIGHEST, _ONES, _NO_DIGIT = map(_each, (ord("0"), 0x7F, 0x80, 0x01, 0x80 - 10))
_SHIFTS = [_constant(bits) for bits in (8, 16, 32)]
_SEVEN, _LAST_BYTE, _HIGHEST_TWO, _ALL_OF_BYTE, _EIGHT = map(_constant, (7, 56, 48, 0xFF, _WORD))
#: They make numbers of two digits, of two of those each one of four, and of two of those the last.
_JOINED = [
    (_constant(10 ** (bits // 8) * 2**bits + 1), _constant(bits), _constant(kept))
    for bits, kept in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0xFFFFFFFF))
]


def _last_number(words: Words) -> tuple[Words, Words]:
    """Return the numbers that end words of eight bytes, none at all is 0, and their digits."""
    read = words ^ _ZERO
    # The highest bit of each byte that is no digit; then the lowest of it, and of all before it.
    others = read & _LOW
    others += _NO_DIGIT
    others |= read
    others &= _HIGHEST
    for shift in _SHIFTS:
        others |= others >> shift
    others >>= _SEVEN
    digits = _EIGHT - (others * _ONES >> _LAST_BYTE)
    read &= ~(others * _ALL_OF_BYTE)
    for factor, shift, kept in _JOINED:
        read *= factor
        read >>= shift
        read &= kept
    return read, digits


def _of_time(byte: int, other: int) -> Words:
    """Return words of a time behind its month, with a byte where a digit stands, else another."""
    made = bytes(byte if mark == ord("0") else other for mark in _USUAL[_WORD:])
    return np.frombuffer(made, "<u8").astype(np.uint64)[:, np.newaxis]


_FORM = np.frombuffer(_USUAL[_WORD:], "<u8").astype(np.uint64)[:, np.newaxis]
#: Added to digits, it sets one of the bits that they do not have in what is none.
_SIX, _NOT_OF_DIGITS = _of_time(6, 0), _of_time(0xF0, 0xFF)
#: Where pairs of digits begin: of days, hours, minutes; of seconds; of a fraction's first digit,
#: which the point precedes, and of its other two.
_PAIRS = np.array([[0x00FF_0000_FF00_00FF], [0x0000_FF00_FF00_FF00]], np.uint64)
_DAY = np.array([[1], [0]], np.uint64)
#: What makes hours, minutes and seconds that are none more than 127.
_LATE = _constant(128 + (127 - 23 << 24) + (127 - 59 << 48)), _constant(127 - 59 << 8)
_OVER = _constant(0x0080_0000_8000_0080), _constant(0x8000)
#: What sums up days, hours and minutes, and parts of seconds, in the highest two bytes.
_SUMS = (
    _constant(1 + (60 << 24) + (1440 << 48)),
    _constant((1 << 8) + (100 << 24) + (1000 << 40)),
)
_TEN, _MINUTES, _MILLISECONDS = map(_constant, (10, _MINUTE, 1000))


def usual_times(rows: Rows) -> NDArray[np.int64] | None:
    """Return times like ``2024-01-02T03:04:05.678Z`` in microseconds; None where one is none."""
    read = _words_of(rows)
    # Objects that were written one after the other often have the same, to the second.
    changes = np.flatnonzero((read[:, 1:] != read[:, :-1]).any(axis=0))
    if len(changes) > _FEW:
        return _times_of(read)
    begins = [0, *(changes + 1).tolist()]
    known = [_time(rows[at].tobytes()) for at in begins]
    found = np.empty(len(rows), np.int64)
    for begin, time in zip(begins, known, strict=True):
        if time is None:
            return None
        found[begin:] = time
    return found


@lru_cache(maxsize=1024)
def _time(text: bytes) -> int | None:
    """Return one time."""
    found = _times_of(np.frombuffer(text, "<u8").astype(np.uint64)[:, np.newaxis])
    return None if found is None else int(found[0])


def _times_of(read: Words) -> NDArray[np.int64] | None:
    """Return the times that stand in three words each, all rows' first ones first."""
    months = _months(read[0])
    if months is None:
        return None
    begins, days = months
    digits = read[1:]
    digits ^= _FORM
    wrong = digits + _SIX
    wrong |= digits
    wrong &= _NOT_OF_DIGITS
    pairs = digits >> _SHIFTS[0]
    digits *= _TEN
    pairs += digits
    pairs &= _PAIRS
    # Days count from one, so a day of zero takes from all.
    pairs -= _DAY
    minutes, rest = pairs
    wrong[0] |= ((minutes + (_LATE[0] - days)) | minutes) & _OVER[0]
    wrong[1] |= (rest + _LATE[1]) & _OVER[1]
    if wrong.any():
        return None
    minutes *= _SUMS[0]
    rest *= _SUMS[1]
    pairs >>= _HIGHEST_TWO
    minutes *= _MINUTES
    rest *= _MILLISECONDS
    minutes += rest
    found: NDArray[np.int64] = minutes.view(np.int64) + begins
    return found


def _months(words: Words) -> tuple[NDArray[np.int64], Words] | None:
    """Return when months like ``2024-02-`` begin, and of how many days they are.

    One for all where they are all the same, else one each; None where one is none.
    """
    if (words == words[0]).all():
        return _month(int(words[0]))
    found, each = np.unique(words, return_inverse=True)
    known = [month for month in map(_month, found.tolist()) if month]
    if len(known) < len(found):
        return None
    begins, days = zip(*known, strict=True)
    return np.array(begins)[each], np.array(days)[each]


@lru_cache(maxsize=64)
def _month(word: int) -> tuple[NDArray[np.int64], Words] | None:
    """Return when a month like ``2024-02-``, read as a word, begins, and how many days it has."""
    text = word.to_bytes(_WORD, "little")
    if not re.fullmatch(rb"[0-9]{4}-[0-9]{2}-", text):
        return None
    year, month = int(text[:4]), int(text[5:7])
    at = (year - _FIRST_YEAR) * 12 + month - 1
    if not 1 <= month <= 12 or not 0 <= at < len(_BEGINS) - 1:
        return None
    days = int(_BEGINS[at + 1] - _BEGINS[at]) // (24 * 60 * _MINUTE)
    return np.array(_BEGINS[at]), _constant(days)
