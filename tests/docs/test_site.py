"""The site, without building it: its pages, their links and anchors, what is generated."""

import inspect
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from docs.site import first_sentence, main, pages

import parchunk
from parchunk.cli.main import COMMANDS

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
LISTED = [path for section in NAV for paths in section.values() for path in paths]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    main(folder)
    return folder


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)


def anchors(page: str) -> set[str]:
    """Those that Markdown's table of contents gives the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())
        found.add(f"{slug}_{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def test_every_page_has_one_place() -> None:
    assert sorted(LISTED) == sorted(pages()), "a new page wants a line in the nav of mkdocs.yml"


def test_links_and_anchors_lead_somewhere(site: Path) -> None:
    wrong = []
    for name in LISTED:
        text = (site / name).read_text()
        for target, anchor in re.findall(
            r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)", prose(text)
        ):
            path = site / PurePosixPath(name).parent / target if target else site / name
            if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
                wrong.append((name, target, anchor))
    assert wrong == []


def test_the_command_line_is_what_help_says(site: Path) -> None:
    text = (site / "reference/cli.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == list(COMMANDS)
    for option in ("--version", "--split", "--part", "--against-source", "--publish", "--watch"):
        assert f" {option}" in text
    assert "Usage: parchunk to-icechunk [OPTIONS]" in text


def test_every_public_name_is_shown_once(site: Path) -> None:
    found = re.findall(r"^::: parchunk\.(\w+)$", (site / "reference/python.md").read_text(), re.M)
    assert sorted(found) == sorted(parchunk.__all__)


def test_what_functions_take_and_raise_is_said_and_can_be_named() -> None:
    for function in filter(
        inspect.isfunction, (getattr(parchunk, name) for name in parchunk.__all__)
    ):
        text = inspect.getdoc(function) or ""
        takes = inspect.signature(function).parameters
        assert [name for name in takes if not re.search(rf"\b{name}\b", text)] == []
        raised = set(re.findall(r"^[A-Z]\w+Error(?:, \w+Error)*$", text, re.M))
        named = {name for line in raised for name in line.split(", ")}
        assert named <= {*parchunk.__all__}, function


def test_llms_txt_names_every_page(site: Path) -> None:
    text = (site / "llms.txt").read_text()
    assert text.startswith("# parchunk\n\n> Turn the *listing* of a native Zarr store")
    lines = re.findall(r"^- \[(.+)\]\((.+)\.html\): (.+)$", text, re.M)
    assert [f"{path}.md" for _, path, _ in lines] == LISTED
    whole = (site / "llms-full.txt").read_text()
    assert all(f"# {title}\n" in whole for title, _, _ in lines)


def test_a_first_sentence_is_prose() -> None:
    assert first_sentence("# A\n\n```\ncode\n```\n\n- list\n\nSee [it](x.md). More.") == "See it."
    assert first_sentence("# A\n\n| table |") == ""
