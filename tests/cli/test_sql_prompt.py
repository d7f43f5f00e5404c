"""The prompt of `parchunk sql` on a real terminal: Ctrl-C cancels what is there, and no more."""

import os
import pty
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import zarr

import parchunk
from parchunk.cli.sql import run_query


class Terminal:
    """`parchunk sql` at a pseudo-terminal."""

    def __init__(self, out: Path, *arguments: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            program = ["-c", "from parchunk.cli import main; main()", "sql", str(out), *arguments]
            os.execv(sys.executable, [sys.executable, *program])
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def wait_for(self, text: str, seconds: float = 200) -> str:
        """Wait until a text is shown; return what was shown up to it."""
        until = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], max(until - time.monotonic(), 0))
            assert ready, f"{text!r} did not come: {self.shown!r}"
            try:
                self.shown += os.read(self.terminal, 4096).decode()
            except OSError:  # the command has ended
                raise AssertionError(f"it ended: {self.shown!r}") from None
        before, _, self.shown = self.shown.partition(text)
        return before

    def cancel(self) -> None:
        """Press Ctrl-C until there is a new prompt.

        Python's readline misses one that comes just before it waits for keys: as a person would,
        this presses again then.
        """
        for _ in range(5):
            self.type("\x03")
            try:
                self.wait_for("sql> ", seconds=10)
            except AssertionError:
                continue
            return
        raise AssertionError(f"Ctrl-C did nothing: {self.shown!r}")

    def ask(self, query: str, answer: str) -> None:
        """Ask until there is an answer: a Ctrl-C more than was needed cancels a query that came."""
        for _ in range(5):
            self.type(query)
            if answer in self.wait_for("sql> "):
                return
        raise AssertionError(f"{answer!r} did not come: {self.shown!r}")

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        until = time.monotonic() + 200
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    self.shown += os.read(self.terminal, 4096).decode()
                except OSError:
                    time.sleep(0.05)
        raise AssertionError(f"it did not end: {self.shown!r}")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    array = zarr.open_group(tmp_path / "s", mode="w", zarr_format=2).create_array(
        "t", shape=(4,), chunks=(1,), dtype="i4"
    )
    array[...] = 7
    parchunk.build(parchunk.plan(str(tmp_path / "s")), str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture
def terminal(out: Path) -> Iterator[Terminal]:
    made = Terminal(out)
    made.wait_for("sql> ")
    yield made
    made.close()


def test_ctrl_c_cancels_a_line(terminal: Terminal) -> None:
    for _ in range(3):  # as often as it comes
        terminal.type("SELECT nonsense\n")
        terminal.wait_for("... ")
        terminal.type("FROM nowhere")
        terminal.wait_for("nowhere")
        terminal.cancel()
    terminal.cancel()
    terminal.type("SELECT count(*) + 40000 AS n FROM refs;\n")
    terminal.wait_for("40004")
    terminal.wait_for("sql> ")
    # Longer than what is given to a command that is to end.
    time.sleep(5)
    terminal.type("SELECT 50000 + 5;\n")
    terminal.wait_for("50005")
    terminal.wait_for("sql> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_ctrl_c_cancels_a_query(terminal: Terminal) -> None:
    terminal.type("SELECT sum(a.i * b.i) FROM range(10_000_000) a(i), range(10_000_000) b(i);\n")
    terminal.wait_for(";")
    time.sleep(1)
    terminal.cancel()
    terminal.ask("SELECT 50000 + 5;\n", "50005")
    terminal.type("exit\n")
    assert terminal.end() == 0


def test_no_empty_box_is_shown_for_a_query_that_was_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """DuckDB draws one where it is interrupted late, of one query in a hundred."""
    query, whole = "SELECT 50000 + 5 AS n", 0
    with duckdb.connect() as connection:
        began = time.perf_counter()
        for _ in range(10):
            run_query(connection, query + ";", "table")
        twice = (time.perf_counter() - began) / 5
        assert capsys.readouterr().out.count("50005") == 10
        for number in range(300):
            late = threading.Timer(number % 40 / 40 * twice, connection.interrupt)
            late.start()
            try:
                run_query(connection, query + ";", "table")
                whole += 1
            except (KeyboardInterrupt, parchunk.InputError):
                pass
            late.join()
    assert capsys.readouterr().out.count("50005") == whole > 0


def test_sigterm_ends_the_prompt(terminal: Terminal) -> None:
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 130


def test_suggestions_are_shown(terminal: Terminal) -> None:
    terminal.type("SELECT * FROM ref;\n")
    terminal.wait_for('Did you mean "refs"?')
    terminal.wait_for("sql> ")


def test_tables_completion_and_wide_rows(terminal: Terminal) -> None:
    terminal.type(".tables\n")
    assert "array_name, zarr_format" in terminal.wait_for("sql> ")
    terminal.type(".schema regions\n")
    assert "start_label" in terminal.wait_for("sql> ")
    terminal.type(".nonsense\n")
    terminal.wait_for("there are .tables")
    terminal.wait_for("sql> ")
    terminal.type("SELECT 70000 + 7 AS n FROM cover\t LIMIT 1;\n")
    terminal.wait_for("coverage")
    terminal.wait_for("70007")
    terminal.wait_for("sql> ")
    # A terminal of 80 columns: each value has a line of its own.
    terminal.type("SELECT repeat('x', 60) AS one, repeat('y', 60) AS two, NULL AS three;\n")
    shown = terminal.wait_for("three  NULL")
    assert "row 1" in shown
    assert f"one    {'x' * 60}" in shown
    terminal.wait_for("sql> ")
    # Of many the first are shown, and what is asked next is answered.
    terminal.type("SELECT repeat('x', 60) AS one, repeat('y', 60) AS two FROM range(90000);\n")
    terminal.wait_for("the first 20 rows are shown")
    terminal.wait_for("sql> ")
    terminal.type(".schema regions\n")
    assert "start_label" in terminal.wait_for("sql> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_to_needs_a_query(out: Path) -> None:
    terminal = Terminal(out, "--to", "x.csv")
    try:
        terminal.wait_for("give the query, too")
        assert terminal.end() == 2
    finally:
        terminal.close()
