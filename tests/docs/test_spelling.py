"""Commands and calls in all documents are spelled as they are: commands, options, keywords."""

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import parchunk
from parchunk.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands(text: str) -> Iterator[str]:
    """Yield what a text has of command lines, in blocks and in between."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        if language in ("", "sh"):
            yield from re.findall(r"^parchunk .*$", block.replace("\\\n", " "), re.M)
    between = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for code in re.findall(r"`([^`]+)`", between):
        if code.startswith("parchunk "):
            yield " ".join([*code.split(), "X"])  # where it ends in an option


def complaint(line: str) -> str | None:
    """Say what is wrong with a command line; None if nothing is. It is not run."""
    if re.search(r" (\.\.\.|[|>])( |$)", line):
        line = re.split(r" (?:\.\.\.|[|>])(?: |$)", line)[0]
    words = shlex.split(line.replace("[", " ").replace("]", " "), comments=True)[1:]
    context = click.Context(cli, info_name="parchunk")
    if not words or words[0].startswith("-"):
        return None
    command = cli.get_command(context, words[0])
    if command is None:
        return f"no command {words[0]}"
    inner = click.Context(command, context, info_name=words[0])
    try:
        command.make_parser(inner).parse_args(words[1:])
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_commands(document: Path) -> None:
    found = {line: complaint(line) for line in commands(document.read_text())}
    assert {line: said for line, said in found.items() if said} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_calls(document: Path) -> None:
    """Python parses, and what is called of parchunk has the keywords that it is given."""
    wrong = []
    for block in re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.M | re.S):
        for call in ast.walk(ast.parse(block)):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if isinstance(call.func.value, ast.Name) and call.func.value.id == "parchunk":
                known = inspect.signature(getattr(parchunk, call.func.attr)).parameters
                given = {keyword.arg for keyword in call.keywords if keyword.arg}
                if "kwargs" not in known and not given <= set(known):
                    wrong.append((call.func.attr, given - set(known)))
    assert wrong == []


def test_what_is_wrong_is_found() -> None:
    assert complaint("parchunk biuld SRC OUT") == "no command biuld"
    assert "No such option" in str(complaint("parchunk build SRC OUT --spilt time"))
    assert "requires an argument" in str(complaint("parchunk build SRC OUT --split"))
    assert complaint("parchunk build SRC OUT --split time  # --nothing") is None
