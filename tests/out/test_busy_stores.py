"""Writes to a store that says it is too busy become fewer; what is final is not tried again."""

from __future__ import annotations

import math
import os
from http.server import BaseHTTPRequestHandler

import pytest
from obstore.store import S3Store
from tests.loopback import serving

from parchunk.errors import OutputError
from parchunk.out.remote import RemoteOutput
from parchunk.stores.opening import Location
from parchunk.stores.same_store import SameStore
from parchunk.stores.throttle import Throttle, throttle_of


class Bucket(BaseHTTPRequestHandler):
    """Takes what is put, once it has given all ``answers``."""

    answers: list[int]
    asked: int
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        Bucket.asked += 1
        data = self.rfile.read(int(self.headers["Content-Length"]))
        code = Bucket.answers.pop(0) if Bucket.answers else 200
        if code == 200:
            Bucket.kept[self.path] = data
        self.send_response(code)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def put(*answers: int) -> tuple[Throttle, int]:
    """Put an object; return the throttle of writes, and how often it was asked."""
    Bucket.answers, Bucket.asked, Bucket.kept = list(answers), 0, {}
    with serving(Bucket) as endpoint:
        store = S3Store(
            "bucket", endpoint=endpoint, region="us-east-1", skip_signature=True,
            client_options={"allow_http": True},
        )  # fmt: skip
        throttle = throttle_of(SameStore(store), "out, written", math.inf, os.getpid())
        output = RemoteOutput(Location("s3://bucket/out"), store, "out")
        try:
            output.put("t/refs.0.parq", b"rows")
        finally:
            asked = Bucket.asked
    assert Bucket.kept == {"/bucket/out/t/refs.0.parq": b"rows"}
    return throttle, asked


def test_a_store_that_is_too_busy_is_sent_fewer_at_a_time() -> None:
    throttle, asked = put()
    assert (throttle.most, asked) == (math.inf, 1)
    for busy in (503, 429):
        throttle, asked = put(busy)
        assert (throttle.most, asked) == (2.0, 2)  # 1, and one more once that was answered


def test_what_broke_in_passing_is_put_again_and_makes_none_wait() -> None:
    throttle, asked = put(500, 502)
    assert (throttle.most, asked) == (math.inf, 3)


def test_what_is_refused_is_not_put_again() -> None:
    with pytest.raises(OutputError, match=r"refs\.0\.parq"):
        put(403)
    assert Bucket.asked == 1
