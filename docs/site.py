"""The pages of the site, in one folder: `python -m docs.site FOLDER`, then `zensical build`.

Pages of docs/ as they are, the README as the first of all, what lies beside it, and what is
generated: the command line from its --help, Python from the public names, and llms.txt. Links
between them are spelled anew, as the README's lead to docs/, and theirs to ../README.md.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click

import parchunk
from parchunk.cli.main import cli

ROOT = Path(__file__).parents[1]
#: Pages beside docs/, and where they are on the site.
MOVED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def place_on_site(path: str) -> str:
    """Return where a path of the repository lies on the site."""
    return MOVED.get(path, path.removeprefix("docs/"))


def respelled(text: str, path: str) -> str:
    """Return a page's text with links as they are on the site; ``path`` is the repository's."""
    here = PurePosixPath(place_on_site(path)).parent

    def follow(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(path).parent / link[1])
        return os.path.relpath(place_on_site(target), here)

    return _LINK.sub(follow, text)


def pages() -> dict[str, str]:
    """Return the text of every page by its path on the site."""
    found = {}
    for path in [*map(ROOT.joinpath, MOVED), *(ROOT / "docs").rglob("*.md")]:
        name = path.relative_to(ROOT).as_posix()
        found[place_on_site(name)] = respelled(path.read_text(), name)
    return found | {"reference/cli.md": command_line(), "reference/python.md": python()}


def command_line() -> str:
    """Return the page of all commands, as their --help says."""
    settings: dict[str, Any] = {**cli.context_settings, "terminal_width": 84}
    context = click.Context(cli, info_name="parchunk", **settings)
    parts = ["# The command line", "Every command, as its `--help` says.", _help(cli, context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts += [f"## {name}", _help(command, click.Context(command, context, info_name=name))]
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```"


def python() -> str:
    """Return the page of the public names, which mkdocstrings fills from their docstrings."""
    names: dict[str, list[str]] = {"Functions": [], "What they return": [], "Errors": []}
    for name in parchunk.__all__:
        thing = getattr(parchunk, name)
        if not isinstance(thing, type):
            names["Functions"].append(name)
        elif issubclass(thing, Exception):
            names["Errors"].append(name)
        else:
            names["What they return"].append(name)
    lines = ["# Python", "`import parchunk`; every name of it that is public."]
    for heading, group in names.items():
        lines += [f"## {heading}", *(f"::: parchunk.{name}" for name in group)]
    return "\n\n".join(lines) + "\n"


def summaries(found: dict[str, str], nav: list[dict[str, list[str]]]) -> Iterator[str]:
    """Yield the lines of llms.txt: every page of the site's ``nav``, by its title and first words.

    See https://llmstxt.org; llms-full.txt, beside it, has the pages themselves.
    """
    yield f"# parchunk\n\n> {first_sentence(found['index.md'])}\n"
    yield "All pages in one file: [llms-full.txt](llms-full.txt)"
    for section in nav:
        for heading, paths in section.items():
            yield f"\n## {heading}\n"
            for path in paths:
                title = found[path].partition("\n")[0].removeprefix("# ")
                html = path.removesuffix(".md") + ".html"
                yield f"- [{title}]({html}): {first_sentence(found[path])}"


def first_sentence(text: str) -> str:
    """Return the first sentence of a page's first paragraph that is prose."""
    for paragraph in re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).split("\n\n"):
        line = " ".join(paragraph.split())
        if line and line[0] not in "#|-*:":
            line = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)
            return re.split(r"(?<=[.?])\s", line)[0]
    return ""


def main(folder: Path) -> None:
    """Write all pages, examples, schemas and llms.txt into a folder, which is emptied first."""
    import yaml

    shutil.rmtree(folder, ignore_errors=True)
    found = pages()
    for name, text in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__*"))
    shutil.copytree(ROOT / "docs/schemas", folder / "schemas")
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    (folder / "llms.txt").write_text("\n".join(summaries(found, nav)) + "\n")
    ordered = [found[path] for section in nav for paths in section.values() for path in paths]
    (folder / "llms-full.txt").write_text("\n\n".join(ordered))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
