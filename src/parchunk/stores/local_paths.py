"""What a path, or a URL with file://, names on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from parchunk.errors import InputError

#: A URL of which a slash was lost: what would be a folder called ``s3:``.
_ONE_SLASH = re.compile(r"(file|s3|gs|az|azure|abfss?|https?):(?!//)/*", re.IGNORECASE)


def local_path(text: str) -> Path:
    """Return the whole path that a local one means: links stay, as does the ~ of who has no home.

    So a shell takes them, and ``./~`` begins a name.
    """
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111


def path_of(url: str) -> Path:
    """Return the path that a local path, or a URL with file://, names.

    Raises
    ------
    InputError
        Where that is none, or would be another than what was meant.
    """
    text = url
    if url.lower().startswith("file://"):
        text = _of_url(url)
    elif match := _ONE_SLASH.match(url):
        scheme = match[1].lower()
        root = "/" if scheme == "file" else ""
        raise InputError(
            f"{url}: two slashes follow the scheme of a URL: write "
            f"{scheme}://{root}{url[match.end() :]} (or ./{url} for a folder of that name)"
        )
    if not text:
        raise InputError("the path is empty: name a folder or a URL")
    if "\0" in text:
        raise InputError("the path holds a NUL character: name a folder or a URL")
    return local_path(text)


def _of_url(url: str) -> str:
    """Return the path of a URL: what stands before it would be lost, and what stands behind."""
    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost"):
        raise InputError(
            f"{url} names the machine {parts.netloc!r}: write file:///PATH, from the root on, or "
            "give the path alone"
        )
    for mark, spelled in (("?", "%3F"), ("#", "%23")):
        if mark in url:
            raise InputError(
                f"{url} has a {mark}, where the path of a URL ends: write {spelled} for it, or "
                "give the path alone"
            )
    return unquote(parts.path)
