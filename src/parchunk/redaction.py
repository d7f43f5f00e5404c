"""Keeping secrets out of what is shown: the last thing that happens to a message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

#: What stands for a secret.
HIDDEN = "***"

_SECRET_NAME = (
    r"[a-z0-9_-]*(?:sig|signature|token|secret|password|passwd|credential|key)[a-z0-9_-]*"
)
_PARAMETER = re.compile(rf"(?i)([?&\s,;{{\"'](?:{_SECRET_NAME}|x-amz-[a-z-]*)=)[^&\s\"',;}}]+")
_USER_INFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s\"'<>]*@")
_SECRET_VARIABLE = re.compile(r"(?i)KEY|SECRET|TOKEN|PASSW|SAS|CREDENTIAL")
_LEAST = 6


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a message without credentials.

    Hidden are user and password in URLs, query parameters that sign or authorise, the values of
    environment variables that are named like secrets, and the ``secrets`` given.
    """
    known = {*secrets, *_in_environment(os.environ)}
    for secret in sorted(known, key=len, reverse=True):
        if secret:
            text = text.replace(secret, HIDDEN)
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER_INFO.sub(rf"\1{HIDDEN}@", text))


def holds_credentials(url: str) -> bool:
    """Whether a URL names a user or carries a signature."""
    authority = url.partition("://")[2].partition("/")[0]
    query = url.partition("?")[2]
    return "@" in authority or bool(re.search(rf"(?i)(?:^|&){_SECRET_NAME}=", query))


def _in_environment(environment: Mapping[str, str]) -> set[str]:
    """Return the values that are secrets; not file names, and not what is too short to be one."""
    return {
        value
        for name, value in environment.items()
        if len(value) >= _LEAST and _SECRET_VARIABLE.search(name) and not value.startswith("/")
    }
