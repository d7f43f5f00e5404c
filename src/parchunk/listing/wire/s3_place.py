"""Where a bucket of S3 is and how it is reached, taken from the obstore store that reaches it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from obstore.store import S3Store

from parchunk.listing.wire.reaching import (
    NotHere,
    client_options,
    has_proxy,
    limits_of,
    origin_of,
    provider_of,
)
from parchunk.listing.wire.server import Limits, Origin
from parchunk.stores.manner import manner_of
from parchunk.stores.options import (
    canonical_options,
    credentials_of_environment,
    from_environment,
    is_true,
)

#: Options of a bucket that are understood here, and those that change nothing of a listing.
_UNDERSTOOD = frozenset(
    {
        *("bucket", "region", "default_region", "endpoint", "virtual_hosted_style_request"),
        *("access_key_id", "secret_access_key", "session_token", "skip_signature"),
        "request_payer",
    }
)
_OF_NO_EFFECT = frozenset(
    {
        *("checksum_algorithm", "conditional_put", "copy_if_not_exists", "disable_tagging"),
        *("server_side_encryption", "sse_bucket_key_enabled", "sse_kms_key_id"),
        *("sse_customer_key_base64", "unsigned_payload", "imdsv1_fallback", "metadata_endpoint"),
    }
)
#: Static credentials.
_KEYS = ("access_key_id", "secret_access_key", "session_token")
#: What names a token of a web identity, and the role that it is taken for, before all else that
#: obstore would look for where no keys are named.
_WEB_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")


@dataclass(frozen=True)
class S3Place:
    """A bucket: on which server, below which path, and who asks.

    ``kind`` of credentials is ``anonymous``, ``static``, ``session token``, ``web identity``,
    ``provider``, which the store was given, or ``chain``, which is botocore's to find; ``endpoint``
    says whether the server was named, and is
    not AWS's own.
    """

    origin: Origin
    path: str
    region: str
    kind: str
    endpoint: bool
    payer: bool
    limits: Limits
    key_id: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    session: str = field(default="", repr=False)
    provider: Callable[[], Any] | None = field(default=None, repr=False, compare=False)


def s3_place(store: S3Store) -> S3Place:
    """Return where the bucket of a store is.

    Raises
    ------
    NotHere
        When it is reached in a way that only obstore knows.
    """
    if not manner_of(store).ordered:
        raise NotHere("S3 Express buckets have sessions of their own")
    if store.prefix:
        raise NotHere("the store has a prefix of its own")
    config = canonical_options("s3", {key: str(value) for key, value in dict(store.config).items()})
    for key in config:
        if key not in _UNDERSTOOD | _OF_NO_EFFECT:
            raise NotHere(f"only obstore knows the store option {key}")
    client = client_options("s3", store)
    said = {key: values[0] for key, values in from_environment("s3").items()} | config
    if first := os.environ.get("AWS_ENDPOINT_URL_S3"):
        said["endpoint"] = first  # of all variables, the one that comes before options
    region = said.get("region") or said.get("default_region") or "us-east-1"
    origin, path = _origin(said, config["bucket"], region)
    if not origin.encrypted and not is_true(client.get("allow_http", "")):
        raise NotHere("http is not allowed: give --store-option allow_http=true")
    if has_proxy(origin):
        raise NotHere("the environment names a proxy")
    provider = provider_of(store)
    kind, keys = _credentials(config, said) if provider is None else ("provider", ("", "", ""))
    if is_true(said.get("skip_signature", "")):
        kind, provider = "anonymous", None
    return S3Place(
        origin,
        path,
        region,
        kind,
        bool(said.get("endpoint")),
        # Who asks anonymously pays nothing, and does not say that he does.
        kind != "anonymous" and is_true(said.get("request_payer", "")),
        limits_of(client, store.retry_config),
        *keys,
        provider,
    )


def _credentials(
    config: Mapping[str, str], said: Mapping[str, str]
) -> tuple[str, tuple[str, str, str]]:
    """Return the kind of credentials; of static ones key, secret and session token, too."""
    if is_true(said.get("skip_signature", "")):
        return "anonymous", ("", "", "")
    named = credentials_of_environment("s3")
    found = {name: (config[name],) if name in config else named.get(name, ("",)) for name in _KEYS}
    for name, values in found.items():
        if len(set(values)) > 1:
            raise NotHere(f"the environment says {name} twice, in spellings that differ")
    key, secret, session = (values[0] for values in found.values())
    if key and secret:
        return ("session token" if session else "static"), (key, secret, session)
    if key or secret or session:
        raise NotHere("its credentials are incomplete")
    if all(os.environ.get(variable) for variable in _WEB_IDENTITY):
        return "web identity", ("", "", "")
    return "chain", ("", "", "")


def _origin(said: Mapping[str, str], bucket: str, region: str) -> tuple[Origin, str]:
    virtual = is_true(said.get("virtual_hosted_style_request", ""))
    named = said.get("endpoint")
    if not named:
        host = f"s3.{region}.amazonaws.com"
        if virtual:
            return origin_of(f"https://{bucket}.{host}")[0], "/"
        return origin_of(f"https://{host}")[0], f"/{quote(bucket)}"
    origin, path = origin_of(named)
    # An endpoint of the virtual style names the bucket itself.
    return origin, (path or "/") if virtual else f"{path}/{quote(bucket)}"
