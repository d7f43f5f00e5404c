"""JSON documents of very many entries: an entry a line, each spelled by the library's quick way.

An indented document would be for people, too, but its lines are made one by one in Python: of a
hundred thousand arrays that takes longer than to list them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator


def spread(value: object, levels: int) -> bytes:
    """Return the JSON of a value whose outer ``levels`` stand on lines of their own.

    Below, an entry is one line, however deep it is. Read back it is what `json.dumps` would give:
    keys of dicts are text.
    """
    return "".join(_pieces(value, levels, "\n")).encode()


def _pieces(value: object, levels: int, line: str) -> Iterator[str]:
    if not levels or not value or not isinstance(value, (dict, list)):
        yield json.dumps(value)
        return
    within, before = f"{line} ", ""
    if isinstance(value, dict):
        yield "{"
        for key, entry in value.items():
            yield f"{before}{within}{json.dumps(key)}: "
            yield from _pieces(entry, levels - 1, within)
            before = ","
        yield f"{line}}}"
    else:
        yield "["
        for entry in value:
            yield f"{before}{within}"
            yield from _pieces(entry, levels - 1, within)
            before = ","
        yield f"{line}]"
