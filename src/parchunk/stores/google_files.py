"""Files of Google's credentials: found as obstore finds them, and those that it does not read.

Identities of other clouds (``external_account``, workload identity federation) are google-auth's:
a store that is opened with such a file is given a provider of tokens for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from parchunk.errors import InputError
from parchunk.extras import require
from parchunk.stores.options import is_true, reaching

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Of a store, in the environment with ``GOOGLE_`` before it: each is one of obstore's own names.
_SPELLED = {
    "service_account": "service_account",
    "service_account_path": "service_account",
    "service_account_key": "service_account_key",
    "application_credentials": "application_credentials",
    "bearer_token": "bearer_token",
}
#: Options of a store that say who asks.
OPTIONS = frozenset(_SPELLED.values())
#: Where ``gcloud auth application-default login`` writes to, below a folder that a variable names.
_WELL_KNOWN = (
    ("APPDATA", "gcloud/application_default_credentials.json")
    if sys.platform == "win32"
    else ("HOME", ".config/gcloud/application_default_credentials.json")
)
#: Seconds for a connection, and for an answer, of whoever gives a token.
_CONNECT, _ANSWER = 5.0, 15.0
_OF_AWS = "urn:ietf:params:aws:token-type:aws4_request"


class AmbiguousError(ValueError):
    """An environment that says two things; ``args[0]`` names them, as a clause."""


def who_asks(config: Mapping[str, str]) -> dict[str, str]:
    """Return what options and the environment say of credentials, under obstore's names.

    Raises
    ------
    AmbiguousError
        When obstore would take any of two.
    """
    named: dict[str, str] = {}
    for key, value in os.environ.items():
        name = _SPELLED.get(key.removeprefix("GOOGLE_").lower())
        if key.startswith("GOOGLE_") and name and named.setdefault(name, value) != value:
            raise AmbiguousError(f"the environment names two of GOOGLE_{name.upper()}")
    plain = os.environ.get("SERVICE_ACCOUNT")
    found = {"service_account": plain} if plain is not None else {}
    given = {_SPELLED.get(key.removeprefix("google_"), ""): config[key] for key in config}
    return found | named | {key: value for key, value in given.items() if key}


def default_file(said: Mapping[str, str]) -> Path | None:
    """Return the file that says who asks where nothing else does, if there is one."""
    if (named := said.get("application_credentials")) is not None:
        return Path(named)
    variable, below = _WELL_KNOWN
    home = os.environ.get(variable)
    usual = Path(home) / below if home is not None else None
    return usual if usual is not None and usual.exists() else None


@dataclass(frozen=True)
class ForeignAccount:
    """A provider of tokens for an identity of another cloud, which a file describes."""

    file: str

    def __call__(self) -> dict[str, Any]:
        """Return a token, and when it ends."""
        import urllib3
        from google.auth.transport.urllib3 import Request

        timeout = urllib3.Timeout(connect=_CONNECT, read=_ANSWER)
        with urllib3.PoolManager(timeout=timeout, retries=False) as http:
            credentials = self._credentials()
            credentials.refresh(Request(http))
        return {"token": credentials.token, "expires_at": credentials.expiry.replace(tzinfo=UTC)}

    def _credentials(self) -> Any:
        from google.auth import aws, identity_pool

        said = json.loads(Path(self.file).read_text())
        of_aws = said.get("subject_token_type") == _OF_AWS
        kind = aws.Credentials if of_aws else identity_pool.Credentials
        return kind.from_info(said, scopes=[SCOPE])


def foreign_account(url: str, config: Mapping[str, str]) -> ForeignAccount | None:
    """Return the provider for the file that says who asks, None where obstore reads it itself.

    Raises
    ------
    InputError
        When it would run a program.
    MissingExtraError
        When google-auth is not there.
    """
    try:
        said = who_asks(config)
    except AmbiguousError:
        return None
    if said.keys() & {"bearer_token", "service_account", "service_account_key"}:
        return None
    file = default_file(said)
    try:
        found = json.loads(file.read_text()) if file is not None else None
    except (OSError, ValueError, RecursionError):
        return None  # obstore says what is wrong with it
    if not isinstance(found, dict) or found.get("type") != "external_account":
        return None
    source = found.get("credential_source")
    if isinstance(source, dict) and "executable" in source:
        raise InputError(
            f"{url}: {file} says to run a program for a token, which is not done here: give the "
            "token as --store-option bearer_token (with obstore 0.11 or later), or, in Python, the "
            "store a credential_provider"
        )
    if not is_true(reaching("gs", config).get("skip_signature", "")):
        require("google.auth", "wire")
    return ForeignAccount(str(file))
