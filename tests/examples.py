"""How many examples property tests draw whose examples are dear: each writes and builds a store."""

import os

#: PARCHUNK_EXAMPLES=20 is the long form.
TIMES = int(os.environ.get("PARCHUNK_EXAMPLES", "1"))


def examples(few: int) -> int:
    """Return how many to draw: ``few``, and in the long form many times as many."""
    return few * TIMES
