"""Sentences in a terminal: broken between words, and never within a command."""

import io

import pytest
from rich.console import Console

from parchunk.cli.tables import say
from parchunk.showing.columns import telling


@pytest.mark.parametrize("width", [60, 80])
def test_lines_end_between_words_and_commands_stay_whole(width: int) -> None:
    out = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    command = "parchunk update /data/refs --regions 3"
    text = f"some chunks are missing that should be there, as it seems: run {command}; then audit"
    say(out, text, "to do: ", "bold")
    shown = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, shown)) <= width
    assert any(command in line for line in shown)
    assert " ".join(line.strip() for line in shown) == f"to do: {text}"


def test_a_path_is_not_broken_wherever_it_ends() -> None:
    out = Console(
        file=io.StringIO(), force_terminal=True, width=30, color_system=None, soft_wrap=True
    )
    path = "/data/a-folder/of-a-long-name/which-no-line-holds"
    say(out, f"see {path}, and what is below it")
    shown = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert shown == ["see", f"  {path},", "  and what is below it"]


def test_a_pipe_gets_one_line() -> None:
    out = Console(file=io.StringIO(), force_terminal=False, width=10_000, soft_wrap=True)
    say(out, "word " * 3_000)
    assert out.file.getvalue().count("\n") == 1  # type: ignore[attr-defined]


def test_columns_that_say_nothing_are_left_out() -> None:
    columns, rows = telling(("a", "b", "c", "d"), [("x", 0, 0, 1), ("y", 0, 0, 0)], always=2)
    assert columns == ["a", "b", "d"]
    assert rows == [("x", 0, 1), ("y", 0, 0)]
