"""From a path or URL and options to an obstore store: the one place where stores are opened.

Secrets pass through here and stay here: a `Location` keeps only what may be written to disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.store import (
    AzureStore,
    GCSStore,
    HTTPStore,
    LocalStore,
    ObjectStore,
    S3Store,
)

from parchunk.errors import InputError
from parchunk.stores.google_files import foreign_account
from parchunk.stores.local_paths import path_of
from parchunk.stores.options import (
    PAYER,
    PROVIDERS,
    PUBLIC_OPTIONS,
    canonical_options,
    client_options_of_environment,
    reaching,
)
from parchunk.stores.redaction import (
    AZURE_AUTHORITY,
    HIDDEN,
    holds_credentials,
    redact,
    without_secrets,
)
from parchunk.stores.urls import encoded

#: Listings are worth waiting for: this outlives an outage of some minutes before a walk fails.
RETRY: dict[str, Any] = {
    "max_retries": 10,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}

_KINDS: dict[str, type[S3Store] | type[GCSStore] | type[AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}
_CLOUDS = {scheme: _KINDS[provider] for scheme, provider in PROVIDERS.items()}
#: Options that an HTTP server is reached by: none of them is a secret.
_HTTP_OPTIONS = frozenset({"allow_http", "connect_timeout", "timeout", "user_agent"})
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
#: What would end a host's name: a bucket with any of these could name another server.
_NO_BUCKET = re.compile(r"[/\\?#@:%\s]")
#: What may be a project of Google's.
_PROJECT = re.compile(r"[a-z0-9.:-]{1,100}")


@dataclass(frozen=True)
class Location:
    """Where a store is, in words that may be written to disk and shown.

    ``url`` has no trailing slash; a local one is a bare absolute path, because GDAL does not
    take ``file://`` in references. ``options`` are the public store options only.
    """

    url: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def scheme(self) -> str:
        """``file``, ``s3``, ``gs``, ``az``, ``http``, ``https`` or ``memory``."""
        match = _SCHEME.match(self.url)
        return match.group(1).lower() if match else "file"


@dataclass(frozen=True)
class OpenedStore:
    """An obstore store, and the prefix in it (no slash at either end) that a URL named."""

    store: ObjectStore
    prefix: str
    location: Location


def parse_options(pairs: Mapping[str, str] | tuple[str, ...] | list[str]) -> dict[str, str]:
    """Return options given as a mapping or as ``KEY=VALUE`` strings; keys are lower-cased."""
    if isinstance(pairs, Mapping):
        return {str(key).lower(): _text(value) for key, value in pairs.items()}
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            # The text may hold a secret, so it is not repeated.
            raise InputError("a store option lacks its =VALUE: write for example timeout=30s")
        options[key.strip().lower()] = value
    return options


def open_store(url: str, options: Mapping[str, str] | None = None) -> OpenedStore:
    """Open the store that ``url`` (a path, or file:// s3:// gs:// az:// URL) names.

    Credentials come from the environment, as obstore takes them. Nothing is requested yet.

    Raises
    ------
    InputError
        For a scheme that cannot be listed, an unknown option, or secrets in the URL.
    """
    options = dict(options or {})
    match = _SCHEME.match(url)
    scheme = match.group(1).lower() if match else "file"
    if scheme in ("http", "https"):
        return _open_http(url, options)
    if scheme == "file":
        return _open_local(url, options)
    if scheme not in _CLOUDS:
        raise InputError(
            f"{without_secrets(url)}: unknown scheme {scheme!r}; "
            "use a path or a file://, s3://, gs://, az:// or https:// URL"
        )
    options = canonical_options(scheme, options)
    if holds_credentials(url):
        raise InputError(
            f"{without_secrets(url)}: no credentials in URLs please: they would end up in "
            "references; give them in the environment or as --store-option"
        )
    authority, _, path = url[match.end() :].partition("/")  # type: ignore[union-attr]
    if azure := AZURE_AUTHORITY.match(url):
        authority, named = azure["container"], azure["account"].lower()
        if options.setdefault("account_name", named) != named:
            raise InputError(
                f"{url} names the account {named}, and the store option account_name another: "
                "give one of them"
            )
    bucket, prefix = unquote(authority), path.strip("/")
    if not bucket:
        raise InputError(
            f"{without_secrets(url)}: no bucket is named; write {scheme}://BUCKET/PATH"
        )
    if _NO_BUCKET.search(bucket):
        raise InputError(
            f"{without_secrets(url)}: what stands before the path is no name of a bucket; "
            f"write {scheme}://BUCKET/PATH"
        )
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise InputError(f"{without_secrets(url)}: empty, '.' or '..' segments are no object path")
    store = _open_cloud(scheme, bucket, options)
    public = reaching(scheme, options)
    if any(map(holds_credentials, public.values())):  # of the environment: not to be written
        public = {key: options[key] for key in public if key in options}
    scheme = "abfs" if scheme == "abfss" else scheme
    location = Location(
        f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else ""), tuple(sorted(public.items()))
    )
    return OpenedStore(store, prefix, location)


def _open_local(url: str, options: Mapping[str, str]) -> OpenedStore:
    if options:
        raise InputError(
            f"{redact(url)} is local: store option {_named(sorted(options)[0])} means nothing "
            "there; leave it out"
        )
    path = path_of(url)
    # Rooted at the file system: obstore checks keys, not roots, and a missing root raises.
    return OpenedStore(LocalStore(), path.as_posix().strip("/"), Location(path.as_posix()))


def _open_http(url: str, options: Mapping[str, str]) -> OpenedStore:
    parts = urlsplit(url)
    if holds_credentials(url) or parts.query or parts.fragment:
        raise InputError(
            f"{without_secrets(url)}: a URL with credentials, a query or a fragment names no "
            "folder, and would end up in references: give one without"
        )
    path = encoded(parts.path.strip("/"))
    segments = unquote(path).split("/") if path else []
    if not parts.hostname or any(part in ("", ".", "..") for part in segments):
        raise InputError(f"{without_secrets(url)} names no folder of a server: check the URL")
    for key in options:
        if key not in _HTTP_OPTIONS:
            raise InputError(
                f"unknown store option {_named(key)} for {parts.scheme}://: there are "
                f"{', '.join(sorted(_HTTP_OPTIONS))}"
            )
    server = f"{parts.scheme.lower()}://{parts.netloc.lower()}"
    plain = {"allow_http": "true"} if server.startswith("http:") else {}
    client: dict[str, Any] = {**plain, **options}
    try:
        store = HTTPStore.from_url(server, client_options=client or None, retry_config=RETRY)  # type: ignore[arg-type]
    except Exception as error:  # obstore raises several unrelated classes here
        raise InputError(
            f"{server} cannot be opened: {redact(_first_line(error))}: check the URL and the store "
            "options"
        ) from None
    public = tuple(sorted((key, value) for key, value in options.items() if key in PUBLIC_OPTIONS))
    location = Location(f"{server}/{path}" if path else server, public)
    return OpenedStore(store, unquote(path), location)


def _open_cloud(scheme: str, bucket: str, options: dict[str, str]) -> ObjectStore:
    kind = _CLOUDS[scheme]
    config: dict[str, Any] = {}
    client: dict[str, Any] = {}
    if any(holds_credentials(value) for key, value in options.items() if key in PUBLIC_OPTIONS):
        raise InputError(
            "the endpoint has credentials in it, and would be remembered with them: give them in "
            "the environment or as store options of their own"
        )
    for key, value in options.items():
        if key == "user_project" and kind is GCSStore and _PROJECT.fullmatch(value):
            client["default_headers"] = {PAYER: value}
        elif _accepts(kind, bucket, {}, {key: value}):
            client[key] = value
        elif _accepts(kind, bucket, {key: value}, {}):
            config[key] = value
        else:
            raise InputError(
                f"unknown store option {_named(key)} for {scheme}://, or its value does not fit: "
                "see obstore's store config and client options"
            )
    _refuse_stronger_endpoint(scheme, options)
    client = _client_options(scheme, kind, bucket, options, client)
    provider: Any = foreign_account(f"{scheme}://{bucket}", config) if kind is GCSStore else None
    given: dict[str, Any] = {"credential_provider": provider} if provider else {}
    try:
        return kind(
            bucket,
            config=config,  # type: ignore[arg-type]
            client_options=client or None,  # type: ignore[arg-type]
            retry_config=RETRY,  # type: ignore[arg-type]
            **given,
        )
    except Exception as error:  # obstore raises several unrelated classes here
        # obstore repeats the values that it cannot read, those of the environment too.
        shown = re.sub(
            r'"[^"]*"?|\bfrom /\S+', HIDDEN, redact(_first_line(error), options.values())
        )
        raise InputError(
            f"{scheme}://{bucket} cannot be opened: {shown}: check the store options "
            f"({', '.join(map(_named, sorted(options))) or 'none given'}) and the environment"
        ) from None


def _client_options(
    scheme: str,
    kind: type[S3Store] | type[GCSStore] | type[AzureStore],
    bucket: str,
    options: Mapping[str, str],
    client: dict[str, Any],
) -> dict[str, Any]:
    """Return the client's options: those of the environment, and before them those given.

    obstore drops all that the environment says of its client when any option is given.
    """
    endpoint = reaching(scheme, options)
    plain = any(endpoint.get(key, "").startswith("http://") for key in ("endpoint", "base_url"))
    if not client and not plain:
        return {}  # all is as obstore itself takes it from the environment
    said = client_options_of_environment(scheme)
    # What goes by the same name is an option of the client, unless obstore says otherwise.
    found = {
        key: value for key, value in said.items() if _accepts(kind, bucket, {}, {key: value})
    } | client
    if plain:
        found.setdefault("allow_http", "true")
    return found


def _refuse_stronger_endpoint(scheme: str, options: Mapping[str, str]) -> None:
    """Refuse an endpoint that obstore would not use: of S3, one variable comes before options."""
    stronger = os.environ.get("AWS_ENDPOINT_URL_S3", "")
    given = options.get("endpoint")
    if (
        _CLOUDS[scheme] is S3Store
        and stronger
        and given
        and given.rstrip("/") != stronger.rstrip("/")
    ):
        raise InputError(
            "AWS_ENDPOINT_URL_S3 of the environment names another endpoint than the one given, "
            "and would come before it: unset it, or use AWS_ENDPOINT_URL for the other store"
        )


def _accepts(
    kind: type[S3Store] | type[GCSStore] | type[AzureStore],
    bucket: str,
    config: dict[str, Any],
    client: dict[str, Any],
) -> bool:
    """Whether obstore knows an option: asked of obstore itself, so no table here can go stale."""
    base = {"account_name": "probe"} if kind is AzureStore else {}
    # A file that it cannot read is not what is asked about.
    who: dict[str, Any] = {"credential_provider": dict} if kind is GCSStore else {}
    try:
        kind(bucket, config={**base, **config}, client_options=client, **who)  # type: ignore[arg-type]
    except Exception as error:
        # A known key may still lack its companions (a key id without its secret).
        text = str(error)
        return not ("is not valid for store" in text or "Invalid key" in text or client)
    return True


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named(key: str) -> str:
    """Return an option's name for a message; what cannot be one may be a secret, mistyped."""
    return repr(key) if re.fullmatch(r"(s3_)?[a-z_]{2,40}", key) else "(not repeated here)"


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
