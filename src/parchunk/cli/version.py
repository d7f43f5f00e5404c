"""``parchunk --version``: its own, Python's, and those of the libraries that it uses here."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator

import parchunk


def version_text() -> str:
    """Return the lines that a report of an error should begin with."""
    versions = {"Python": platform.python_version(), **dict(_libraries())}
    width = max(map(len, versions))
    lines = [f"  {name:<{width}} {version}" for name, version in versions.items()]
    return "\n".join([f"parchunk {parchunk.__version__}", *lines])


def _libraries() -> Iterator[tuple[str, str]]:
    """Yield what the package says that it depends on, extras included, with the version installed.

    What is not installed is left out; so is all of it where parchunk itself is only on the path.
    """
    try:
        requirements = importlib.metadata.requires("parchunk") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        found = re.match(r"[\w.-]+", requirement)
        if found:
            try:
                yield found.group(), importlib.metadata.version(found.group())
            except importlib.metadata.PackageNotFoundError:
                continue
