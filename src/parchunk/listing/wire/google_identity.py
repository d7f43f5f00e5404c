"""Who asks Google for a page, found as obstore finds it; and how a token is got for them.

google-auth signs for service accounts and asks for the tokens of users. It asks metadata servers,
too, but those that the environment named when it was imported, and no other.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from obstore.store import GCSStore

from parchunk.extras import require
from parchunk.listing.pages import PageError, Spent
from parchunk.listing.wire.reaching import NotHere, has_proxy, origin_of, provider_of
from parchunk.listing.wire.server import Limits, Origin, server_at, trust_of
from parchunk.listing.wire.tokens import Token, Tokens
from parchunk.stores.answering import UnansweredError, answer
from parchunk.stores.google_files import SCOPE, AmbiguousError, default_file, who_asks
from parchunk.stores.options import is_true
from parchunk.stores.redaction import redact
from parchunk.stores.throttle import Throttle

#: Whom google-auth asks for the tokens of users.
_TOKENS = "https://oauth2.googleapis.com/token"
_METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
#: What must not be repeated of a file of credentials.
_SECRETS = ("private_key", "private_key_id", "client_secret", "refresh_token")
#: What to do where no token can be had.
_REMEDIES = {
    "provider": "check the credential provider of the store",
    "service account": "check the key of the service account",
    "authorized user": "sign in anew (gcloud auth application-default login)",
}


@dataclass(frozen=True)
class GoogleIdentity:
    """Who asks: ``kind``, and what their tokens are got with.

    ``kind`` is ``anonymous``, ``bearer token``, ``service account``, ``authorized user``,
    ``metadata server``, or ``provider``, which the store was given.
    """

    kind: str
    bearer: str = field(default="", repr=False)
    #: What the file of a service account or a user says.
    said: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    provider: Callable[[], Any] | None = field(default=None, repr=False, hash=False)
    #: Those that are asked, one after the other.
    servers: tuple[Origin, ...] = ()

    def tokens(self, limits: Limits) -> Tokens | None:
        """Return tokens of this identity, None for nobody's.

        Raises
        ------
        MissingExtraError
            When google-auth is needed, and not there.
        """
        if self.kind == "anonymous":
            return None
        if self.kind == "bearer token":
            return Tokens(lambda: Token(self.bearer), renewable=False)
        if self.kind == "metadata server":
            return Tokens(lambda: _of_metadata(self.servers, limits))
        if self.kind != "provider":
            require("google.auth", "wire")
        return Tokens(lambda: self._in_time(limits))

    def _in_time(self, limits: Limits) -> Token:
        """Return a token, if one comes as soon as an answer must be whole."""
        try:
            return answer(lambda: self._got(limits), limits.whole)
        except UnansweredError as error:
            raise PageError(f"credentials cannot be had: {error}") from None
        except Exception as error:  # of google-auth, and of whatever provides
            secrets = [str(self.said[key]) for key in _SECRETS if key in self.said]
            shown = redact(str(error.args[0] if error.args else ""), secrets).strip()
            shown = shown.partition("\n")[0][:200].rstrip(".:") or type(error).__name__
            passing = getattr(error, "retryable", self.kind == "provider")
            raise PageError(
                f"credentials cannot be had: {shown}: {_REMEDIES[self.kind]}",
                not (passing or type(error).__name__ == "TransportError"),
            ) from None

    def _got(self, limits: Limits) -> Token:
        if self.provider is not None:
            return _provided(self.provider)
        if self.kind == "service account":
            return _signed(self.said)
        (server,) = self.servers
        return _users(self.said, server, limits)


def google_identity(store: GCSStore, said: Mapping[str, str]) -> GoogleIdentity:
    """Return who asks for the pages of a store; ``said`` are its options and the environment's.

    Raises
    ------
    NotHere
        When only obstore knows.
    """
    if is_true(said.get("skip_signature", "")):
        return GoogleIdentity("anonymous")
    if (provider := provider_of(store)) is not None:
        return GoogleIdentity("provider", provider=provider)
    try:
        found = who_asks({key: str(value) for key, value in dict(store.config).items()})
    except AmbiguousError as error:
        raise NotHere(str(error)) from None
    if bearer := found.get("bearer_token"):
        return GoogleIdentity("bearer token", bearer)
    if "service_account" in found or "service_account_key" in found:
        key = found.get("service_account_key") or _read(Path(found["service_account"]))
        account = _parsed(key)
        if any(account.get(key) for key in ("gcs_base_url", "disable_oauth")):
            raise NotHere("only obstore knows gcs_base_url and disable_oauth of service accounts")
        return GoogleIdentity("service account", said=account)
    if (file := default_file(found)) is not None:
        return _default(_parsed(_read(file)))
    return GoogleIdentity("metadata server", servers=_metadata_servers())


def _default(said: Mapping[str, Any]) -> GoogleIdentity:
    if said.get("type") == "service_account":
        return GoogleIdentity("service account", said=said)
    if said.get("type") != "authorized_user":
        raise NotHere("only obstore knows application credentials of that type")
    server, _ = origin_of(_TOKENS)
    if has_proxy(server):
        raise NotHere("the environment names a proxy")
    return GoogleIdentity("authorized user", said=said, servers=(server,))


def _metadata_servers() -> tuple[Origin, ...]:
    host = os.environ.get("GCE_METADATA_HOST", os.environ.get("GCE_METADATA_ROOT"))
    names = (
        host or "metadata.google.internal",
        os.environ.get("GCE_METADATA_IP") or "169.254.169.254",
    )
    found = tuple(origin_of(f"http://{name}")[0] for name in names)
    if any(map(has_proxy, found)):
        raise NotHere("the environment names a proxy")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        raise NotHere("the file of its credentials cannot be read any more") from None


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotHere("the file of its credentials cannot be read any more")
    return found


def _signed(said: Mapping[str, Any]) -> Token:
    """Return what a service account signs itself; nobody is asked for it."""
    from google.oauth2.service_account import Credentials

    made = Credentials.from_service_account_info(
        {**said, "token_uri": _TOKENS}, scopes=[SCOPE], always_use_jwt_access=True
    )
    made.refresh(None)
    return _token(made.token, made.expiry)


def _users(said: Mapping[str, Any], server: Origin, limits: Limits) -> Token:
    import urllib3
    from google.auth.transport.urllib3 import Request
    from google.oauth2.credentials import Credentials

    made = Credentials(
        None,
        refresh_token=said.get("refresh_token"),
        token_uri=_TOKENS,
        client_id=said.get("client_id"),
        client_secret=said.get("client_secret"),
    )
    timeout = urllib3.Timeout(connect=limits.connect, read=limits.quiet)
    with urllib3.PoolManager(
        ssl_context=trust_of(server.authorities), timeout=timeout, retries=False
    ) as http:
        made.refresh(Request(http))
    return _token(made.token, made.expiry)


def _provided(provider: Callable[[], Any]) -> Token:
    found = provider()
    return _token(found["token"], found.get("expires_at"))


def _token(text: str, expires: datetime | None) -> Token:
    if expires is None:
        return Token(text)
    at = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    return Token(text, time.monotonic() + (at - datetime.now(UTC)).total_seconds())


def _of_metadata(servers: tuple[Origin, ...], limits: Limits) -> Token:
    """Return the token that the first of the metadata servers gives which gives one."""
    # Where there is none, its name leads nowhere: obstore waits for it as short a time.
    patient = replace(limits, connect=1.0, retries=min(limits.retries, 2))
    why = ""
    for server in servers:
        try:
            said = server_at(server, patient, os.getpid()).get(
                _METADATA,
                lambda: {"Metadata-Flavor": "Google"},
                Spent(),
                threading.Event(),
                Throttle(),
            )
            if said.status == 200:
                found = json.loads(said.body)
                return Token(
                    str(found["access_token"]), time.monotonic() + int(found["expires_in"])
                )
            reason = f"it answered {said.status}"
        except PageError as error:
            reason = error.reason
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            reason = "its answer is no token"
        why = why or f"the metadata server {server.host}: {reason}"
    raise PageError(
        f"credentials cannot be had: {why}: name a file in GOOGLE_APPLICATION_CREDENTIALS, or give "
        "--store-option skip_signature=true for public data"
    )
