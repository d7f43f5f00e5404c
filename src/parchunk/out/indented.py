"""JSON for people, a line a value, as ``json.dumps(value, indent=1)`` in a quarter of its memory.

The plan and the root hold some forty values an array, of perhaps a hundred thousand arrays. The
standard library holds each of them as a string of its own until all are joined.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any


def indented(value: Any) -> str:
    """Return the spelling of a JSON value; the keys of its objects are text."""
    return _spelled(value, "\n")


def _spelled(value: Any, line: str) -> str:
    """Return a value that begins on a line as deep as ``line``: a newline, and its spaces."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    if type(value) is int:
        return str(value)
    deeper = f"{line} "
    if isinstance(value, dict) and value:
        spelled = [f"{encode_basestring_ascii(k)}: {_spelled(v, deeper)}" for k, v in value.items()]
        return f"{{{deeper}{f',{deeper}'.join(spelled)}{line}}}"
    if isinstance(value, (list, tuple)) and value:
        spelled = [_spelled(item, deeper) for item in value]
        return f"[{deeper}{f',{deeper}'.join(spelled)}{line}]"
    return json.dumps(value)
