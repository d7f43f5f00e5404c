"""Objects out of JSON, one at a time, so that a list of millions is never held.

Three forms hold objects: an array of them, one after another (JSON lines), and an object with the
array under ``Contents``, or several of these, as ``aws s3api list-objects-v2`` prints them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import IO, Any

from parchunk.errors import InputError

_READ = 1 << 20
#: Characters of one value, at most: objects of a listing are small.
_LONGEST = 1 << 24
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def json_objects(file: IO[str], where: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON text.

    Raises
    ------
    InputError
        When it is cut off, or of another form.
    """
    text = _Text(file, where)
    if text.peek() == "[":
        yield from text.array()
    else:
        listed = yield from _first_object(text, where)
        while text.peek():
            if listed:  # as printed for one folder after another
                yield from _first_object(text, where)
            else:
                yield text.object()
    if text.peek():
        raise text.wrong()


def _first_object(text: _Text, where: str) -> Generator[dict[str, Any], None, bool]:
    """Yield the objects that the next one holds, or itself; return whether it holds any."""
    text.expect("{")
    members: dict[str, Any] = {}
    listed = False
    while text.peek() != "}":
        if members or listed:
            text.expect(",")
        name = text.value()
        text.expect(":")
        if name == "Contents" and text.peek() == "[":
            listed = True
            yield from text.array()
        else:
            members[str(name)] = text.value()
    text.expect("}")
    if not listed and "RequestCharged" not in members:  # which is printed of a folder of none, too
        yield members
        return False
    if members.get("CommonPrefixes"):
        raise InputError(
            f"{where} is a listing of one level (it has CommonPrefixes): give all that is below, "
            "without --delimiter"
        )
    if members.get("EncodingType"):
        raise InputError(
            f"{where} has keys that are spelled as in a URL (EncodingType is "
            f"{str(members['EncodingType'])[:20]!r}): list without --encoding-type"
        )
    for name in ("IsTruncated", "NextToken", "NextContinuationToken"):
        if members.get(name):
            raise InputError(
                f"{where} is a part of a listing ({name} is {str(members[name])[:20]!r}): give all "
                "of it, without --max-items"
            )
    return True


class _Text:
    """A text that is read as its values are asked for."""

    def __init__(self, file: IO[str], where: str) -> None:
        self._file, self._where = file, where
        self._held, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """Return the next character that is no space, "" at the end."""
        while True:
            found = _SPACE.match(self._held, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._held) or self._ended:
                return self._held[self._at : self._at + 1]
            self._more()

    def expect(self, character: str) -> None:
        """Go past a character, which must come next."""
        if self.peek() != character:
            raise self.wrong()
        self._at += 1

    def array(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of an array."""
        self.expect("[")
        first = True
        while self.peek() != "]":
            if not first:
                self.expect(",")
            first = False
            yield self.object()
        self.expect("]")

    def object(self) -> dict[str, Any]:
        """Return the next value, an object."""
        found = self.value()
        if not isinstance(found, dict):
            raise InputError(
                f"{self._where} holds {str(found)[:40]!r} where an object of keys and sizes was "
                "expected: give JSON of objects"
            )
        return found

    def value(self) -> Any:
        """Return the next value, whole."""
        while True:
            self.peek()
            try:
                found, end = _DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError:
                if self._ended or len(self._held) - self._at > _LONGEST:
                    raise self.wrong() from None
                self._more()
                continue
            if end == len(self._held) and not self._ended:
                self._more()  # a number may go on
                continue
            self._at = end
            return found

    def wrong(self) -> InputError:
        """Return the error for what stands where it must not."""
        if self._at >= len(self._held) and self._ended:
            what = "ends in the middle: it was cut off; give the whole file"
        else:
            near = self._held[self._at : self._at + 30]
            what = f"is no JSON of objects, or was cut off, near {near!r}: give the whole file"
        return InputError(f"{self._where} {what}")

    def _more(self) -> None:
        try:
            read = self._file.read(_READ)
        except (EOFError, OSError, UnicodeError) as error:
            raise InputError(
                f"{self._where} cannot be read to its end ({type(error).__name__}): it was cut "
                "off, or is no text; give the whole file"
            ) from None
        self._ended = not read
        self._held, self._at = self._held[self._at :] + read, 0
