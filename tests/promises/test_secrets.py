"""Planted keys, tokens, signatures and passwords are nowhere in what is written or said."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zarr
from instruments.s3_server import S3Bucket
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import S3Store

import parchunk
from parchunk.cli.main import run
from parchunk.stores import opening
from parchunk.stores.redaction import holds_credentials, redact

PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED01",
    "AWS_SECRET_ACCESS_KEY": "planted/SECRET+access0key1abcdefghijklmn",
    "AWS_SESSION_TOKEN": "plantedSessionTokenIQoJb3JpZ2luX2VjE",
    "AZURE_STORAGE_ACCOUNT_KEY": "cGxhbnRlZC1henVyZS1hY2NvdW50LWtleQ==",
    "AZURE_STORAGE_SAS_KEY": "sv=2024&sig=plantedSasSignature%3D",
    "GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "planted-google-key"}',
}
WORD = "pLaNtEdInHere42"
STORE = zarr_store([("t", (2500,), (1,), ("time",))])


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(opening.RETRY, "max_retries", 1)
    monkeypatch.setitem(opening.RETRY, "retry_timeout", timedelta(seconds=2))


@pytest.fixture
def watched(
    planted: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: Any
) -> Iterator[list[str]]:
    """Look through everything said and written when the test is over."""
    caplog.set_level(0)
    said: list[str] = []
    yield said
    captured = capfd.readouterr()
    said += [captured.out, captured.err, caplog.text]
    leaks = [*PLANTED.values(), WORD, WORD.lower(), "plantedSas", "planted-google"]
    for path in tmp_path.rglob("*"):
        said.append(str(path))
        if path.is_file():
            said.append(path.read_bytes().decode("latin-1"))
    everything = "\n".join(said)
    assert len(everything) > 50, "a check that sees nothing cannot fail"
    assert not [leak for leak in leaks if leak in everything]
    assert "Traceback" not in everything


def options(endpoint: str, *more: str) -> list[str]:
    return [
        f"--store-option={option}" for option in (f"endpoint={endpoint}", "region=us-east-1", *more)
    ]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_after_success(watched: list[str], tmp_path: Path, as_json: list[str]) -> None:
    with serve(STORE, process=False) as server:
        out, source = str(tmp_path / "out"), f"s3://{server.bucket}"
        given = options(server.endpoint, f"session_token={WORD}", f"proxy_excludes={WORD}.invalid")
        assert run(["plan", source, *given, *as_json]) == 0
        assert run(["build", source, out, *given, *as_json]) == 0
        assert run(["status", out, *as_json]) == 0
        report = str(tmp_path / "report.html")
        assert run(["audit", out, "--report", report, *as_json]) == 0
        assert run(["audit", out, "--against-source", *given, *as_json]) == 0
        for query in ("FROM refs LIMIT 3", "FROM receipts", "FROM arrays", "FROM regions"):
            assert run(["sql", out, query, *as_json]) == 0
        # What the connection holds of the environment: settings, secrets, logs.
        for table in ("duckdb_settings", "duckdb_secrets", "duckdb_logs", "duckdb_variables"):
            run(["sql", out, f"FROM {table}()", *as_json])
        run(["sql", out, "SELECT getenv('AWS_SECRET_ACCESS_KEY')", *as_json])
        assert run(["sql", out, "--views"]) == 0
        assert server.counts()["LIST"] > 0


def test_after_an_import(watched: list[str], tmp_path: Path) -> None:
    icechunk = pytest.importorskip("icechunk", reason="the extra 'icechunk' is not installed")
    icechunk.set_logs_filter("error")
    with serve(STORE, process=False) as server:
        given = options(server.endpoint, f"session_token={WORD}")
        out, repo = str(tmp_path / "out"), str(tmp_path / "repo")
        assert run(["build", f"s3://{server.bucket}", out, *given]) == 0
        assert run(["to-icechunk", out, repo]) == 0
        assert run(["to-icechunk", out, repo, "--json"]) == 0
        assert run(["audit", out, "--icechunk", repo]) == 0
        assert run(["to-icechunk", out, f"s3://user:{WORD}@bucket/repo"]) == 2
        assert run(["to-icechunk", out, f"s3://bucket/repo?X-Amz-Signature={WORD}", "--json"]) == 2


@pytest.mark.s3
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_remote_outputs(
    bucket: S3Bucket, watched: list[str], tmp_path: Path, as_json: list[str]
) -> None:
    given = ["region=us-east-1", f"endpoint={bucket.endpoint}", "allow_http=true"]
    given += [f"secret_access_key={WORD}", f"session_token={WORD}"]
    hidden = [f"--output-option={option}" for option in given]
    with serve(STORE, process=False) as server:
        source, out = f"s3://{server.bucket}", f"s3://{bucket.name}/refs"
        arguments = ["build", source, out, *options(server.endpoint), *hidden, *as_json]
        assert run(arguments) == 0
        assert run(["status", out, *hidden, *as_json]) == 0
        assert run(["sql", out, "SELECT count(*) FROM refs", *hidden, *as_json]) == 0
        report = str(tmp_path / "report.html")
        assert run(["audit", out, "--report", report, *hidden, *as_json]) == 0
        # Refused: a plan of another region length over the same OUT.
        assert run([*arguments, "--region", "7"]) == 2
    (tmp_path / "out").mkdir()
    for page in bucket.store().list():
        for item in page:
            data = bytes(bucket.store().get(item["path"]).bytes())
            (tmp_path / "out" / item["path"].replace("/", "_")).write_bytes(data)
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_sources_in_python(watched: list[str], tmp_path: Path) -> None:
    with serve(STORE, process=False) as server:
        store = S3Store(
            server.bucket,
            endpoint=server.endpoint,
            region="us-east-1",
            secret_access_key=WORD,
            access_key_id=WORD,
            session_token=WORD,
            client_options={"allow_http": True},
        )
        source = parchunk.Source(store=store, url=f"s3://{server.bucket}")
        result = parchunk.build(parchunk.plan(source), str(tmp_path / "out"))
        watched += [repr(source), repr(result), repr(parchunk.plan(source))]
        for url in (f"s3://me:{WORD}@bucket", f"https://host/x?sig={WORD}"):
            with pytest.raises(parchunk.ParchunkError) as caught:
                parchunk.plan(parchunk.Source(store=store, url=url))
            watched.append(str(caught.value))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("403", times=None),
        Fault("403", times=None, on="GET"),
        Fault("500", times=None, on="GET"),
        Fault("501", times=None),
    ],
    ids=lambda fault: f"{fault.on} {fault.kind}",
)
def test_after_refusals(watched: list[str], tmp_path: Path, fault: Fault) -> None:
    with serve(STORE, faults=[fault], process=False) as server:
        given = options(server.endpoint, f"session_token={WORD}")
        arguments = ["build", f"s3://{server.bucket}", str(tmp_path / "out"), *given]
        assert run([*arguments, "--attempts", "1"]) == 2
        assert run([*arguments, "--attempts", "1", "--json"]) == 2


def test_when_nobody_answers(watched: list[str], tmp_path: Path) -> None:
    given = options("http://127.0.0.1:9", f"secret_access_key={WORD}")
    assert run(["build", "s3://bucket/store", str(tmp_path / "out"), *given, "--json"]) == 2
    output = [option.replace("--store", "--output") for option in given]
    assert run(["status", "s3://bucket/refs", *output]) == 2


@pytest.mark.parametrize(
    "source",
    [
        f"s3://user:{WORD}@bucket/store",
        f"s3://AKIA:{WORD}/with/slashes@bucket/store",
        f"s3://bucket/store?X-Amz-Signature={WORD}",
        f"s3://bucket/store?versionId=1&x-amz-security-token={WORD}",
        f"s3://?sig={WORD}",
        f"https://user:{WORD}@host/store?sig={WORD}",
        f"ftp://user:{WORD}@host/store?token={WORD}",
        f"az://container/store?sv=2024&sig={WORD}",
    ],
)
def test_urls_with_secrets(watched: list[str], tmp_path: Path, source: str) -> None:
    out = str(tmp_path / "out")
    for arguments in (["plan", source], ["build", source, out], ["build", str(tmp_path), source]):
        assert run(arguments) == 2
        assert run([*arguments, "--json"]) == 2
    assert run(["status", source]) == 2


@pytest.mark.parametrize(
    "option",
    [
        f"timeout={WORD}",
        f"allow_http={WORD}",
        f"conditional_put={WORD}",
        f"checksum_algorithm={WORD}",
        f"user_agent={WORD}\n",
        f"endpoint=http://user:{WORD}@127.0.0.1:1",
        f"endpoint=http://127.0.0.1:1/?sig={WORD}",
        f"proxy_url=http://user:{WORD}@",
        f"{WORD}=x",
        f"no such option {WORD}=x",
        WORD,
        f"={WORD}",
    ],
)
def test_options_that_do_not_fit(watched: list[str], tmp_path: Path, option: str) -> None:
    assert run(["build", "s3://bucket/store", "refs", "--store-option", option]) == 2
    assert run(["status", "s3://bucket/refs", "--output-option", option]) == 2
    # The same, mistyped: click's own errors are looked through too.
    assert run(["build", "s3://bucket/store", "--store-option", option, "a", "b", "c"]) == 2
    assert run(["plan", str(tmp_path), f"--store-option={option}"]) == 2


@pytest.mark.parametrize("end", ["?", "#", "#a?", "?a#"])
def test_what_follows_the_path_of_a_url(watched: list[str], tmp_path: Path, end: str) -> None:
    assert run(["plan", f"http://127.0.0.1:1/s.zarr{end}{WORD}", "--probe"]) == 2


@pytest.mark.parametrize(
    "address",
    [
        f"tcp://me:{WORD}@127.0.0.1:1",
        f"me:{WORD}@127.0.0.1:1",
        f"me:{WORD}@127.0.0.1/x",
        f"//me:{WORD}@127.0.0.1:1",
        f"htps:/{WORD}@127.0.0.1/x",
        f"tcp://{WORD}@127.0.0.1",
    ],
)
def test_addresses_of_schedulers(watched: list[str], tmp_path: Path, address: str) -> None:
    pytest.importorskip("distributed")
    write = [str(tmp_path / "s"), str(tmp_path / "out"), "--no-progress"]
    zarr.open_group(write[0], mode="w", zarr_format=2).create_array(
        "t", shape=(2,), chunks=(1,), dtype="i4"
    )
    assert run(["build", *write, "--dask", address]) == 2


def test_users_of_schedulers_are_no_words_of_the_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    write = [str(tmp_path / "s"), str(tmp_path / "out"), "--no-progress"]
    zarr.open_group(write[0], mode="w").create_array("t", shape=(2,), chunks=(1,), dtype="i4")
    assert run(["build", *write, "--dask", "tcp://dask:scheduler@127.0.0.1:1"]) == 2
    assert "--dask tcp://***@127.0.0.1:1: no scheduler answers" in capsys.readouterr().err


def test_environment_that_does_not_fit(
    watched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", WORD)
    assert run(["plan", "s3://bucket/store"]) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET s3://me:it@bucket/x", "GET s3://***@bucket/x"),
        ("https://h/x?sig=abc&y=1", "https://h/x?sig=***&y=1"),
        ("https://h/x#access_token=abc&y=1", "https://h/x#access_token=***&y=1"),
        ("https://h/x?y=1&X-Amz-Credential=abc/def", "https://h/x?y=1&X-Amz-Credential=***"),
        ("aws_secret_access_key='abc'", "aws_secret_access_key='abc'"),
        ("t/c/0/1 at s3://bucket/a@b", "t/c/0/1 at s3://***@b"),
        ("nothing to hide: key t/0", "nothing to hide: key t/0"),
        ("give --store-option skip_signature=true", "give --store-option skip_signature=true"),
        ("x?aws_skip_signature=true&sig=a", "x?aws_skip_signature=true&sig=***"),
        ("signature=true", "signature=true"),
        (" signature=abc", " signature=***"),
        (
            "abfs://box@acc.dfs.core.windows.net/a: no",
            "abfs://box@acc.dfs.core.windows.net/a: no",
        ),
        ("abfs://u:p@box@acc.dfs.core.windows.net/a", "abfs://***@acc.dfs.core.windows.net/a"),
        ("abfs://me@evil.example/a", "abfs://***@evil.example/a"),
        ("at /d/https:/me:pw@host/x: no", "at /d/https:/***@host/x: no"),
        ("https:/tok@host/x", "https:/***@host/x"),
        ("https:me:p@w@host/x", "***@host/x"),
        ("at //me:pw@host/x", "at //***@host/x"),
        ("at /d/me:pw@host/x", "at /d/***@host/x"),
        ("rain: the chunk t@1, /d/a@b/c", "rain: the chunk t@1, /d/a@b/c"),
        ("temp:2m@850: has 'temp:2m@850'", "temp:2m@850: has 'temp:2m@850'"),
        ("at /d/temp:2m@850/c/0, temp:2m@85", "at /d/temp:2m@850/c/0, temp:2m@85"),
        ("me:pw@850.example/x me:pw@850-a", "***@850.example/x ***@850-a"),
        ("me:pw@2130706433 me:pw@3com:80", "***@2130706433 ***@3com:80"),
        ("me:p@55@host me:p@55/w@host", "***@host ***@55/w@host"),
        ("s3://me:pw@850/x //me:pw@850", "s3://***@850/x //***@850"),
    ],
)
def test_what_is_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("build with them", ["it"], "build with them"),
        ("as it is", ["it"], "as *** is"),
        ("etag: an etags", ["etag"], "***: an etags"),
        ("xAKIA123y", ["AKIA123"], "x***y"),
        ("whole-secret secret", ["secret", "whole-secret"], "*** ***"),
        ("a*b", ["*"], "a***b"),
        ("12345 and 123", ["123"], "12345 and ***"),
        ("nothing", [""], "nothing"),
    ],
)
def test_secrets_are_no_parts_of_words(text: str, secrets: list[str], shown: str) -> None:
    assert redact(text, secrets) == shown


@pytest.mark.parametrize(
    "option", ["conditional_put=it", "conditional_put=them", "user_agent=with"]
)
def test_advice_survives_short_options(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["build", str(tmp_path / "none"), str(tmp_path / "out"), "--store-option", option]
    assert run(arguments) == 2
    assert "leave it out" in capsys.readouterr().err


def test_urls_without_credentials() -> None:
    assert not holds_credentials("s3://bucket/a@b/store?version=1")
    assert not holds_credentials("http://127.0.0.1:9000")
    assert holds_credentials("http://me@127.0.0.1:9000")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_files_are_created_under_the_umask(tmp_path: Path, umask: int) -> None:
    with serve(STORE, process=False) as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "parchunk", "build", f"s3://{server.bucket}", "out"),
                *options(server.endpoint, "skip_signature=true"),
            ],
            cwd=tmp_path,
            umask=umask,
            env=os.environ | {"PYTHONPATH": str(Path(parchunk.__file__).parents[1])},
        )
    assert done.returncode == 0
    found = list((tmp_path / "out").rglob("*"))
    assert len(found) > 5
    for path in found:
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
