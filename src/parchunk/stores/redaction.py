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
#: Options that only sound like secrets: advice names them.
_HARMLESS = r"(?:(?:aws|azure|google)_)?skip_signature"
_PARAMETER = re.compile(
    rf"(?i)([?&#\s,;{{\"'](?!{_HARMLESS}=)(?:{_SECRET_NAME}|x-amz-[a-z-]*)=)[^&\s\"',;}}]+"
)
#: Container and account of Azure, which look like a user and a host.
AZURE_AUTHORITY = re.compile(
    r"(?P<scheme>\b(?:abfss?|az|azure))://(?P<container>[a-z0-9$-]+)"
    r"@(?P<account>[a-z0-9]+)\.(?:dfs|blob)\.core\.windows\.net(?![^/\s:,;)'\"]|:\S)",
    re.I,
)
#: What no machine is called: ``850`` of ``temp:2m@850`` would be 0.0.3.82, nobody.
_NO_HOST = r"""\d{1,7}(?![\w.@-])[^\s@"'<>]*(?![^\s"'<>])"""
#: A user before an @: behind a scheme with any slashes, behind two slashes, or with a password.
_USER_INFO = re.compile(
    r"""(?i)(\b[a-z][a-z0-9+.-]*:[/\\]+)[^\s"'<>]*@"""
    r"""|([/\\]{2})[^\s/\\:"'<>]*:[^\s"'<>]*@"""
    rf"""|(?<![^\s/\\"'<>(=,])()[^\s/\\:"'<>(=,]+:[^\s/\\"'<>]+@(?!{_NO_HOST})"""
)
#: The same at the beginning of what is no URL, as it lost a slash or its scheme.
_BROKEN = re.compile(r"[^/\\:@]+:[/\\]*[^/\\]*@|[^/\\:@]*[/\\]{2,}[^/\\]*:[^/\\]*@")
_SECRET_VARIABLE = re.compile(r"(?i)KEY|SECRET|TOKEN|PASSW|SAS|CREDENTIAL")
_LEAST = 6
#: Secrets that could be words, or parts of them: hidden only where they stand alone.
_WORD = re.compile(r"[A-Za-z]{1,11}|[0-9]{1,5}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a message without credentials.

    Hidden are user and password in URLs, query parameters that sign or authorise, the values of
    environment variables that are named like secrets, and the ``secrets`` given. What is hidden
    once is not looked through again: no secret is found in the stars of another.
    """
    known = {*secrets, *_in_environment(os.environ)} - {""}
    if known:
        longest_first = sorted(known, key=lambda secret: (-len(secret), secret))
        text = re.sub("|".join(map(_as_pattern, longest_first)), HIDDEN, text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", _USER_INFO.sub(_without_user, text))


def _as_pattern(secret: str) -> str:
    """Return the pattern of a secret: ``it`` is not in ``with``, ``AKIA1`` is in ``xAKIA1y``."""
    plain = re.escape(secret)
    return rf"(?<![A-Za-z0-9]){plain}(?![A-Za-z0-9])" if _WORD.fullmatch(secret) else plain


def _without_user(found: re.Match[str]) -> str:
    azure = AZURE_AUTHORITY.match(found.string, found.start())
    if azure is not None and found.end() <= azure.end():
        return found.group()
    before = next(text for text in found.groups() if text is not None)
    return f"{before}{HIDDEN}@"


def without_secrets(url: str) -> str:
    """Return a URL for a message: without what follows its path, too."""
    return re.split("[?#]", redact(url), maxsplit=1)[0]


def is_broken_with_credentials(text: str) -> bool:
    """Whether a text that is no URL looks like one with a user: ``s3:/me:pw@b``, ``me:pw@host``."""
    return bool(_BROKEN.match(text))


def holds_credentials(url: str) -> bool:
    """Whether a URL names a user or carries a signature."""
    url = AZURE_AUTHORITY.sub(r"\g<scheme>://\g<container>", url)
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
