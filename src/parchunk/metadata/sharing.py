"""Equal values are kept once: a store may have a hundred thousand arrays that are nearly alike."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any, TypeVar

#: Values that are remembered, at most, and characters of a document that is.
_MOST, _LONGEST = 1_024, 4_000

_H = TypeVar("_H", bound=Hashable)
_documents: dict[str, dict[str, Any]] = {}
#: Those of them that were returned, by identity.
_returned: dict[int, dict[str, Any]] = {}
_values: dict[str, Hashable] = {}


def shared(document: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object that is spelled like this one, perhaps another's: read-only.

    What differs between two in one field only, as their attributes do, is shared in the others.
    """
    if _returned.get(id(document)) is document:  # from whoever has looked at it before
        return document
    text = json.dumps(document)
    if len(text) > _LONGEST:
        return document
    found = _documents.get(text)
    if found is None:
        found = {name: _field(value) for name, value in document.items()}
        _remember(_documents, text, found)
    _returned[id(found)] = found
    return found


def shared_value(value: _H) -> _H:
    """Return a value that is spelled like this one, perhaps another's: 1 is not 1.0 nor true."""
    text = repr(value)
    found = _values.get(text)
    if found is None:
        _remember(_values, text, value)
        return value
    return found  # type: ignore[return-value]


def _field(value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    # Beside the documents: no object's text ends so.
    text = f"{json.dumps(value)},"
    found: Any = _documents.get(text)
    if found is None:
        _remember(_documents, text, value)
        return value
    return found


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memory) >= _MOST:
        memory.clear()
        _returned.clear()
    memory[key] = value
