"""Objects of which only keys and sizes differ in length, as those of most pages do.

Such an object is a key, a stretch of tags and other texts up to its size, the size, and a stretch
up to the key of the next one. Where stretches of the second kind may stand says where all else
must; and where all tags do stand there, and nothing between them needs a parser, it is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.anchor import Anchor, anchor_in
from parchunk.listing.wire.columns import (
    MOST_DIGITS,
    USUAL_TIME,
    Places,
    Rows,
    column,
    last_numbers,
    times,
    usual_times,
    windows,
)
from parchunk.listing.wire.paths import paths, text_of, texts
from parchunk.listing.wire.template import Template
from parchunk.stores.identity import tags_of

#: What stands in no text that needs no parser, beside what cannot be seen.
_ODD = (b"<", b"&", b"]", b"\x7f")
_LOWEST = ord(" ")


@dataclass(frozen=True)
class Stretch:
    """Literals, and texts between them, of ``length`` bytes together in each object.

    ``literals`` by where they begin; ``texts``, by their numbers: where they begin, how long they
    are. There are ``front`` bytes of something else before.
    """

    front: int
    length: int
    literals: dict[int, bytes]
    texts: dict[int, tuple[int, int]]

    @classmethod
    def of(
        cls, literals: Sequence[bytes], texts: Sequence[int], lengths: Sequence[int], front: int = 0
    ) -> Stretch:
        """Return the stretch of literals, with texts between them, by their numbers."""
        placed, spans, end = {}, {}, front
        for number, literal in enumerate(literals):
            placed[end] = literal
            end += len(literal)
            if number < len(texts):
                spans[texts[number]] = end, lengths[texts[number]]
                end += lengths[texts[number]]
        return cls(front, end - front, placed, spans)

    def rows(self, body: bytes, places: Places) -> Rows:
        """Return the stretches at places, each with what stands in front of it.

        Raises
        ------
        IndexError
            When one would end behind the page.
        """
        return windows(body, places - self.front, self.front + self.length)

    def is_in(self, rows: Rows, read: int) -> bool:
        """Whether all literals stand in rows, and else nothing that needs a parser.

        The text that is ``read`` is left to who does.
        """
        return all(
            column(rows, at, len(literal)).tobytes() == literal * len(rows)
            for at, literal in self.literals.items()
        ) and all(
            is_plain(column(rows, *span).tobytes())
            for text, span in self.texts.items()
            if text != read
        )


@dataclass(frozen=True)
class Stretches:
    """The stretches of a page's objects, and the numbers of what is needed of them.

    Those are key, time, size, and perhaps an entity tag. An object ends ``closing`` bytes behind
    where a joint begins, of which the anchor is an example.
    """

    middle: Stretch
    joint: Stretch
    anchor: Anchor
    closing: int
    needed: tuple[int, ...]

    @classmethod
    def of(cls, template: Template) -> Stretches | None:
        """Return the stretches of objects of which the key comes first, else None."""
        literals, lengths = [literal.text for literal in template.literals], template.lengths
        key, _, size, *_ = template.needed
        if key != min(template.needed):
            return None
        last = len(lengths)
        middle = Stretch.of(literals[key + 1 : size + 1], range(key + 1, size), lengths)
        joint = Stretch.of(
            [*literals[size + 1 : -1], literals[-1] + literals[0], *literals[1 : key + 1]],
            [*range(size + 1, last), *range(key)],
            lengths,
            MOST_DIGITS,
        )
        closing = sum(map(len, literals[size + 1 :])) + sum(lengths[size + 1 :])
        shown = template.example[-closing:] + template.example[: joint.length - closing]
        anchor = anchor_in(shown, tuple(middle.literals.values()))
        return None if anchor is None else cls(middle, joint, anchor, closing, template.needed)

    def read(self, body: bytes, first: int, stops: list[int]) -> tuple[Listed, list[int]] | None:
        """Return objects, and how many there are up to each of ``stops`` from the one before on.

        They stand from ``first`` to the last stop. None where one is unlike, or none more follows.
        """
        joints = self.anchor.find(body, first + self._opening, stops[-1] - self.closing)
        if not len(joints):
            return None
        key_starts, size_stops = np.empty((2, len(joints) + 1), np.int64)
        key_starts[0], key_starts[1:] = first + self._opening, joints + self.joint.length
        size_stops[:-1], size_stops[-1] = joints, stops[-1] - self.closing
        time, tag = self.needed[1], self.needed[3:]
        try:
            behind = self._joints(body, size_stops, first)
            sizes, digits = last_numbers(column(behind, 0, MOST_DIGITS))
            middles = size_stops - digits - self.middle.length
            keys = paths(body, key_starts, middles)
            if keys is None or not 0 < int(digits.min()) <= int(digits.max()) < MOST_DIGITS:
                return None
            amid = self.middle.rows(body, middles)
        except IndexError:
            return None  # it would be somewhere else
        if not (
            is_plain(text_of(keys).tobytes())
            and self.middle.is_in(amid, time)
            and self.joint.is_in(behind, time)
        ):
            return None
        last = np.array(stops) - self.closing
        ends = np.searchsorted(size_stops, last)
        if (size_stops[ends] != last).any():
            return None
        rows, at, length = self._place(time, amid, behind)
        modified = (
            usual_times(column(rows, at, length))
            if length == USUAL_TIME
            else times(body, *self._span(time, middles, size_stops))
        )
        if modified is None:
            return None
        tags = tags_of(texts(body, *self._span(tag[0], middles, size_stops)), keys) if tag else None
        counts = [end - before for before, end in pairwise((-1, *ends.tolist()))]
        return Listed(keys, sizes, modified, tags), counts

    def _place(self, text: int, amid: Rows, behind: Rows) -> tuple[Rows, int, int]:
        """Return in which rows a text stands, where, and how long it is."""
        if text in self.middle.texts:
            return amid, *self.middle.texts[text]
        return behind, *self.joint.texts[text]

    def _span(self, text: int, middles: Places, ends: Places) -> tuple[Places, Places]:
        """Return where a text begins and ends in each object."""
        if text in self.middle.texts:
            at, length = self.middle.texts[text]
            starts = middles + at
        else:
            at, length = self.joint.texts[text]
            starts = ends + (at - self.joint.front)
        return starts, starts + length

    @property
    def _opening(self) -> int:
        return self.joint.length - self.closing

    def _joints(self, body: bytes, places: Places, first: int) -> Rows:
        """Return what stands between objects, behind the last one what the first begins with."""
        end = int(places[-1])
        edges = body[end - MOST_DIGITS : end + self.closing] + body[first : first + self._opening]
        rows = self.joint.rows(body, np.append(places[:-1], places[0]))
        if len(edges) != rows.itemsize:
            raise IndexError
        rows[-1] = np.void(edges)
        return rows


def is_plain(text: bytes) -> bool:
    """Whether a text needs no parser, and has no character that no key may have."""
    return not any(odd in text for odd in _ODD) and (
        not text or int(np.frombuffer(text, np.int8).min()) >= _LOWEST
    )
