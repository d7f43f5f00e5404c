"""Receipts of many small arrays in blocks that are damaged: what an audit says, and what to do."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.many_small import pictured, plan_of, write_arrays
from tests.promises.damage import follow

import parchunk
from parchunk.out.output import BLOCKS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("small") / "s.zarr")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are cut by how much they hold, however slow this machine is."""
    monkeypatch.setattr("parchunk.out.receipt_blocks.MOST_SECONDS", 1e6)


def a_line(out: Path, array: str, change: Callable[[str], str]) -> None:
    """Change the line of an array that has one."""
    (path,) = (out / BLOCKS).rglob("*-*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(one) if f'"{array}"' in one else one for one in lines))


def edited(line: str, **changes: object) -> str:
    return json.dumps(json.loads(line) | changes) + "\n"


def damage_lines(out: Path) -> None:
    """Damage what can be listed anew one by one."""
    files = [[0, 2, 2, 9, "00"], [1, 1, 1, 9, "00"]]
    a_line(out, "g0/a0", lambda line: edited(line, present=1))
    a_line(out, "g2/a2", lambda line: edited(line, bytes=1))
    a_line(out, "g1/a4", lambda line: edited(line, fingerprint="f"))
    a_line(out, "g0/a6", lambda line: line + edited(line, record_files=files))
    (out / "g2/a8/refs.0.parq").unlink()


def damage_blocks(out: Path) -> None:
    """Damage what leaves nobody to list anew."""
    a_line(out, "g0/a0", lambda line: line[:99] + "\n")
    a_line(out, "g2/a2", lambda line: "")
    a_line(out, "g1/a4", lambda line: edited(line, array="nobody"))
    folder = next((out / BLOCKS).iterdir())
    shutil.copytree(folder, out / BLOCKS / "0123456789abcdef")
    (folder / "no.txt").write_text("no")


@pytest.mark.parametrize(
    ("damage", "kinds", "arrays"),
    [
        (
            damage_lines,
            {"bad-receipt": 3, "receipt-mismatch": 1, "missing-file": 1},
            {"g0/a0", "g2/a2", "g1/a4", "g0/a6", "g2/a8"},
        ),
        (damage_blocks, {"bad-receipt": 3, "unfinished": 4}, {None, "g0/a0", "g2/a2", "g1/a4"}),
    ],
)
def test_what_an_audit_says_of_blocks_is_so(
    source: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    kinds: dict[str, int],
    arrays: set[str | None],
) -> None:
    out = tmp_path / "refs"
    parchunk.build(plan_of(source), out)
    whole = pictured(out)
    damage(out)
    findings = [one for one in parchunk.audit(out).findings if one.severity != "notice"]
    assert Counter(one.kind for one in findings) == kinds
    assert {one.array for one in findings} == arrays
    for remedy in {one.remedy: one for one in findings}.values():
        follow(remedy, out, lambda: None)
    report = parchunk.audit(out)
    assert report.complete, [(one.message, one.remedy) for one in report.findings]
    assert pictured(out) == whole


def test_lines_that_speak_of_nobody_are_gone_after_an_update(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs"
    parchunk.build(plan_of(source), out)
    whole = pictured(out)
    a_line(out, "g0/a0", lambda line: line[:99] + "\n")
    a_line(out, "g1/a4", lambda line: edited(line, array="nobody"))
    assert parchunk.audit(out).exit_code == 1
    parchunk.update(out, repair=())
    assert parchunk.audit(out).complete
    assert pictured(out) == whole
