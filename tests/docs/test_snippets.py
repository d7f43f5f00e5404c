"""The tutorial and the how-tos: each page's commands and snippets, in their order, in a folder."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from parchunk.cli.main import run

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (language, line or block) of a page."""
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.M | re.S):
        for step in block.splitlines() if language == "sh" else [block]:
            yield language, step


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the how-tos begin with: a step of 144 is missing."""
    path = tmp_path_factory.mktemp("begun") / "store.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for name, shape in {"time": (144,), "temperature": (144, 4)}.items():
        array = group.create_array(
            name,
            shape=shape,
            chunks=(144,) if name == "time" else (1, 4),
            dtype="i4",
            dimension_names=["time", "x"][: len(shape)],
            attributes={"units": "hours since 2026-01-01"} if name == "time" else {},
        )
        array[...] = np.arange(144).reshape(-1, *[1] * (len(shape) - 1)) + 1
    (path / "temperature/c/100/0").unlink()
    return path


def begin(page: Path, store: Path) -> None:
    """Put into this folder what a page takes to be there."""
    if page.stem in ("read", "audit", "icechunk", "cluster"):
        shutil.copytree(store, "store.zarr")
    if page.stem == "read":
        assert run(["build", "store.zarr", "refs.parquet", "--no-progress"]) == 0
    if page.stem == "icechunk":
        pytest.importorskip("icechunk")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page(
    page: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    begin(page, store)
    names: dict[str, Any] = {}
    done = 0
    for language, step in steps(page):
        if language == "python":
            exec(compile(step, page.name, "exec"), names)
        elif not step.startswith("pip install "):
            program, *arguments = shlex.split(step, comments=True)
            assert program == "parchunk"
            code = run(arguments)
            out, err = capsys.readouterr()
            _, exits, said = step.partition("# exits 1: ")
            assert code == (1 if exits else 0), out + err
            if said.startswith("time "):
                assert said.removeprefix("time ") in out
        done += 1
    assert done >= 2


def test_each_how_to_is_linked_from_the_tutorial() -> None:
    text = (DOCS / "tutorial.md").read_text()
    assert [page.name for page in PAGES[1:] if f"howto/{page.name}" not in text] == []
