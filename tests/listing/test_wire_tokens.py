"""Tokens that all threads of a process share: renewed before they end, by one of them."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from parchunk.listing.pages import PageError
from parchunk.listing.wire.tokens import EARLY, Token, Tokens


def test_one_of_many_threads_asks_and_all_hear_why_there_is_none() -> None:
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def fetch() -> Token:
        asked.append(1)
        begun.set()
        assert go_on.wait(250)
        raise PageError("no luck")

    tokens, heard = Tokens(fetch), []

    def ask() -> None:
        try:
            tokens.current()
        except PageError as error:
            heard.append(error.reason)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    assert begun.wait(250)
    for thread in threads[1:]:
        thread.start()
    while any(_is_elsewhere(thread) for thread in threads[1:]):
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert heard == ["no luck"] * 4
    assert len(asked) == 1


def _is_elsewhere(thread: threading.Thread) -> bool:
    """Whether a thread does not wait for a token that another asks for."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is None or frame.f_code is not Tokens.current.__code__


def test_a_token_that_still_lasts_is_used_where_no_other_can_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parchunk.listing.wire.tokens._REST", 60.0)  # whoever is slow
    found: list[Token | PageError] = [
        Token("first", time.monotonic() + EARLY / 2),
        PageError("not now"),
        Token("second"),
    ]

    def fetch() -> Token:
        one = found.pop(0)
        if isinstance(one, PageError):
            raise one
        return one

    tokens = Tokens(fetch)
    assert [tokens.current() for _ in range(3)] == ["first"] * 3
    assert len(found) == 2  # and nobody is asked again and again for one that lasts longer
    tokens = Tokens(fetch)
    with pytest.raises(PageError, match="not now"):
        tokens.current()
    assert [tokens.current() for _ in range(2)] == ["second"] * 2


@pytest.mark.parametrize("text", ["a b", "a\r\nX: y", "ä"])
def test_what_cannot_be_sent_is_no_token(text: str) -> None:
    with pytest.raises(PageError, match="what came as a token is none") as refused:
        Tokens(lambda: Token(text)).current()
    assert refused.value.final
