"""What a path, or a URL with file://, names on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from parchunk.errors import InputError
from parchunk.stores.options import PROVIDERS
from parchunk.stores.redaction import (
    holds_credentials,
    is_broken_with_credentials,
    redact,
    without_secrets,
)

#: A URL of which a slash was lost: what would be a folder called ``s3:``.
_ONE_SLASH = re.compile(
    rf"(file|https?|{'|'.join(PROVIDERS)}):(?!//)(?P<root>[/\\]*)", re.IGNORECASE
)


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
    if url.lower().startswith("file://"):
        text = _of_url(url)
    else:
        refuse_broken_url(url)
        text = url
    if not text:
        raise InputError("the path is empty: name a folder or a URL")
    if "\0" in text:
        raise InputError("the path holds a NUL character: name a folder or a URL")
    return local_path(text)


def refuse_broken_url(text: str) -> None:
    """Refuse what would be a path, but is a URL that lost a slash or, with its user, a scheme.

    Raises
    ------
    InputError
        Saying what to write; nothing of it that may be a secret.
    """
    if match := _ONE_SLASH.match(text):
        remedy = _mended(match)
        raise InputError(
            f"{without_secrets(text)}: two slashes follow the scheme of a URL, which is given "
            f"as text, as a Path keeps one: write {remedy} "
            f"(or ./ before it for a folder called {match[1]}:)"
        )
    if is_broken_with_credentials(text):
        raise InputError(
            f"{without_secrets(text)} looks like a URL with a user in it, but has no scheme with "
            "two slashes: give a URL without credentials, which belong in the environment (or the "
            "whole path of a folder of that name)"
        )


def _mended(match: re.Match[str]) -> str:
    """Return the URL, or the path, that was meant: what it has to name where that is not said."""
    scheme, rest = match[1].lower(), match.string[match.end() :]
    if scheme == "file":
        if match["root"] or not rest:
            return f"file:///{redact(rest) or 'PATH'}"
        return f"{redact(rest)}, or file:///PATH, from the root on"
    url = f"{scheme}://{rest}"
    if re.match(r"[^/?#]", rest) and not holds_credentials(url) and redact(url) == url:
        return url
    return f"{scheme}://{'HOST' if scheme.startswith('http') else 'BUCKET'}/PATH"


def _of_url(url: str) -> str:
    """Return the path of a URL: what stands before it would be lost, and what stands behind."""
    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost"):
        raise InputError(
            f"{redact(url)} names the machine {parts.netloc.rpartition('@')[2]!r}: write "
            "file:///PATH, from the root on, or give the path alone"
        )
    for mark, spelled in (("?", "%3F"), ("#", "%23")):
        if mark in url:
            raise InputError(
                f"{redact(url)} has a {mark}, where the path of a URL ends: write {spelled} for "
                "it, or give the path alone"
            )
    return unquote(parts.path)
