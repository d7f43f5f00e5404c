"""What OUT keeps of how its source was reached, which may be somebody else's words.

Whoever made OUT could name any server there. So what would decide who gets a request is used
without credentials, unless the user names it, too: as an option, or in the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from parchunk.errors import InputError
from parchunk.stores.opening import Location, parse_options
from parchunk.stores.options import (
    PROVIDERS,
    PUBLIC_OPTIONS,
    canonical_options,
    from_environment,
    is_true,
)
from parchunk.stores.redaction import redact

#: Kept options that name a server...
_PLACES = ("endpoint", "base_url", "use_emulator")
#: ...and those that become part of the provider's own host name, and so must not end it.
_HOST_PARTS = ("region", "account_name")
#: Variables whose secrets are sent with requests that are not signed, too: what overrides them.
_ENCRYPTION = {
    "AWS_SERVER_SIDE_ENCRYPTION": {"server_side_encryption": "AES256"},
    "AWS_SSE_CUSTOMER_KEY_BASE64": {"server_side_encryption": "AES256"},
    "AZURE_STORAGE_ENCRYPTION_KEY": None,
    "AZURE_ENCRYPTION_KEY": None,
}


def options_to_open(location: Location, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the options to open a source with whose ``location`` was read from OUT.

    Options given come before those kept. A server that only OUT names gets no credentials.

    Raises
    ------
    InputError
        When credentials are given for such a server, or what is kept would name one in disguise.
    """
    scheme = location.scheme
    mine = canonical_options(scheme, parse_options(given or {}))
    options = {**dict(location.options), **mine}
    place = unnamed_place(location, given)
    if place is None:
        return options
    if place in _HOST_PARTS:
        raise InputError(
            f"{location.url}: the {place} that OUT keeps is none: give --store-option "
            f"{place}=NAME if you trust OUT"
        )
    secrets = sorted(key for key in mine if key not in PUBLIC_OPTIONS)
    if secrets:
        raise InputError(
            f"{location.url}: store option {secrets[0]!r} is not sent to a server that only OUT "
            f"names: {remedy(location, place)}"
        )
    return {**options, "skip_signature": "true", **_without_encryption(location, place)}


def unnamed_place(location: Location, given: Mapping[str, str] | None = None) -> str | None:
    """Return the option of a kept location by which OUT alone says who gets requests, or None."""
    kept = dict(location.options)
    mine = canonical_options(location.scheme, parse_options(given or {}))
    environment = from_environment(location.scheme)
    for key in (*_PLACES, *_HOST_PARTS):
        value = kept.get(key, "")
        if not value or key in mine or (key == "use_emulator" and not is_true(value)):
            continue
        if key in _HOST_PARTS and re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value):
            continue
        if not any(_same(value, said) for said in environment.get(key, ())):
            return key
    return None


def remedy(location: Location, place: str) -> str:
    """Return what to do for a server to be given credentials that OUT names by ``place``."""
    value = redact(dict(location.options).get(place, ""))
    return f"if you trust it, name it with --store-option {place}={value}"


def unsigned_note(location: Location, given: Mapping[str, str] | None = None) -> str | None:
    """Return why a source that OUT names is reached without credentials; None where it is not."""
    place = unnamed_place(location, given)
    if place is None or is_true(dict(location.options).get("skip_signature", "")):
        return None
    return f"only OUT names this server, so it was sent no credentials: {remedy(location, place)}"


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/") or (is_true(one) and is_true(other))


def _without_encryption(location: Location, place: str) -> dict[str, str]:
    found: dict[str, str] = {}
    provider = PROVIDERS.get(location.scheme)
    for variable, instead in _ENCRYPTION.items():
        if not os.environ.get(variable):
            continue
        if instead is not None and provider == "s3":
            found |= instead
        elif instead is None and provider == "az":
            raise InputError(
                f"{location.url}: {variable} would be sent to a server that only OUT names: unset "
                f"it; or, {remedy(location, place)}"
            )
    return found
