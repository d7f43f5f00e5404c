"""Whose requests they are: signed by whoever lists as the other would sign them."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import obstore
import pytest
from instruments.tls import Identity
from obstore.store import S3Store
from tests.listing.signed_bucket import KEY, SECRET, SESSION, signed_bucket
from tests.listing.token_service import token_service
from tests.listing.ways import KINDS, rows

import parchunk
from parchunk.listing.choosing import choose
from parchunk.listing.pages import PageError


@pytest.mark.parametrize("payer", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_signed_as_the_server_wants_them(
    way: str, kind: str, payer: bool, identity: Identity | None
) -> None:
    options = KINDS[kind] | ({"request_payer": True} if payer else {})
    with signed_bucket(kind, identity=identity) as bucket:
        source = parchunk.Source(bucket.store(**options), "", "s3://b", listing=way)
        assert [key for key, _, _ in rows(source, "ä b&+%/c=", "ä b&+%/c=/*~!'()1")] == bucket.keys
        assert [headers.get("x-amz-request-payer") for headers in bucket.seen] == [
            "requester" if payer and kind != "anonymous" else None
        ] * len(bucket.keys)
        if way == "wire":
            again = pickle.loads(pickle.dumps(source))
            assert rows(again, "ä b&+%/c=", "ä b&+%/c=/*~!'()1")
        assert SECRET not in repr(source)
        assert SECRET not in repr(choose(source))


def test_servers_are_reached_by_addresses_of_the_sixth_version(way: str) -> None:
    try:
        serving = signed_bucket("static", host="::1")
        bucket = serving.__enter__()
    except OSError:
        pytest.skip("there is no such address here")
    try:
        source = parchunk.Source(bucket.store(**KINDS["static"]), "", "s3://b", listing=way)
        assert [key for key, _, _ in rows(source, "p")] == bucket.keys
    finally:
        serving.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["static", "session token"])
def test_credentials_of_the_environment_are_used(
    way: str, kind: str, identity: Identity | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KINDS[kind].items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    with signed_bucket(kind, identity=identity) as bucket:
        source = parchunk.Source(bucket.store(), "", "s3://b", listing=way)
        assert rows(source, "p")
        automatic = replace(source, listing="auto")
        assert choose(automatic).way == "wire"


def test_credentials_of_the_environment_are_used_in_any_spelling(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with signed_bucket("session token") as bucket:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_Secret_Access_Key": SECRET,
            "AWS_TOKEN": SESSION,
            "AWS_Endpoint": bucket.endpoint,
            "AWS_REGION": "eu-west-9",
            "AWS_Allow_Http": "true",
        }.items():
            monkeypatch.setenv(name, value)
        assert rows(parchunk.Source(S3Store("b"), "", "s3://b", listing=way), "p")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
        found = choose(parchunk.Source(S3Store("b"), "", "s3://b"))
        assert str(found).startswith("obstore (the environment says session_token twice")


def test_profiles_are_read_where_told_to_and_left_to_obstore_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Obstore reads no profiles: metadata would be asked for by another, or by nobody."""
    file = tmp_path / "credentials"
    file.write_text(f"[mine]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    with signed_bucket("static") as bucket:
        source = parchunk.Source(bucket.store(), "", "s3://b", listing="wire")
        assert len(rows(source, "p")) == len(bucket.keys)
        assert str(choose(replace(source, listing="auto"))).startswith("obstore (S3 endpoint with")
        monkeypatch.setenv("AWS_PROFILE", "another")
        unknown = parchunk.Source(bucket.store(), "", "s3://b", listing="wire")
        with pytest.raises(PageError, match=r"no credentials: .* profile \(another\)") as refused:
            rows(unknown, "p")
        assert refused.value.final


def test_wrong_secrets_are_denied_and_not_repeated(way: str) -> None:
    with signed_bucket("static") as bucket:
        wrong = bucket.store(access_key_id=KEY, secret_access_key="not-the-secret")
        source = parchunk.Source(wrong, "", "s3://b", listing=way)
        with pytest.raises(PageError) as refused:
            rows(source, "p")
    assert refused.value.final
    assert refused.value.reason.startswith("permission denied (SignatureDoesNotMatch)")
    assert "not-the-secret" not in refused.value.reason
    assert KEY not in refused.value.reason


def test_a_web_identity_is_a_role_for_a_while(
    way: str,
    identity: Identity | None,
    certificate: Identity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens of a cluster's workloads: a service of AWS's gives credentials for them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "token").write_text("the token")
    role = "arn:aws:iam::123456789012:role/reader"
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    # Botocore's own client has its own variable for whom it believes.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.authority))
    with token_service(certificate) as service, signed_bucket("session token", None, identity) as b:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.endpoint)
        source = parchunk.Source(b.store(), "", "s3://b", listing=way)
        assert [key for key, _, _ in rows(source, "p")] == b.keys
        (asked,) = service.asked
        assert (asked["RoleArn"], asked["WebIdentityToken"]) == (role, "the token")
        if way == "wire":
            assert str(choose(replace(source, listing="auto"))).endswith(", web identity)")
            assert SECRET not in repr(choose(source))
            service.refuses = True
            another = parchunk.Source(b.store(region="eu-west-9"), "", "s3://b", listing="wire")
            with pytest.raises(PageError, match=r"credentials cannot be had: .*InvalidIdentity"):
                rows(another, "p")


@pytest.mark.parametrize("lasts", [None, 3600, 60])
def test_a_provider_of_the_store_is_asked(
    way: str, lasts: int | None, identity: Identity | None
) -> None:
    asked = []

    def provider() -> dict[str, Any]:
        asked.append(1)
        ends = lasts and datetime.now(UTC) + timedelta(seconds=lasts)
        return {
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "token": SESSION,
            "expires_at": ends,
        }

    with signed_bucket("session token", identity=identity) as bucket:
        store = bucket.store(credential_provider=provider)
        source = parchunk.Source(store, "", "s3://b", listing=way)
        assert [key for key, _, _ in rows(source, "p")] == bucket.keys
        assert SECRET not in repr(choose(source))
        if way == "wire":
            # One that is about to end is not used for two requests.
            assert (len(asked) >= 2) is (lasts == 60)
            assert str(choose(replace(source, listing="auto"))).endswith(", provider)")
        public = bucket.store(credential_provider=provider, skip_signature=True)
        with pytest.raises(PageError, match="permission denied"):
            rows(parchunk.Source(public, "", "s3://b", listing=way), "p")
        assert "authorization" not in bucket.seen[-1]


def test_a_provider_that_fails_is_one_line_and_one_that_is_awaited_obstores() -> None:
    def broken() -> Any:
        raise RuntimeError("no luck\nat all")

    async def awaited() -> Any: ...

    with signed_bucket("static") as bucket:
        failing = parchunk.Source(
            bucket.store(credential_provider=broken), "", "s3://b", listing="wire"
        )
        with pytest.raises(PageError) as refused:
            rows(failing, "p")
        assert (refused.value.reason, refused.value.final) == ("no credentials: no luck", False)
        left = parchunk.Source(bucket.store(credential_provider=awaited), "", "s3://b")
        assert str(choose(left)).startswith("obstore (the store has a credential provider that")


@pytest.mark.parametrize("path", ["", "/below/a path"])
@pytest.mark.parametrize("virtual", [False, True])
def test_endpoints_of_both_styles(way: str, virtual: bool, path: str) -> None:
    with signed_bucket("static") as bucket:
        options = KINDS["static"] | {"virtual_hosted_style_request": virtual}
        named = quote(path + ("/b" if virtual else ""))
        store = bucket.store(**options, endpoint=f"{bucket.endpoint}{named}")
        source = parchunk.Source(store, "", "s3://b", listing=way)
        assert rows(source, "p")
        assert bucket.paths[0] == quote(path) + "/b"


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("region", [None, "eu-west-3"])
def test_of_aws_the_same_host_is_asked(virtual: bool, region: str | None) -> None:
    """AWS is not to be had here; of whom obstore would ask, its signed URLs tell."""
    options = KINDS["static"] | {"virtual_hosted_style_request": virtual}
    store = S3Store("my-bucket", **options, **({"region": region} if region else {}))
    choice = choose(parchunk.Source(store, "", "s3://my-bucket", listing="wire"))
    assert choice.dialect is not None
    origin = choice.dialect.origin
    assert (origin.encrypted, origin.port) == (True, None)
    path = choice.dialect.target("p/", None, None).partition("?")[0].rstrip("/")
    signed = obstore.sign(store, "GET", "p", timedelta(hours=1))
    assert signed.startswith(f"https://{origin.host}{path}/p?")
