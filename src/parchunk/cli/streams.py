"""Standard output and error into pipes whose reader may go before the end, as ``head`` does.

That is no error and no finding: what is left to say is dropped, the command does what it was
asked, and its exit code is what it found. Where somebody would read it, and it cannot be written,
as on a disk that is full, the command does what it was asked, too, and ends in an error. Characters
that a terminal does not have are shown as Python spells them; data are written as they are.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


class LastingStream:
    """A text stream that takes writes, and drops them, when its reader has gone."""

    def __init__(self, stream: TextIO) -> None:
        """Pass on to ``stream`` what is written, for as long as somebody reads it."""
        self._stream = stream
        self.gone = False
        #: Why something could not be written that somebody would read.
        self.lost = ""
        #: Whether characters that the stream's encoding lacks are written as Python spells them.
        self.escapes = True

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        if not self.gone:
            with self._until_gone():
                try:
                    return self._stream.write(text)
                except UnicodeEncodeError:
                    if not self.escapes:
                        raise
                    # Not what the error names: of each table of 256 characters that is "charmap".
                    encoding = self._stream.encoding
                    spelled = text.encode(encoding, "backslashreplace")
                    return self._stream.write(spelled.decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Send what is held back, or drop it."""
        if not self.gone:
            with self._until_gone():
                self._stream.flush()

    @contextlib.contextmanager
    def _until_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.gone = True
            if not isinstance(error, BrokenPipeError):
                self.lost = error.strerror or str(error)
            # What the stream still holds would be written, and fail again, when Python exits.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[LastingStream]:
    """Let standard output, which is yielded, and error outlast their readers within."""
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as nowhere:
        # None is one that was closed before the process began (>&-).
        lasting = [
            LastingStream(stream or nowhere.enter_context(Path(os.devnull).open("w")))
            for stream in before
        ]
        sys.stdout, sys.stderr = lasting
        try:
            yield lasting[0]
        finally:
            for stream in lasting:
                stream.flush()
            sys.stdout, sys.stderr = before


def stop_if_gone(stream: object) -> None:
    """Raise BrokenPipeError where nobody reads a stream any more, for what would go on for long."""
    if isinstance(stream, LastingStream) and stream.gone:
        raise BrokenPipeError


@contextlib.contextmanager
def as_it_is(stream: object) -> Iterator[None]:
    """Write to a stream what programs read within: a character that it lacks is an error."""
    if isinstance(stream, LastingStream):
        stream.escapes = False
    try:
        yield
    finally:
        if isinstance(stream, LastingStream):
            stream.escapes = True
