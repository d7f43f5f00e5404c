"""Standard output and error into pipes whose reader may go before the end, as ``head`` does.

That is no error and no finding: what is left to say is dropped, the command does what it was
asked, and its exit code is what it found.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any


class LastingStream:
    """A text stream that takes writes, and drops them, when its reader has gone."""

    def __init__(self, stream: IO[str]) -> None:
        """Pass on to ``stream`` what is written, for as long as somebody reads it."""
        self._stream = stream
        self.gone = False

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        if not self.gone:
            with self._until_gone():
                return self._stream.write(text)
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
        except BrokenPipeError:
            self.gone = True
            # What the stream still holds would be written, and fail again, when Python exits.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error outlast their readers within."""
    before = sys.stdout, sys.stderr
    lasting = [LastingStream(stream) for stream in before]
    sys.stdout, sys.stderr = lasting
    try:
        yield
    finally:
        for stream in lasting:
            stream.flush()
        sys.stdout, sys.stderr = before


def stop_if_gone(stream: object) -> None:
    """Raise BrokenPipeError where nobody reads a stream any more, for what would go on for long."""
    if isinstance(stream, LastingStream) and stream.gone:
        raise BrokenPipeError
