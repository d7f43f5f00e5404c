"""What notebooks show: short lines, escaped text, public names, errors without threads."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import zarr

import parchunk
from parchunk.showing.values import fragment_of, page_of

HOSTILE = "<script>alert(1)</script>\"'&"


class Text(HTMLParser):
    """Tags and text of a fragment; tags must nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    root = zarr.open_group(folder / "s", mode="w", zarr_format=3)
    group = root.create_group(HOSTILE.replace("/", "-"))
    for name in ("a", "b", "c", "d", "e"):
        group.create_array(name, shape=(9,), chunks=(1,), dtype="i1", dimension_names=("time",))[
            ...
        ] = 1
    (folder / "s" / HOSTILE.replace("/", "-") / "a/c/4").unlink()
    (folder / "s" / HOSTILE.replace("/", "-") / f"a/c/{HOSTILE.replace('/', '-')}").write_bytes(b"")
    return folder


def test_values_are_a_line_and_a_table_with_escaped_text(store: Path) -> None:
    out = store / "out"
    plan = parchunk.plan(store / "s", split="time", region=3)
    result = parchunk.build(plan, out)
    values = [plan, result, parchunk.audit(out), parchunk.status(out)]
    for value in values:
        assert "\n" not in repr(value)
        assert len(repr(value)) < 300
        shown = Text(value._repr_html_())
        assert not shown.tags & {"script", "img", "iframe", "link"}
        assert value.in_short in shown.text
        assert "details" in shown.tags
        assert HOSTILE.replace("/", "-") in shown.text
    assert "and 2 more" in Text(plan._repr_html_()).text
    place = replace(plan.location, options=(("endpoint", "http://here:1"),))
    moved = replace(result, plan=replace(plan, location=place))
    assert ', store_options={"endpoint": "http://here:1"})' in Text(moved._repr_html_()).text
    assert "svg" in Text(values[2]._repr_html_()).tags
    assert repr(values[1]).endswith(
        "44 of 45 chunks present, 1 missing; 15 of 15 partitions built>"
    )


def test_what_is_cut_is_counted_and_one_is_no_plural(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "s", shape=(103,), chunks=(1,), dtype="i1", fill_value=1)
    array[:5] = 0
    plan = parchunk.plan(tmp_path / "s", split=0, region=1, record_size=1)
    result = parchunk.build(plan, tmp_path / "out")
    shown = Text(result.plan._repr_html_()).text
    assert "1 array, 103 chunks, 103 regions" in shown
    assert "and 3 more" in shown
    noted = replace(result, notes=("n",) * 102)
    assert "102 notes" in Text(noted._repr_html_()).text
    assert "and 2 more" in Text(noted._repr_html_()).text


def test_an_import_shows_its_commits(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("icechunk")
    parchunk.build(parchunk.plan(store / "s", split="time", region=3), store / "out")
    result = parchunk.to_icechunk(store / "out", tmp_path / "repo", progress=True)
    shown = Text(result._repr_html_())
    assert "4 commits" in shown.text
    assert "3 of 3 regions are in" in repr(result)


def test_what_is_not_registered_is_its_line() -> None:
    moved = parchunk.Relocation("<out>", "before", "now", 3, 4)
    assert fragment_of(moved).startswith("<pre>&lt;parchunk.Relocation &lt;out&gt;: from before")
    with pytest.raises(TypeError, match="no page of Relocation"):
        page_of(moved)


def test_a_page_and_a_picture_are_written_where_a_file_is_named(
    store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    parchunk.build(parchunk.plan(store / "s", split="time", region=3), store / "out")
    report = parchunk.audit(store / "out")
    assert report.to_html(tmp_path / "a.html") == (tmp_path / "a.html").read_text()
    picture = report.plot(str(tmp_path / "a.png"))
    assert picture == (tmp_path / "a.png").read_bytes() == picture._repr_png_()
    assert str(picture).startswith("<parchunk PNG")


def test_only_public_names_are_offered() -> None:
    assert set(dir(parchunk)) == {*parchunk.__all__, "__version__"}
    assert not [name for name in dir(parchunk) if name != "__version__" and name.startswith("_")]
    assert callable(parchunk.status)


@pytest.mark.parametrize("prompt", [False, True])
def test_an_error_is_a_line_and_a_note(
    prompt: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if prompt:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(parchunk.InputError) as caught:
        parchunk.build(tmp_path / "nothing", tmp_path / "out")
    error = caught.value
    assert "\n" not in str(error)
    assert [note.partition(", line ")[0] for note in error.__notes__] == [
        "raised in parchunk/planning/from_source.py"
    ]
    frames = len(traceback.extract_tb(error.__traceback__))
    assert frames == 2 if prompt else frames > 4
    assert error.__cause__ is None


UNPICKLED = """
import pickle, sys
plan, report = pickle.load(sys.stdin.buffer)
assert "parchunk.public" not in sys.modules
assert plan._repr_html_().startswith('<div class="parchunk">')
assert "parchunk.public" in sys.modules
assert report.to_html().startswith("<!DOCTYPE html>")
"""


def test_values_show_themselves_where_they_were_unpickled(store: Path, tmp_path: Path) -> None:
    """Nobody has asked for a name of parchunk there."""
    values = parchunk.plan(store / "s"), parchunk.audit(parchunk.build(store / "s", tmp_path).url)
    program = [sys.executable, "-c", UNPICKLED]
    subprocess.run(program, input=pickle.dumps(values), check=True, timeout=250)
