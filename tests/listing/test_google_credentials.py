"""Who asks Google for pages: found as obstore finds it, and never repeated."""

from __future__ import annotations

import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from instruments.tls import Identity, make_identity
from obstore.exceptions import UnknownConfigurationKeyError
from tests.listing.google_bucket import (
    CLIENT_SECRET,
    EMAIL,
    KEY_ID,
    KEYS,
    REFRESH,
    Google,
    google,
)
from tests.listing.ways import rows

import parchunk
from parchunk.errors import InputError, MissingExtraError
from parchunk.listing.choosing import choose
from parchunk.listing.pages import PageError
from parchunk.reading.dataset import fsspec_options


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing of the machine say who asks, and no metadata server of the network answer."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCE_", "CLOUDSDK_")) or name == "SERVICE_ACCOUNT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "home"))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")


@pytest.fixture(scope="module")
def key() -> Any:
    pytest.importorskip("google.auth", reason="pip install 'parchunk[wire]'")
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def account(key: Any) -> dict[str, str]:
    """Return the file of a service account."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "private_key": pem,
        "private_key_id": KEY_ID,
        "client_email": EMAIL,
    }


def source_of(bucket: Google, way: str, **options: Any) -> parchunk.Source:
    return parchunk.Source(bucket.store(**options), "", "gs://b", listing=way)


def keys_of(source: parchunk.Source) -> list[str]:
    return [key for key, _, _ in rows(source, "p")]


#: Where the file of a service account may be named.
PLACES = [
    *("service_account", "service_account_path", "google_service_account"),
    *("google_service_account_path", "service_account_key", "google_service_account_key"),
    *("application_credentials", "google_application_credentials", "well-known", "SERVICE_ACCOUNT"),
    *("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    "GOOGLE_APPLICATION_CREDENTIALS",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_service_account_signs_for_itself(
    way: str,
    place: str,
    account: dict[str, str],
    key: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, options = tmp_path / "account.json", {}
    if place == "well-known":
        file = tmp_path / "home" / ".config" / "gcloud" / "application_default_credentials.json"
        file.parent.mkdir(parents=True)
    file.write_text(json.dumps(account))
    value = json.dumps(account) if place.lower().endswith("key") else str(file)
    if place.isupper():
        monkeypatch.setenv(place, value)
    elif place != "well-known":
        options[place] = value
    with google() as bucket:
        bucket.public_key = key.public_key()
        source = source_of(bucket, way, **options)
        assert keys_of(source) == KEYS
        assert keys_of(pickle.loads(pickle.dumps(source))) == KEYS
        assert bucket.issued == []
        if way == "wire":
            choice = choose(source)
            assert choice.dialect is not None
            assert choice.dialect.kind == "service account"  # type: ignore[attr-defined]
            assert "PRIVATE KEY" not in repr(choice)
        bucket.public_key = None
        with pytest.raises(PageError):
            keys_of(source)


def test_a_metadata_server_is_asked_once_for_all(
    way: str, identity: Identity | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with google(identity) as bucket:
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        source = source_of(bucket, way)
        found: list[list[str]] = []
        threads = [threading.Thread(target=lambda: found.append(keys_of(source))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [KEYS] * 4
        assert bucket.issued == [{}]


@pytest.mark.parametrize("variable", ["GCE_METADATA_ROOT", "GCE_METADATA_IP"])
def test_metadata_servers_are_named_in_three_ways(
    way: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with google() as bucket:
        if variable == "GCE_METADATA_ROOT":
            monkeypatch.delenv("GCE_METADATA_HOST")
        monkeypatch.setenv(variable, bucket.giver)
        assert keys_of(source_of(bucket, way)) == KEYS


def test_a_token_is_renewed_before_it_ends(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with google() as bucket:
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        bucket.lasts = 0
        assert keys_of(source_of(bucket, way)) == KEYS
        assert len(bucket.issued) == len(KEYS)


def test_a_token_whose_time_is_no_number_of_seconds_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with google() as bucket:
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        bucket.lasts = float("inf")
        with pytest.raises(PageError, match="its answer is no token"):
            keys_of(source_of(bucket, "wire"))


def test_a_token_that_is_refused_is_renewed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with google() as bucket:
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        source = source_of(bucket, "wire")
        assert keys_of(source) == KEYS
        bucket.believed = set()
        with pytest.raises(
            PageError, match="the token was refused, and another is asked for"
        ) as one:
            keys_of(source)
        assert not one.value.final
        assert keys_of(source) == KEYS
        assert len(bucket.issued) == 2
        bucket.believed = set()
        with pytest.raises(
            PageError, match=r"permission denied \(authError\): check the cred"
        ) as two:
            keys_of(source)
        assert two.value.final
        assert len(bucket.issued) == 2


@pytest.fixture
def token_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Identity
) -> Iterator[Google]:
    """Serve a bucket, and the tokens of users where Google does, as far as this process knows."""
    pytest.importorskip("google.auth", reason="pip install 'parchunk[wire]'")
    name = "oauth2.googleapis.com"
    made = make_identity(tmp_path / "identity", name)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    told = socket.getaddrinfo
    with google(giver=made) as bucket:
        port = int(bucket.giver.rpartition(":")[2])

        def ask(host: Any, at: Any, *others: Any, **named: Any) -> Any:
            here = (host, at) == (name, 443)
            return told("127.0.0.1" if here else host, port if here else at, *others, **named)

        monkeypatch.setattr(socket, "getaddrinfo", ask)
        file = tmp_path / "user.json"
        said = {"type": "authorized_user", "client_id": "c", "client_secret": CLIENT_SECRET}
        file.write_text(json.dumps(said | {"refresh_token": REFRESH, "quota_project_id": "q"}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        yield bucket


def test_a_user_is_given_tokens(token_service: Google) -> None:
    """By Google alone, so that obstore cannot be asked the same here."""
    source = source_of(token_service, "wire")
    assert keys_of(source) == KEYS
    (asked,) = token_service.issued
    assert (
        asked.items()
        >= {
            "grant_type": "refresh_token",
            "client_id": "c",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH,
        }.items()
    )
    # Who pays for the tools of a user does not pay for listings; obstore says nothing of it either.
    assert all("x-goog-user-project" not in headers for headers in token_service.seen)
    assert REFRESH not in repr(choose(source))


def test_a_user_who_has_to_sign_in_anew_is_told_so(token_service: Google) -> None:
    token_service.refuses = 400
    with pytest.raises(PageError) as refused:
        keys_of(source_of(token_service, "wire"))
    assert refused.value.final
    assert refused.value.reason == (
        "credentials cannot be had: invalid_grant: of ***: sign in anew (gcloud auth "
        "application-default login)"
    )


@pytest.mark.parametrize(
    ("status", "said"), [(404, "it answered 404"), (503, "it answered 503"), (200, "no token")]
)
def test_without_a_token_one_line_says_what_to_do(
    status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with google() as bucket:
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        bucket.refuses = status
        with pytest.raises(PageError) as refused:
            keys_of(source_of(bucket, "wire"))
        assert said in refused.value.reason
        assert refused.value.reason.startswith(
            "credentials cannot be had: the metadata server 127.0.0.1: "
        )
        assert "or give --store-option skip_signature=true for public data" in refused.value.reason
        assert not refused.value.final
        assert bucket.seen == []


def test_a_provider_of_the_store_is_asked_as_obstore_asks_it(way: str) -> None:
    """This is how identities of other clouds come to Google (workload identity federation)."""
    auth = pytest.importorskip("google.auth.identity_pool", reason="pip install 'parchunk[wire]'")
    urllib3 = pytest.importorskip("urllib3")
    from google.auth.transport.urllib3 import Request

    with google() as bucket, urllib3.PoolManager() as http:
        foreign = auth.Credentials(
            audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
            subject_token_type="urn:ietf:params:oauth:token-type:jwt",
            token_url=f"http://{bucket.giver}/token",
            subject_token_supplier=Supplier(),
        )

        def provider() -> dict[str, Any]:
            foreign.refresh(Request(http))
            return {"token": foreign.token, "expires_at": foreign.expiry.replace(tzinfo=UTC)}

        assert keys_of(source_of(bucket, way, credential_provider=provider)) == KEYS
        (asked,) = bucket.issued
        assert asked["subject_token"] == "of another cloud"


class Supplier:
    def get_subject_token(self, *_: Any) -> str:
        return "of another cloud"


def test_providers_fail_in_one_line_and_what_has_to_be_awaited_is_obstores() -> None:
    def broken() -> Any:
        raise RuntimeError("no luck\nat all")

    async def awaited() -> Any: ...

    with google() as bucket:
        failing = source_of(bucket, "wire", credential_provider=broken)
        with pytest.raises(PageError) as refused:
            keys_of(failing)
        assert refused.value.reason == (
            "credentials cannot be had: no luck: check the credential provider of the store"
        )
        with pytest.raises(InputError, match="a credential provider that has to be awaited"):
            choose(source_of(bucket, "wire", credential_provider=awaited))


@pytest.mark.parametrize("kind", ["anonymous", "bearer token"])
def test_who_pays_is_said_to_google(way: str, kind: str, identity: Identity | None) -> None:
    payer = {"default_headers": {"X-Goog-User-Project": "the-project"}}
    with google(identity) as bucket:
        bucket.believed = None if kind == "anonymous" else {"ya29.mine"}
        who: dict[str, Any] = {"skip_signature": True}
        if kind == "bearer token":
            who = {"bearer_token": "ya29.mine"}
        try:
            source = source_of(bucket, way, **who, client_options=payer)
        except UnknownConfigurationKeyError:
            pytest.skip("an older obstore, which knows no bearer_token of Google's")
        assert keys_of(source) == KEYS
        assert {headers["x-goog-user-project"] for headers in bucket.seen} == {"the-project"}
        said = {query.get("userProject") for query in bucket.queries}
        assert said == {"the-project" if way == "wire" else None}
        assert "ya29.mine" not in repr(choose(source)) + repr(source)
        bucket.believed = set()
        with pytest.raises(PageError, match="permission denied") as refused:
            keys_of(source)
        assert refused.value.final
        assert "ya29.mine" not in refused.value.reason


def test_who_pays_is_a_store_option(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with google() as bucket:
        bucket.believed = None
        said = {"user_project": "the-project", "skip_signature": "true", "base_url": bucket.bucket}
        source = replace(parchunk.Source.open("gs://b", said), listing=way)
        assert keys_of(pickle.loads(pickle.dumps(source))) == KEYS
        assert {headers["x-goog-user-project"] for headers in bucket.seen} == {"the-project"}
        assert dict(source.options) == said
        monkeypatch.setattr("parchunk.extras.find_spec", lambda _: True)
        protocol, options = fsspec_options(source.location)
        assert (protocol, options["requester_pays"]) == ("gcs", "the-project")
    for url, value in (("s3://b", "the-project"), ("gs://b", "a b"), ("gs://b", "x\r\ny: z")):
        with pytest.raises(InputError, match="unknown store option 'user_project'"):
            parchunk.Source.open(url, {"user_project": value})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"client_options": {"default_headers": {"X-Other": "x"}}},
            "client option default_headers",
        ),
        ({"prefix": "p"}, "a prefix of its own"),
        ({"service_account_key": {"gcs_base_url": "http://127.0.0.1:1"}}, "gcs_base_url"),
        ({"service_account_key": {"disable_oauth": True}}, "disable_oauth"),
    ],
)
def test_what_only_obstore_knows_is_left_to_it(
    options: dict[str, Any], said: str, account: dict[str, str]
) -> None:
    if more := options.get("service_account_key"):
        options = {"service_account_key": json.dumps(account | more)}
    with google() as bucket:
        source = source_of(bucket, "auto", **options)
        assert choose(source).way == "obstore"
        with pytest.raises(InputError, match=said):
            choose(replace(source, listing="wire"))


def test_who_asks_is_not_looked_for_again_in_another_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with google() as bucket:
        source = source_of(bucket, "wire")
        monkeypatch.setenv("GCE_METADATA_HOST", bucket.giver)
        with pytest.raises(InputError, match="the environment has changed since the store was op"):
            choose(source)


def test_without_google_auth_who_signs_is_obstore(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parchunk.extras.find_spec", lambda _: None)
    with google() as bucket:
        signed = source_of(bucket, "wire", service_account_key=json.dumps(account))
        with pytest.raises(MissingExtraError, match=r"pip install 'parchunk\[wire\]'"):
            choose(signed)
