"""How a server is reached, taken from the obstore store that reaches it; or left to that."""

from __future__ import annotations

import inspect
import os
import re
import ssl
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from obstore.store import GCSStore, S3Store

from parchunk.listing.wire.server import Limits, Origin
from parchunk.stores.options import AUTHORITIES, client_options_of_environment

#: Options of a client; any other may decide whom it believes, or whom it asks.
_CLIENT = frozenset({"allow_http", "timeout", "connect_timeout", "user_agent"})
#: What the environment may say of a client that decides whom it believes, or whom it asks.
_DECISIVE = ("proxy_url", "proxy_ca_certificate", "allow_invalid_certificates")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h)?", re.ASCII)
#: A URL that is asked for as it stands; a name in other letters is spelled in these first.
_PLAIN = re.compile(
    r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]*)?"
    r"(?P<path>(?:/[a-z0-9._~!$&'()*+,;=:@%-]*)*)",
    re.I | re.ASCII,
)
#: Segments of a path that lead elsewhere, in all of their spellings.
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.I)
#: What makes an address of a host where it is the last part of it.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.I | re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class NotHere(Exception):
    """A store that is left to obstore; ``args[0]`` says why, as the end of a sentence."""


def provider_of(store: S3Store | GCSStore) -> Callable[[], Any] | None:
    """Return what a store was given to ask for credentials, if it was.

    Raises
    ------
    NotHere
        When it has to be awaited.
    """
    found: Any = store.credential_provider
    if any(map(inspect.iscoroutinefunction, (found, getattr(found, "__call__", None)))):  # noqa: B004
        raise NotHere("the store has a credential provider that has to be awaited")
    asked: Callable[[], Any] | None = found
    return asked


def client_options(
    scheme: str, store: S3Store | GCSStore, others: Collection[str] = ()
) -> dict[str, str]:
    """Return the options of a client; obstore takes the environment's where none are given.

    ``others`` may be there, too, and are left to who asks.
    """
    given = {key: str(value) for key, value in dict(store.client_options or {}).items()}
    for key in given:
        if key not in _CLIENT and key not in others:
            raise NotHere(f"only obstore knows the client option {key}")
    if given:
        return given
    said = client_options_of_environment(scheme)
    for key in _DECISIVE:
        if key in said:
            raise NotHere(f"only obstore knows what {key.upper()} says")
    return {key: value for key, value in said.items() if key in _CLIENT}


def origin_of(url: str) -> tuple[Origin, str]:
    """Return the server of a plain URL, and the path on it, without a slash at its end.

    Plain is what nobody spells otherwise before it is asked for.
    """
    found = _PLAIN.fullmatch(url)
    if found is None or any(map(_DOTS.fullmatch, found["path"].split("/"))):
        raise NotHere("its endpoint is no plain URL")
    parts = urlsplit(url)
    try:
        host, port = _plain_host(parts.hostname or ""), parts.port
    except ValueError:
        raise NotHere("its endpoint is no plain URL") from None
    encrypted = parts.scheme == "https"
    origin = Origin(encrypted, host, port, _authorities() if encrypted else ())
    return origin, parts.path.rstrip("/")


def _plain_host(host: str) -> str:
    """Return a name, or an address as it is usually written.

    Raises
    ------
    ValueError
        When it is an address in another spelling.
    """
    if ":" not in host and not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return host
    if str(ip_address(host)) != host:
        raise ValueError
    return host


def _authorities() -> tuple[str, ...]:
    """Return the files and folders of those whom obstore believes, none for the system's.

    It reads the same two variables as OpenSSL, but not in the same way: who is named in either is
    believed, whatever the files of a folder are called, and the system's are not.
    """
    if not sys.platform.startswith("linux"):
        raise NotHere("whom TLS believes on this system is obstore's to ask")
    named = tuple(os.environ[name] for name in AUTHORITIES if os.environ.get(name))
    system = ssl.get_default_verify_paths()
    if not (named or system.cafile or any(Path(system.capath or os.devnull).glob("*.0"))):
        raise NotHere("Python finds no certificates of the system")
    return named


def has_proxy(origin: Origin) -> bool:
    """Whether the environment names a proxy for a server: obstore knows how to use it."""
    scheme = "https" if origin.encrypted else "http"
    if not (_said(f"{scheme}_proxy", "all_proxy") or {scheme, "all"} & getproxies().keys()):
        return False
    exempt = _said("no_proxy")
    if len(exempt) > 1:
        return True  # in two spellings, of which obstore takes another than Python
    if ":" in origin.host or _NUMBER.fullmatch(origin.host.rpartition(".")[2]):
        # Nothing that stands for many names stands for an address.
        return origin.host not in {one.strip() for text in exempt for one in text.split(",")}
    return not proxy_bypass(origin.host)


def _said(*names: str) -> set[str]:
    """Return what the environment says of variables that are spelled in small letters, or not."""
    return {value for key, value in os.environ.items() if value and key.lower() in names}


def limits_of(client: Mapping[str, str], retry: Any) -> Limits:
    """Return how patient obstore would be."""
    limits = Limits()
    whole = _seconds(client.get("timeout"), limits.whole)
    retry = dict(retry or {})
    backoff = dict(retry.get("backoff") or {})
    return Limits(
        _seconds(client.get("connect_timeout"), limits.connect),
        min(limits.quiet, whole),
        whole,
        int(retry.get("max_retries", limits.retries)),
        _seconds(retry.get("retry_timeout"), limits.give_up),
        _seconds(backoff.get("init_backoff"), limits.first_wait),
        _seconds(backoff.get("max_backoff"), limits.longest_wait),
    )


def _seconds(value: object, otherwise: float) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None:
        return otherwise
    found = _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise NotHere("only obstore can read one of its durations")
    return float(found[1]) * _SECONDS[found[2]]
