"""The ``parchunk`` command: exits 0 good, 1 findings, 2 error, and never with a traceback."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
from importlib import import_module

import click

from parchunk.cli.interrupts import Interrupted, interrupts
from parchunk.cli.streams import lasting_streams
from parchunk.cli.version import version_text
from parchunk.errors import ParchunkError
from parchunk.showing.printable import can_show, printable
from parchunk.stores.options import PUBLIC_OPTIONS
from parchunk.stores.redaction import redact

_STORE_OPTIONS = frozenset({"--store-option", "--output-option", "--repo-option"})

#: Command name -> module below parchunk.cli that defines `command`. Loaded when called, so that
#: `parchunk --help` does not import what only one command needs.
COMMANDS = {
    "plan": "plan",
    "build": "build",
    "status": "status",
    "audit": "audit",
    "sql": "sql",
    "to-icechunk": "to_icechunk",
    "update": "update",
    "relocate": "relocate",
    "demo": "demo",
}


class _Commands(click.Group):
    """Loads a command's module when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"parchunk.cli.{COMMANDS[cmd_name]}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Of a command that stopped for it. click would exit with 1, which means findings.
            return 0


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _say_version(context) if asked else None,
    help="Say the versions of parchunk and of its libraries, and exit.",
)
def cli() -> None:
    """Turn the listing of a native Zarr store into kerchunk Parquet references.

    SRC, OUT and REPO are paths or s3:// gs:// az:// URLs; SRC also https:// with --inventory or
    --probe. Credentials come from the environment.

    Exit codes: 0 good, 1 findings or unfinished, 2 error, 130 interrupted.
    """


def _say_version(context: click.Context) -> None:
    click.echo(version_text())
    context.exit()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; with ``arguments``, a caller may catch that and go on."""
    codes: list[int] = []
    if arguments is None:
        atexit.register(_end_beside_threads, codes)  # first of all, and so called last
    codes.append(run(sys.argv[1:] if arguments is None else arguments))
    hanging = any(not t.daemon and t is not threading.main_thread() for t in threading.enumerate())
    if codes[0] == 130 and hanging:
        # Threads that hang in a request would keep the interpreter from ending.
        _end(codes[0])
    sys.exit(codes[0])


def _end_beside_threads(codes: list[int]) -> None:
    """End the process here where threads were left behind, as in a request without an answer.

    Python ends each of them within the library that it is in, when the interpreter ends; within
    C++ (DuckDB, icechunk) that aborts the process, whose exit code was to say what was found.
    """
    if codes and any(thread.daemon for thread in threading.enumerate()):
        _end(codes[0])


def _end(code: int) -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    with lasting_streams() as output:
        code = _run(arguments)
        output.flush()
        if output.lost and code < 2:
            code = _fail(
                f"what was said on standard output is not whole ({output.lost}): write it to where "
                "there is room, and run the same command again",
                as_json=False,
            )
        return code


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        with interrupts(lambda: _interrupted(as_json)):
            code = cli.main(arguments, prog_name="parchunk", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        return 0
    except click.ClickException as error:
        return _fail(redact(_with_help(error), _secrets(arguments)), as_json)
    except (click.Abort, KeyboardInterrupt, Interrupted):
        return _interrupted(as_json)
    except ParchunkError as error:
        return _fail(redact(str(error), _secrets(arguments)), as_json)
    except UnicodeEncodeError as error:
        return _fail(_lacking(error), as_json)
    except MemoryError:
        return _fail("out of memory: lower --memory, --workers or --concurrency", as_json)
    return code if isinstance(code, int) else 0


def _with_help(error: click.ClickException) -> str:
    """Return what click says of a command line, and where what is right is told if it does not."""
    said = error.format_message()
    generic = isinstance(error, (click.MissingParameter, click.NoSuchOption)) or said.startswith(
        ("No such command", "Got unexpected extra")
    )
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or not generic or "Did you mean" in said:
        return said
    return f"{said.rstrip('.')}: see {context.command_path} --help"


def _lacking(error: UnicodeEncodeError) -> str:
    """Return why standard output, or whatever else was to get text, does not take it."""
    character = error.object[error.start]
    if not can_show(character, "utf-8"):
        return f"{character!a} is a byte of a name that is no text in UTF-8: rename it"
    return (
        f"the encoding of standard output ({sys.stdout.encoding}) has no {character!a}: set "
        "PYTHONIOENCODING=utf-8"
    )


def _interrupted(as_json: bool) -> int:
    return _fail("interrupted: run the same command again to resume", as_json, 130)


def _secrets(arguments: list[str]) -> list[str]:
    """Return the values of store options that may be secrets."""
    found = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, _, text = argument.partition("=") if argument.startswith("--") else ("", "", "")
        if before in _STORE_OPTIONS:
            text = argument
        elif option not in _STORE_OPTIONS:
            continue
        key, equals, value = text.partition("=")
        if not equals:
            found.append(text)
        elif key.strip().lower() not in PUBLIC_OPTIONS:
            found += [text, value]
    return [text for text in found if len(text) > 3]


def _fail(message: str, as_json: bool, code: int = 2) -> int:
    """Say what happened in one line on stderr; as JSON on stdout where that was asked for."""
    line = printable(" ".join(message.split()))
    if as_json:
        click.echo(json.dumps({"error": line}))
    click.echo(f"parchunk: {line}", err=True)
    return code
