"""Options as a line of Python that a user is shown spells them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from parchunk.stores.opening import parse_options
from parchunk.stores.options import PUBLIC_OPTIONS, canonical_options


def told_options(argument: str, url: str, options: Mapping[str, str] | None) -> str:
    """Return ``, argument={...}`` of the options given for what is at ``url``, or nothing.

    A server that the environment does not name gets no credentials unless it is named again. What
    may be a secret is not repeated: its place is held by dots.
    """
    known = canonical_options(url.partition("://")[0], parse_options(options or {}))
    shown = {key: value if key in PUBLIC_OPTIONS else "..." for key, value in known.items()}
    return f", {argument}={json.dumps(shown, ensure_ascii=False)}" if shown else ""
