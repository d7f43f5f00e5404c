"""URLs of what lies below a store: spelled as keys are, or over HTTP as URLs are."""

from __future__ import annotations

from urllib.parse import quote, unquote

#: What stands for itself in the path of a URL that readers ask for.
_SAFE = "/-_.~"


def is_http(url: str) -> bool:
    """Whether a URL is one of an HTTP server, which knows keys and lists none."""
    return url.partition("://")[0].lower() in ("http", "https") and "://" in url


def below(url: str, key: str) -> str:
    """Return the URL of a key below a store's; over HTTP it is percent-encoded."""
    if not key:
        return url
    return f"{url}/{quote(key, _SAFE) if is_http(url) else key}"


def key_below(url: str, above: str) -> str:
    """Return the key by which a URL is below another one: the inverse of `below`."""
    key = url[len(above) + 1 :]
    return unquote(key) if is_http(url) else key


def encoded(path: str) -> str:
    """Return the path of a URL, however it was encoded, as it is spelled here."""
    return quote(unquote(path), _SAFE)
