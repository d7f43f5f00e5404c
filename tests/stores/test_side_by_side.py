"""Questions side by side: answers in order, the first failure, and as many threads as are said."""

from __future__ import annotations

import threading
import time
from collections import Counter
from queue import SimpleQueue

import pytest

from parchunk.stores.answering import UnansweredError, Waiting, answer
from parchunk.stores.hanging import Hanging
from parchunk.stores.side_by_side import AT_ONCE, in_threads


def test_answers_are_in_the_order_of_their_items_whoever_is_first() -> None:
    last_is_known = threading.Event()

    def answer(item: int) -> int:
        if item == AT_ONCE - 1:
            last_is_known.set()
        # All threads are at work at the same time: nobody else would let the first one go on.
        assert last_is_known.wait(250)
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
            assert later_has_failed.wait(250)
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

    class Interrupted(SimpleQueue[Waiting]):
        def get(self, *_: object, **__: object) -> Waiting:
            assert begun.wait(250)
            raise KeyboardInterrupt

    def answer(item: int) -> None:
        asked.append(item)
        begun.set()
        time.sleep(0.001)

    monkeypatch.setattr("parchunk.stores.side_by_side.SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_threads(answer, range(100_000))
    assert len(asked) < 100_000


def test_what_has_no_answer_is_asked_for_once_more_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging, over, asked = Hanging(), threading.Event(), Counter[int]()
    for module in ("hanging", "answering"):  # not what other tests have left behind
        monkeypatch.setattr(f"parchunk.stores.{module}.HANGING", hanging)

    def ask(item: int) -> int:
        asked[item] += 1
        if item in (3, 40) and asked[item] == 1:
            answer(over.wait, 0.01)
        return answer(lambda: -item, 60)

    try:
        assert in_threads(ask, range(100)) == [-item for item in range(100)]
        assert asked == {item: 2 if item in (3, 40) else 1 for item in range(100)}
        assert hanging._count == 2
    finally:
        over.set()


def test_what_has_no_answer_again_fails() -> None:
    over = threading.Event()
    try:
        with pytest.raises(UnansweredError, match=r"no answer came for 0\.01 s"):
            in_threads(lambda item: answer(over.wait if item else int, 0.01), range(4))
    finally:
        over.set()


def test_a_store_that_hangs_altogether_is_told_after_one_wait() -> None:
    over, asked = threading.Event(), list[int]()

    def hang(item: int) -> None:
        asked.append(item)
        over.wait()

    try:
        with pytest.raises(UnansweredError, match=r"no answer came for 0\.01 s"):
            in_threads(lambda item: answer(lambda: hang(item), 0.01), range(100))
        assert len(asked) == AT_ONCE  # nothing was asked for again
    finally:
        over.set()


def test_nothing_is_lost_where_an_answer_comes_as_its_thread_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parchunk.stores.side_by_side._LOOK", 0.0001)
    asked = Counter[int]()

    def ask(item: int) -> int:
        asked[item] += 1
        wait = 0.001 if item < AT_ONCE - 2 and asked[item] == 1 else 60
        first = answer(lambda: time.sleep(0.0007 + item % 7 * 0.0001), wait)
        assert first is None
        return answer(lambda: -item, wait)

    for _ in range(20):
        asked.clear()
        assert in_threads(ask, range(40)) == [-item for item in range(40)]


def test_a_request_within_another_is_waited_for_by_itself() -> None:
    """As where a client asks for its credentials: both may hang."""

    def ask(item: int) -> int:
        return answer(lambda: answer(lambda: -item, 60), 60)

    assert in_threads(ask, range(20)) == [-item for item in range(20)]
