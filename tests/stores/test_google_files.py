"""Files of Google's credentials that only google-auth reads: who they are of is given tokens."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.listing.google_bucket import KEYS, Google, google
from tests.listing.ways import WAYS, rows

import parchunk
from parchunk.errors import InputError, MissingExtraError
from parchunk.listing.choosing import choose
from parchunk.listing.pages import PageError
from parchunk.stores.google_files import AmbiguousError, foreign_account, who_asks

OF_JWT = "urn:ietf:params:oauth:token-type:jwt"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCE_")) or name == "SERVICE_ACCOUNT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "home"))


def written(bucket: Google, folder: Path, **others: Any) -> str:
    """Write the file of an identity of another cloud, whose own token is in a file, too."""
    (folder / "token").write_text("of another cloud")
    said = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
        "subject_token_type": OF_JWT,
        "token_url": f"http://{bucket.giver}/token",
        "credential_source": {"file": str(folder / "token")},
    }
    (folder / "foreign.json").write_text(json.dumps(said | others))
    return str(folder / "foreign.json")


def opened(bucket: Google, way: str, **options: str) -> parchunk.Source:
    source = parchunk.Source.open("gs://b", {"base_url": bucket.bucket, "timeout": "9s"} | options)
    return replace(source, listing=way)


@pytest.mark.parametrize("place", ["option", "variable", "well-known"])
def test_an_identity_of_another_cloud_is_given_tokens(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.auth", reason="pip install 'parchunk[wire]'")
    folder = tmp_path
    if place == "well-known":
        folder = tmp_path / "home" / ".config" / "gcloud"
        folder.mkdir(parents=True)
    with google() as bucket:
        file, options = written(bucket, folder), {}
        if place == "option":
            options["application_credentials"] = file
        elif place == "variable":
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        else:
            Path(file).rename(folder / "application_default_credentials.json")
        for asked, way in enumerate(("obstore", "wire"), 1):
            source = pickle.loads(pickle.dumps(opened(bucket, way, **options)))
            assert [key for key, _, _ in rows(source, "p")] == KEYS
            assert len(bucket.issued) == asked
        assert bucket.issued[-1]["subject_token"] == "of another cloud"
        assert choose(source).dialect.kind == "provider"  # type: ignore[union-attr]


@pytest.mark.parametrize("way", WAYS)
def test_who_is_given_none_is_told_in_one_line(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.auth", reason="pip install 'parchunk[wire]'")
    with google() as bucket:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", written(bucket, tmp_path))
        bucket.refuses = 400
        with pytest.raises(PageError) as refused:
            rows(opened(bucket, way), "p")
    denied = "permission denied (UnauthenticatedError): check the credentials"  # and no word more
    assert ("invalid_grant" if way == "wire" else denied) in refused.value.reason
    assert "\n" not in refused.value.reason
    assert "of another cloud" not in refused.value.reason


@pytest.mark.parametrize("way", WAYS)
def test_public_data_need_no_identity(way: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("parchunk.extras.find_spec", lambda _: None)
    with google() as bucket:
        bucket.believed = None
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", written(bucket, tmp_path))
        assert len(rows(opened(bucket, way, skip_signature="true"), "p")) == len(KEYS)
        with pytest.raises(MissingExtraError, match=r"pip install 'parchunk\[wire\]'"):
            opened(bucket, way)


def test_no_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with google() as bucket:
        file = written(bucket, tmp_path, credential_source={"executable": {"command": "date"}})
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        with pytest.raises(InputError, match=r"foreign.json says to run a program for a token"):
            opened(bucket, "auto")


def test_who_asks_by_other_means_is_given_no_tokens_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.json").write_text('{"type": "external_account"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "foreign.json"))
    assert foreign_account("gs://b", {"skip_signature": "true"}) is not None
    for option in ("bearer_token", "service_account", "google_service_account_key"):
        assert foreign_account("gs://b", {"skip_signature": "true", option: "x"}) is None


def test_an_environment_that_names_two_is_left_to_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "one.json")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_PATH", "one.json")
    assert who_asks({}) == {"service_account": "one.json"}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_PATH", "another.json")
    with pytest.raises(AmbiguousError, match="names two of GOOGLE_SERVICE_ACCOUNT"):
        who_asks({})
    assert foreign_account("gs://b", {}) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"type": "another"}'])
def test_what_is_no_file_of_credentials_is_said(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.json").write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "odd.json"))
    with pytest.raises(InputError, match="gs://b cannot be opened: Generic GCS error"):
        parchunk.Source.open("gs://b", {"timeout": "9s"})
