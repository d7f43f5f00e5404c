"""Errors of stores are told by what the server said, not by numbers and words in keys or times."""

import os
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import zarr
from instruments.synthetic.faults import Fault
from instruments.synthetic.server import serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.exceptions import GenericError
from obstore.store import S3Store
from tests.loopback import serving

import parchunk
from parchunk.errors import SourceError
from parchunk.stores.explaining import explain, is_final

STORE = zarr_store([("t", (20, 4), (1, 1), ("time", "x"))])
KEYS = ["t/403.1", "t/status: 403 Forbidden", "t/NoSuchBucket.0", "t/inner: Loop", "t/Connection"]


def error_of(kind: str, offset: str = "t/1.1") -> Exception:
    with serve(STORE, faults=[Fault(kind, times=None)], process=False) as server:  # type: ignore[arg-type]
        store = S3Store(
            server.bucket, **(server.store_kwargs() | {"retry_config": {"max_retries": 0}})
        )
        with pytest.raises(Exception, match="Generic") as raised:
            list(store.list("t/", offset=offset))
    return raised.value


@pytest.mark.parametrize("key", KEYS)
def test_words_in_keys_are_no_reason(key: str) -> None:
    error = error_of("500", key)
    assert not is_final(error)
    assert "permission" not in explain(error)
    assert "bucket: check" not in explain(error)


@pytest.mark.parametrize("took", ["403.2ms", "401.77µs", "403ms", "401s"])
def test_times_are_no_status(took: str) -> None:
    error = error_of("500")
    text, count = re.subn(r"[\d.]+(ms|µs)", took, str(error))
    assert count >= 2
    assert not is_final(GenericError(text))
    assert "permission" not in explain(GenericError(text))
    # ... and the status is found beside them.
    assert is_final(GenericError(re.sub(r"[\d.]+(ms|µs)", took, str(error_of("403")))))


def test_what_the_server_said() -> None:
    assert is_final(error_of("403"))
    assert explain(error_of("403")).startswith("permission denied (AccessDenied): check the cred")
    for kind in ("500", "503", "429", "reset"):
        assert not is_final(error_of(kind))
        assert "\n" not in explain(error_of(kind))


@pytest.mark.parametrize("name", [b"x\xffy", b"x\ny", b"x\ty", b"\x7f"])
def test_a_name_that_is_no_key(tmp_path: Path, name: bytes) -> None:
    """One such file stops a listing for good: to run it again is no remedy, to rename it is."""
    group = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2)
    group.create_array("a", shape=(4,), chunks=(2,), dtype="i4")[...] = 1
    odd = os.fsencode(tmp_path / "s/a") + b"/" + name
    with open(odd, "w"):  # noqa: PTH123 (a Path's name is no bytes)
        pass
    with pytest.raises(
        parchunk.ListingError, match=r"failed at the first attempt: .*/s/a/.*rename"
    ):
        parchunk.build(str(tmp_path / "s"), tmp_path / "out")
    os.rename(odd, tmp_path / "s/a/renamed")  # noqa: PTH104
    assert parchunk.build(str(tmp_path / "s"), tmp_path / "out").strays == 1


def test_nobody_there() -> None:
    store = S3Store(
        "b",
        endpoint="http://127.0.0.1:1",
        skip_signature=True,
        region="us-east-1",
        retry_config={"max_retries": 0},
        client_options={"allow_http": True},
    )
    with pytest.raises(GenericError) as raised:
        list(store.list("t"))
    assert explain(raised.value).startswith("no connection to the store")
    assert not is_final(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", "the bucket is in another region"),
        (307, b"", "the bucket is in another region than was asked: give --store-option region="),
        (
            400,
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>",
            "the bucket is in region eu-west-3: give --store-option region=eu-west-3",
        ),
    ],
)
def test_a_bucket_in_another_region(status: int, body: bytes, said: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as endpoint, pytest.raises(SourceError) as refused:
        parchunk.plan("s3://b/s.zarr", store_options={"endpoint": endpoint, "skip_signature": "1"})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
