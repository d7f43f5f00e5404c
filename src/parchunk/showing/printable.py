"""Text that terminals and pages show, whoever made it up: a store, a server, a file in OUT."""

import re

#: What is obeyed instead of shown, and what turns the order of text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text that a store or a server may have made up, its control characters escaped."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def can_show(text: str, encoding: str | None) -> bool:
    """Whether a stream of such an encoding has all characters of a text."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
