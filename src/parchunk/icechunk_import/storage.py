"""Icechunk's storage of a path or URL, made from options as obstore calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.locations import settings
from parchunk.stores.opening import Location, open_store, parse_options
from parchunk.stores.options import (
    PROVIDERS,
    PUBLIC_OPTIONS,
    canonical_options,
    from_environment,
    is_true,
)
from parchunk.stores.redaction import AZURE_AUTHORITY

_KNOWN = {
    "s3": frozenset(
        {
            "region",
            "endpoint",
            "allow_http",
            "skip_signature",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "virtual_hosted_style_request",
            "request_payer",
        }
    ),
    "gs": frozenset(
        {
            "service_account",
            "service_account_key",
            "application_credentials",
            "bearer_token",
            "skip_signature",
            "base_url",
        }
    ),
    "az": frozenset(
        {"account_name", "account_key", "sas_token", "bearer_token", "endpoint", "use_emulator"}
    ),
    "file": frozenset(),
}


def storage_at(url: str, options: Mapping[str, str] | None = None) -> tuple[Any, Location]:
    """Return icechunk's storage of a path or s3:// gs:// az:// URL, and what it may be called.

    ``options`` have obstore's names, as everywhere in parchunk; without them credentials come
    from the environment.

    Raises
    ------
    InputError
        For a URL or an option that means nothing here.
    """
    ic = adapter.load()
    location, public = _location(url, options or {})
    scheme = PROVIDERS.get(location.scheme, location.scheme)
    if scheme not in _KNOWN:
        raise InputError(
            f"{location.url} cannot be a repository: name a path, or an s3://, gs:// or az:// URL"
        )
    asked = canonical_options(location.scheme, parse_options(options or {}))
    # icechunk itself takes credentials from the environment, and few of the other variables.
    said = {key: value for key, value in public.items() if key in _KNOWN[scheme]}
    given = {**said, **asked}
    unknown = sorted(asked.keys() - _KNOWN[scheme])
    if unknown:
        known = ", ".join(sorted(_KNOWN[scheme])) or "none"
        raise InputError(f"{location.url}: unknown repo option {unknown[0]!r}: there are {known}")
    if scheme == "file":
        return ic.local_filesystem_storage(location.url), location
    bucket, _, prefix = location.url.partition("://")[2].partition("/")
    if not prefix:
        raise InputError(f"{location.url} is a whole bucket: name a folder in it for the repo")
    if scheme == "az" and "account_name" not in given:
        raise InputError(f"{location.url}: give --repo-option account_name=NAME")
    make = {"s3": _s3, "gs": _gs, "az": _az}[scheme]
    try:
        with adapter.reported(f"open {location.url}", "check the repo options"):
            return make(ic, bucket, prefix, given), location
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{location.url} cannot be opened: {adapter.one_line(error)}; check the repo options"
        ) from None


def refuse_secrets(url: str, options: Mapping[str, str]) -> None:
    """Refuse options that are secrets: an executor would be sent them, and may keep them in files.

    Raises
    ------
    InputError
        Naming the first.
    """
    asked = canonical_options(urlsplit(url).scheme, parse_options(options))
    for name in sorted(asked.keys() - PUBLIC_OPTIONS):
        raise InputError(
            f"{url}: repo option {name} with --dask: the cluster would be sent it: give "
            "credentials in the environment, of this process and of the workers"
        )


def _location(url: str, options: Mapping[str, str]) -> tuple[Location, dict[str, str]]:
    """Return what a repository is called, and the options that are no secret.

    Options are judged by icechunk's needs, later: all that obstore wants is Azure's account.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    asked = canonical_options(scheme, parse_options(options))
    public = {key: value for key, value in asked.items() if key in PUBLIC_OPTIONS}
    if PROVIDERS.get(scheme) is None:
        return open_store(url).location, {}
    if PROVIDERS[scheme] == "az" and not AZURE_AUTHORITY.match(url):
        named = from_environment(scheme).get("account_name", ())
        if not named and "account_name" not in public:
            public["account_name"] = "any"
    location = open_store(url, public).location
    said = {key: value for key, value in location.options if value != "any"}
    return Location(location.url), said


def _s3(ic: Any, bucket: str, prefix: str, given: Mapping[str, str]) -> Any:
    endpoint = given.get("endpoint")
    virtual = is_true(given.get("virtual_hosted_style_request", ""))
    payer = {"requester_pays": True} if is_true(given.get("request_payer", "")) else {}
    return ic.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=given.get("region", "us-east-1" if endpoint else None),
        endpoint_url=endpoint,
        allow_http=is_true(given.get("allow_http", "")) or (endpoint or "").startswith("http://"),
        force_path_style=endpoint is not None and not virtual,
        access_key_id=given.get("access_key_id"),
        secret_access_key=given.get("secret_access_key"),
        session_token=given.get("session_token"),
        anonymous=_anonymous(given),
        from_env=_from_environment(given, "access_key_id"),
        **payer,
    )


def _gs(ic: Any, bucket: str, prefix: str, given: Mapping[str, str]) -> Any:
    keys = ("service_account", "service_account_key", "application_credentials", "bearer_token")
    return ic.gcs_storage(
        bucket=bucket,
        prefix=prefix,
        service_account_file=given.get("service_account"),
        service_account_key=given.get("service_account_key"),
        application_credentials=given.get("application_credentials"),
        bearer_token=given.get("bearer_token"),
        anonymous=_anonymous(given),
        from_env=_from_environment(given, *keys),
        config=settings("gs", given),
    )


def _az(ic: Any, bucket: str, prefix: str, given: Mapping[str, str]) -> Any:
    return ic.azure_storage(
        account=given["account_name"],
        container=bucket,
        prefix=prefix,
        access_key=given.get("account_key"),
        sas_token=given.get("sas_token"),
        bearer_token=given.get("bearer_token"),
        from_env=None if given.keys() & {"account_key", "sas_token", "bearer_token"} else True,
        config=settings("az", given),
    )


def _anonymous(given: Mapping[str, str]) -> bool | None:
    return is_true(given.get("skip_signature", "")) or None


def _from_environment(given: Mapping[str, str], *keys: str) -> bool | None:
    """Whether icechunk looks for credentials itself: where none are given, nor renounced."""
    return None if _anonymous(given) or given.keys() & set(keys) else True
