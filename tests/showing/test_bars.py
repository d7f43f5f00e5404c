"""Bars: one line of 80 columns, rates and what is left by what is done now, and notebooks."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import zarr

import parchunk
from parchunk.auditing.progress import AuditProgress
from parchunk.cli.progress import progress_shown
from parchunk.icechunk_import import ImportProgress
from parchunk.showing import bars
from parchunk.showing.bars import bar_shown
from parchunk.wording import short_count

LARGE = parchunk.Progress(
    partitions=123_456,
    partitions_total=987_654,
    chunks=600_000_000,
    chunks_total=1_000_000_000,
    listed=123_456_789,
    requests=123_457,
    retries=12,
    seconds=1e4,
)


class Terminal(io.StringIO):
    """What stderr is on a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """Every line that was ever drawn, without colours."""
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]", shown) if line.strip()]


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    """Make stderr a terminal: within the test, as pytest sets its own one before that."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock that rates are taken by."""
    held = SimpleNamespace(now=100.0)
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: held.now))
    return held


@pytest.mark.parametrize("columns", [40, 80])
def test_the_largest_numbers_fit_a_terminal(
    clock: SimpleNamespace, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch, columns)
    with bar_shown("importing") as show:
        for now in (LARGE, ImportProgress(9_999, 123_456, 9_999, 10**12, 3600.0), LARGE):
            clock.now += 60
            show(now)
        show(AuditProgress(10**9, 10**9))
        show(AuditProgress(7, 10**9))
        show(LARGE)
    assert terminal.lines
    assert max(map(len, terminal.lines)) <= columns
    assert any("60 %" in line for line in terminal.lines)


def test_what_was_done_before_makes_nothing_faster(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build that goes on with 60 % done, and does a tenth a minute, takes four minutes more."""
    with bar_shown("building", every=0.0) as show:
        resumed = {**vars(LARGE), "before": 600_000_000, "listed": 0}
        show(parchunk.Progress(**resumed))
        clock.now += 60
        # Nothing has a receipt yet: what is done is what was listed.
        show(parchunk.Progress(**{**resumed, "listed": 100_000_000}))
    first, second = capsys.readouterr().err.splitlines()
    assert first == ("123,456 of 987,654 partitions, 0 keys, 12 retries, 123,457 LIST requests")
    assert "100,000,000 keys, 1,666,666/s" in second
    assert second.endswith("about 3 min to go")


def test_tasks_that_meet_more_keys_than_there_are_chunks_are_not_said_to_be_done(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with bar_shown("building", every=0.0) as show:
        for listed, left in ((0, None), (250_000_000, "about 3 min to go"), (1_400_000_000, None)):
            now = parchunk.Progress(**{**vars(LARGE), "chunks": 0, "listed": listed})
            show(now)
            clock.now += 60
            line = capsys.readouterr().err.strip()
            assert line.endswith("LIST requests") if left is None else line.endswith(left)
    assert now.share < 1
    assert parchunk.Progress(**{**vars(LARGE), "partitions": 987_654}).share == 1


def test_counts_in_three_digits() -> None:
    counts = (0, 999, 1000, 9994, 43_000, 999_499, 999_999, 1_250_000, 10**12)
    assert [short_count(number) for number in counts] == [
        "0", "999", "1.00 k", "9.99 k", "43.0 k", "999 k", "1.00 M", "1.25 M", "1.00 T",
    ]  # fmt: skip


def test_progress_true_shows_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    zarr.create_array(tmp_path / "s", shape=(8,), chunks=(1,), dtype="i1")[...] = 1
    parchunk.build(tmp_path / "s", tmp_path / "out", progress=True)
    parchunk.audit(tmp_path / "out", progress=True)
    assert any("100 %" in line and "1 of 1 partitions" in line for line in terminal.lines)
    assert any(line.startswith("auditing") for line in terminal.lines)
    assert max(map(len, terminal.lines)) <= 80
    shown = len(terminal.getvalue())
    parchunk.audit(tmp_path / "out", progress=False)
    assert len(terminal.getvalue()) == shown


def test_a_notebook_has_its_bar_in_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def displayed(html: str, display_id: bool) -> Any:
        assert display_id
        drawn.append(html)
        return SimpleNamespace(update=drawn.append)

    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    display.HTML, display.display = str, displayed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with bar_shown("<building>") as show:
        show(LARGE)
        show(WAITING)
        show(LARGE)
        show(AuditProgress(3, 3))
    assert [WAITING.waiting in one for one in drawn[1:]] == [False, True, False, False]
    assert drawn[0] == "<div>&lt;building&gt; <progress></progress> </div>"
    assert '<progress value="0.6000"></progress> 123 k of 988 k partitions, 123 M keys' in drawn[1]
    assert "3 of 3 record files" in drawn[-1]


WAITING = parchunk.Progress(**{**vars(LARGE), "waiting": "no worker has been there for 30 s: ..."})


def test_what_is_waited_for_is_said_once_and_at_once(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bar_shown("building", every=10.0) as show:
        for now in (LARGE, WAITING, WAITING, LARGE, WAITING):
            show(now)
        clock.now += 60
        show(WAITING)  # that nothing goes on is said already
        show(LARGE)
    *waited, last = capsys.readouterr().err.splitlines()
    assert waited == [WAITING.waiting] * 2
    assert last.startswith("123,456 of 987,654 partitions")

    with progress_shown(True, "building") as show:  # as with --json
        for now in (LARGE, WAITING, WAITING, LARGE, WAITING):
            show(now)
    assert capsys.readouterr().err.splitlines() == [WAITING.waiting] * 2

    terminal = on_terminal(monkeypatch, 30)
    with bar_shown("building") as show:
        show(WAITING)
        show(WAITING)
    assert [line for line in terminal.lines if "no worker" in line] == [WAITING.waiting]
