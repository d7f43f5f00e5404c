"""What the options of stores are called: one name for all of obstore's spellings.

Options are given by the user, named in the environment (``AWS_ENDPOINT_URL``), or kept in OUT. Only
names that parchunk itself has to understand are listed here; all others are obstore's to judge.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from parchunk.errors import InputError

#: Options that name no secret, and so may be remembered in plan.json for readers.
PUBLIC_OPTIONS = frozenset(
    {
        "account_name",
        "allow_http",
        "base_url",
        "endpoint",
        "region",
        "request_payer",
        "s3_express",
        "skip_signature",
        "timeout",
        "use_emulator",
        "user_project",
        "virtual_hosted_style_request",
    }
)
#: The header by which requests to Google say which project pays; obstore has no option for it.
PAYER = "x-goog-user-project"

#: Whose store a scheme names.
PROVIDERS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "azure": "az",
}
#: What variables begin with, longest first; obstore takes options with it, too, in lower case.
_PREFIXES = {
    "s3": ("aws_",),
    "gs": ("google_",),
    "az": ("azure_storage_", "azure_"),
}
_ALIASES = {
    "s3": {
        "endpoint_url": "endpoint",
        "endpoint_url_s3": "endpoint",
        "default_region": "region",
        "token": "session_token",
    },
    "gs": {},
    "az": {
        "access_key": "account_key",
        "master_key": "account_key",
        "sas_key": "sas_token",
        "token": "bearer_token",
    },
}
_CREDENTIALS = frozenset(
    {
        *("access_key_id", "secret_access_key", "session_token"),
        *("account_key", "bearer_token", "sas_token"),
    }
)
#: Names that options go by here; any other is left as it was spelled.
_KNOWN = PUBLIC_OPTIONS | _CREDENTIALS
#: Of several spellings of one option these come first, as they do for obstore.
_FIRST = ("aws_endpoint_url_s3", "aws_region")
#: A file and a folder of those whom TLS believes, as obstore takes them.
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
#: What else obstore goes by as it looks for credentials, or for who gives them.
_WHERE_CREDENTIALS_ARE = frozenset(
    {
        *("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"),
        *("HOME", "APPDATA", "SERVICE_ACCOUNT"),
    }
)
#: How a source was reached is kept for readers, also where the environment said it.
_KEPT_FROM_ENVIRONMENT = PUBLIC_OPTIONS - {"timeout", "user_project"}


def canonical_options(scheme: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return options under the one name that parchunk uses; unknown ones stay as they are.

    Raises
    ------
    InputError
        When two spellings of one option say different things.
    """
    provider = PROVIDERS.get(scheme)
    if provider is None:
        return dict(options)
    found: dict[str, str] = {}
    for key, value in sorted(options.items(), key=lambda item: item[0] == "default_region"):
        name = _name(provider, key)
        if name in found and key.endswith("default_region"):
            continue  # a default, by its name
        if found.setdefault(name, value) != value:
            raise InputError(
                f"store option {name!r} is given twice, in two spellings that say different "
                "things: give it once"
            )
    return found


def from_environment(
    scheme: str, environment: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the public options that the environment names, under parchunk's names.

    Each with all its values, the one that counts first: an endpoint has several spellings.
    """
    provider = PROVIDERS.get(scheme)
    if provider is None:
        return {}
    said = _named(provider, os.environ if environment is None else environment)
    return {name: values for name, values in said.items() if name in PUBLIC_OPTIONS}


def credentials_of_environment(scheme: str) -> dict[str, tuple[str, ...]]:
    """Return the credentials that the environment names, as `from_environment` does options."""
    said = _named(PROVIDERS[scheme], os.environ)
    return {name: said[name] for name in _CREDENTIALS & said.keys()}


def reaching(scheme: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the public options that a store is reached by: those given, then the environment's."""
    named = from_environment(scheme)
    said = {key: named[key][0] for key in _KEPT_FROM_ENVIRONMENT & named.keys()}
    return {**said, **{key: value for key, value in given.items() if key in PUBLIC_OPTIONS}}


def client_options_of_environment(scheme: str) -> dict[str, str]:
    """Return what the environment says beside credentials and places: ``AWS_ALLOW_HTTP``, say.

    Under their names without a prefix; which of them are a client's, obstore knows.
    """
    provider = PROVIDERS[scheme]
    return {_bare(provider, key): value for key, value in _spelled(provider, os.environ)}


def environment_mark() -> int:
    """Return a number that stands for all that the environment says of stores, proxies and TLS.

    obstore reads it once, as a store is made: another number later means that what was read then
    cannot be read again. It means nothing in another process.
    """
    begins = tuple(prefix for prefixes in _PREFIXES.values() for prefix in prefixes)
    return hash(
        frozenset(
            (key, value)
            for key, value in os.environ.items()
            if key.lower().startswith(begins)
            or key.lower().endswith("_proxy")
            or key in AUTHORITIES
            or key in _WHERE_CREDENTIALS_ARE
        )
    )


def is_true(value: str) -> bool:
    """Whether an option's text says yes."""
    return value.strip().lower() in ("true", "1", "yes", "on", "y", "t")


def _named(provider: str, variables: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    spelled = sorted(
        _spelled(provider, variables),
        key=lambda item: (item[0] not in _FIRST, item[0].endswith("default_region")),
    )
    for key, value in spelled:
        name = _name(provider, key)
        found[name] = (*found.get(name, ()), value)
    return found


def _spelled(provider: str, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what variables say, by their names in small letters.

    Of such a name obstore wants capitals in what it begins with alone.
    """
    begins = tuple(prefix.upper() for prefix in _PREFIXES[provider])
    return [
        (key.lower(), value) for key, value in variables.items() if value and key.startswith(begins)
    ]


def _name(provider: str, key: str) -> str:
    bare = _bare(provider, key.lower())
    name = _ALIASES[provider].get(bare, bare)
    return name if name in _KNOWN else key


def _bare(provider: str, key: str) -> str:
    for prefix in _PREFIXES[provider]:
        if key.startswith(prefix):
            return key[len(prefix) :]
    return key
