"""Questions side by side: answers in order, the first failure, and as many threads as are said."""

from __future__ import annotations

import threading
import time

import pytest

from parchunk.metadata.threads import AT_ONCE, in_threads


def test_answers_are_in_the_order_of_their_items_whoever_is_first() -> None:
    last_is_known = threading.Event()

    def answer(item: int) -> int:
        if item == AT_ONCE - 1:
            last_is_known.set()
        # All threads are at work at the same time: nobody else would let the first one go on.
        assert last_is_known.wait(60)
        return -item

    assert in_threads(answer, range(1_000)) == [-item for item in range(1_000)]


@pytest.mark.parametrize("count", [0, 1])
def test_few_are_asked_for_in_the_thread_that_wants_them(count: int) -> None:
    assert in_threads(lambda _: threading.get_ident(), range(count)) == (
        [threading.get_ident()] * count
    )


def test_the_first_item_that_fails_fails_all_and_those_far_behind_are_not_asked() -> None:
    asked: list[int] = []
    later_has_failed = threading.Event()

    def answer(item: int) -> int:
        asked.append(item)
        if item == 3:
            assert later_has_failed.wait(60)
            raise ValueError("3")
        if item == 5:
            later_has_failed.set()
            raise ValueError("5")
        time.sleep(0.001)
        return item

    with pytest.raises(ValueError, match=r"^3$"):
        in_threads(answer, range(100_000))
    assert len(asked) < 100_000


def test_what_is_no_exception_is_no_answer() -> None:
    """A panic in Rust is a BaseException in Python: what was asked then is not None."""

    class Panic(BaseException):
        pass

    def answer(item: int) -> int:
        if item == 3:
            raise Panic
        return item

    with pytest.raises(Panic):
        in_threads(answer, range(100))


def test_whoever_is_interrupted_waits_for_no_more_than_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = threading.Event()
    asked: list[int] = []

    def interrupted(*_: object) -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    def answer(item: int) -> None:
        asked.append(item)
        begun.set()
        time.sleep(0.001)

    monkeypatch.setattr("parchunk.metadata.threads.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_threads(answer, range(100_000))
    assert len(asked) < 100_000
