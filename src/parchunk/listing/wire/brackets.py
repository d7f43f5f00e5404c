"""Objects with the same tags, found by their angle brackets, however long their texts are."""

from __future__ import annotations

import numpy as np

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.columns import numbers, stands_at, times
from parchunk.listing.wire.paths import paths, texts
from parchunk.listing.wire.template import CLOSE, Template
from parchunk.stores.identity import tags_of

#: What objects are of: the characters that can be seen, and the space.
_LOWEST, _HIGHEST = 0x20, 0x7E


def read_by_brackets(template: Template, body: bytes, first: int, stop: int) -> Listed | None:
    """Return the objects that stand from ``first`` to ``stop``; None where one is unlike."""
    region = np.frombuffer(body, np.uint8)[first:stop]
    brackets = np.flatnonzero(region == ord("<")) + first
    count, odd = divmod(len(brackets), template.brackets)
    if (
        odd
        or int(region.min()) < _LOWEST
        or int(region.max()) > _HIGHEST
        or np.count_nonzero(region == ord("&")) != template.quotes * count
        or body.find(b"]", first, stop) >= 0  # two of them may end what was not begun
    ):
        return None
    columns = np.ascontiguousarray(brackets.reshape(count, template.brackets).T)
    ends = columns[-1] + len(CLOSE)
    if int(ends[-1]) != stop or not (ends[:-1] == columns[0, 1:]).all():
        return None
    literals = template.literals
    begins = [columns[literal.column] - literal.before for literal in literals]
    try:
        for literal, places in zip(literals, begins, strict=True):
            if not stands_at(body, places, literal.text):
                return None
        spans = [(begins[at] + len(literals[at].text), begins[at + 1]) for at in template.needed]
        (key, key_ends), (when, when_ends), (size, size_ends), *tag = spans
        found = paths(body, key, key_ends)
        sizes = numbers(body, size, size_ends)
        modified = times(body, when, when_ends)
    except IndexError:
        return None  # a tag would end behind the page
    if found is None or sizes is None or modified is None:
        return None
    tags = tags_of(texts(body, *tag[0]), found) if tag else None
    return Listed(found, sizes, modified, tags)
