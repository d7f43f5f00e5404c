"""Answers read straight off the socket: what Python's own client reads, or an error, as there."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parchunk.listing.wire.connection import Connection

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"<page/>" * 4_000
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
ANSWERS = {
    "usual": OK + LENGTH + b"\r\n" + BODY,
    "small letters": OK + b"content-length:%d \r\nETag: x\r\n\r\n" % len(BODY) + BODY,
    "kept": OK + b"Connection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY,
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "no phrase": b"HTTP/1.1 200 \r\n" + LENGTH + b"\r\n" + BODY,
    "chunks": OK
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n",
    "chunks and a length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "until it ends": OK + b"\r\n" + BODY,
    "closing": OK + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY,
    "older": b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "to be continued": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + b"\r\n" + BODY,
    "refused": b"HTTP/1.1 403 Forbidden\r\nX-Amz-Bucket-Region: r\r\nContent-Length: 3\r\n\r\nno!",
    "folded": OK + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "folded length": OK + b"Content-Length: 3\r\n 4: x\r\n\r\nabc",
    "no name": OK + b"T x: a\r\nContent-Length: 3\r\n\r\nabcde",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "lengths that differ": OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
    "a coding and a length": OK + b"Transfer-Encoding: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    "hidden in a line": OK
    + b"X: a\nTransfer-Encoding: chunked\r\nContent-Length: 10\r\n\r\n3\r\nabc\r\n"
    + b"0\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "refused, and more": b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!HTTP/1.1 200 OK\r\n\r\n",
    "odd length": OK + b"Content-Length: 0x3\r\n\r\nabc",
    "long head": OK
    + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(30))
    + LENGTH
    + b"\r\n"
    + BODY,
    "other lines": OK.replace(b"\r", b"") + b"Content-Length: 3\n\nabc",
    "more than it says": OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n",
    "too large": OK + b"Content-Length: 99999999\r\n\r\nabc",
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n",
    "cut head": OK + b"Content-Le",
    "cut body": OK + LENGTH + b"\r\n" + BODY[:20_000],
    "cut chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n300\r\nabc",
}
#: What Python's own client reads as if it were whole, or without looking.
_STRICTER = {"more than it says", "too large"}
#: What it asks again although more may come, which would be the answer to that.
_UNSURE = {
    "a coding and a length",
    "chunks and a length",
    "hidden in a line",
    "hints",
    "lengths that differ",
    "refused, and more",
    "two lengths",
}

#: Of which nobody knows that more comes before it does: who asks again looks, then.
_LATER = {"refused, and more"}


@contextlib.contextmanager
def sent(pieces: list[bytes]) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection over which so much has come, piece by piece, when it has been asked."""
    here, there = socket.socketpair()

    def send() -> None:
        there.recv(10_000)
        with contextlib.suppress(OSError):  # who has read enough hangs up
            for piece in pieces:
                there.sendall(piece)
            there.shutdown(socket.SHUT_WR)

    connection = http.client.HTTPConnection("store.example", 8080)
    connection.sock = here
    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield connection
    finally:
        connection.close()
        sending.join()
        there.close()


def read(pieces: list[bytes]) -> tuple[object, ...]:
    with sent(pieces) as made:
        connection = Connection(made)
        connection.send("/b?x=1", {"User-Agent": "u"})
        connection.begin()
        answer, keep = connection.answer(lambda: None, lambda: None)
        return answer.status, answer.phrase, answer.body, keep


def oracle(pieces: list[bytes]) -> tuple[object, ...]:
    with sent(pieces) as made:
        made.request("GET", "/b?x=1")
        response = made.getresponse()
        body = response.read()
        phrase = "".join(filter(str.isprintable, response.reason))
        return response.status, phrase, body, not response.will_close


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - _STRICTER))
def test_answers_are_those_of_pythons_own_client(name: str) -> None:
    whole = ANSWERS[name]
    for pieces in ([whole], [whole[at : at + 1] for at in range(200)] + [whole[200:]]):
        try:
            expected = oracle(pieces)
        except (OSError, http.client.HTTPException, ValueError):
            with pytest.raises((OSError, http.client.HTTPException, ValueError)):
                read(pieces)
        else:
            *answer, keep = read(pieces)
            assert answer == [*expected[:3]]
            if name not in _LATER or pieces == [whole]:
                assert keep == (expected[3] and name not in _UNSURE)


def test_what_answers_more_than_it_says_is_not_asked_again() -> None:
    assert read([ANSWERS["more than it says"]]) == (200, "OK", b"abc", False)
    with pytest.raises(ValueError, match="too large for a page"):
        read([ANSWERS["too large"]])
    # Nor what announces a body where there is none, and may send it yet.
    begun = b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"
    assert read([begun]) == (204, "No Content", b"", False)


def test_what_a_server_says_is_no_command_of_a_terminal() -> None:
    told = b"HTTP/1.1 500 \x1b[2J\x07 Oh no\r\nContent-Length: 0\r\n\r\n"
    assert read([told]) == (500, "[2J Oh no", b"", True)


@settings(max_examples=40)
@given(st.sampled_from(sorted(ANSWERS.keys() - _STRICTER)), st.data())
def test_a_broken_head_is_read_alike(name: str, data: st.DataObject) -> None:
    whole = bytearray(ANSWERS[name])
    if whole:
        at = data.draw(st.integers(0, min(len(whole), 80) - 1))
        whole[at] = data.draw(st.sampled_from(b" \r\n:0a\x00\xff"))
    try:
        expected = oracle([bytes(whole)])
    except (OSError, http.client.HTTPException, ValueError):
        with pytest.raises((OSError, http.client.HTTPException, ValueError)):
            read([bytes(whole)])
    else:
        assert read([bytes(whole)])[:3] == expected[:3]


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\x00"])
def test_no_second_request_can_be_put_into_one(target: str) -> None:
    with sent([]) as made:
        with pytest.raises(ValueError, match="none may have"):
            Connection(made).send(target, {})
        with pytest.raises(ValueError, match="none may have"):
            Connection(made).send("/a", {"X": "a\r\nb"})
        made.sock.sendall(b"over")


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("store.example", 80, "store.example"),
        ("store.example", 8080, "store.example:8080"),
        ("::1", 9000, "[::1]:9000"),
        ("bücher.example", 80, "xn--bcher-kva.example"),
    ],
)
def test_hosts_are_named_as_by_pythons_own_client(host: str, port: int, said: str) -> None:
    for ask in ("ours", "theirs"):
        here, there = socket.socketpair()
        with here, there:
            made = http.client.HTTPConnection(host, port)
            made.sock = here
            if ask == "ours":
                Connection(made).send("/", {})
            else:
                made.request("GET", "/")
            assert f"\r\nHost: {said}\r\n" in there.recv(10_000).decode()
