"""What is new since an earlier audit and what was mended, and audits as Markdown."""

import html
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.examples import examples

import parchunk
from parchunk.auditing.since import ranges_beyond, read_audit
from parchunk.cli.main import run
from parchunk.report.markdown import markdown, text


def write(store: Path, steps: int, missing: tuple[int, ...] = ()) -> None:
    """Write a store, or all of it again."""
    root = zarr.open_group(store, mode="a", zarr_format=3)
    for name in ("t", "u|v", "time"):
        if name not in root:
            root.create_array(
                name, shape=(1,), chunks=(1 if name != "time" else 99,), dtype="i4",
                dimension_names=("time",), attributes={"units": "days since 2001-01-01"},
            )  # fmt: skip
        array = root[name]
        assert isinstance(array, zarr.Array)
        array.resize((steps,))
        array[...] = np.arange(steps) + (name != "time")
    for step in missing:
        (store / f"t/c/{step}").unlink()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path / "s.zarr", 10, (2, 3, 7))
    parchunk.build(parchunk.plan(tmp_path / "s.zarr", split="time", region=5), tmp_path / "refs")
    return tmp_path / "refs"


def audited(out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    run(["audit", str(out), "--json", *options])
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def earlier(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(audited(out, capsys)))
    return str(path)


def test_nothing_is_new(out: Path, earlier: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = audited(out, capsys, "--since", earlier)["since"]
    assert (found["new"], found["mended"], found["arrays"]) == ([], [], [])
    assert found["audited"] == json.loads(Path(earlier).read_text())["audited"]
    assert run(["audit", str(out), "--since", earlier]) == 1
    assert "nothing is new, nothing was mended" in " ".join(capsys.readouterr().out.split())


def test_what_is_new_and_what_was_mended(
    out: Path, earlier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One gap shrank, one grew, the dimension grew, a stray came, and a file was lost."""
    write(tmp_path / "s.zarr", 14, (3, 7, 8, 12))
    (tmp_path / "s.zarr/t/c/notes").write_text("mine")
    parchunk.update(out, regions=[0, 1])
    (out / "u|v/refs.0.parq").unlink()
    found = audited(out, capsys, "--since", earlier)["since"]
    assert [one["kind"] for one in found["new"]] == ["missing-file", "strays"]
    t, u = found["arrays"][0], found["arrays"][1]
    assert (t["array"], u["array"]) == ("t", "u|v")
    assert (t["then"], t["now"]) == (
        {"expected": 10, "present": 7, "missing": 3, "excused": 0, "unread": 0},
        {"expected": 14, "present": 10, "missing": 4, "excused": 0, "unread": 0},
    )
    assert [one["chunks"] for one in t["new_gaps"]] == [[8, 8], [12, 12]]
    assert [one["chunks"] for one in t["mended_gaps"]] == [[2, 2]]
    assert t["new_gaps"][0]["labels"] == "2001-01-09"
    assert run(["audit", str(out), "--since", earlier]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "new: t: chunk 8 along time, i.e. 2001-01-09: missing" in said
    assert "mended: t: chunk 2 along time, i.e. 2001-01-03" in said
    assert "changed: t: 4 more expected, 3 more present, 1 more missing" in said
    page = tmp_path / "page.html"
    assert run(["audit", str(out), "--since", earlier, "--report", str(page)]) == 1
    assert "t: chunk 8 along time, i.e. 2001-01-09: missing" in page.read_text()


def test_what_is_not_read_or_not_expected_is_not_mended(out: Path, earlier: str) -> None:
    (out / "t/refs.0.parq").unlink()
    unread = parchunk.audit(out, since=earlier).since
    excused = parchunk.audit(out, since=earlier, expect="time=5:").since
    for since in (unread, excused):
        assert since is not None
        (t,) = [one for one in since.arrays if one.array == "t"]
        assert (t.new, t.mended) == ((), ())
    path = Path(earlier).with_name("unread.json")
    path.write_text(json.dumps(parchunk.audit(out).to_json()))
    parchunk.update(out, repair=parchunk.audit(out).damaged)
    since = parchunk.audit(out, since=path).since
    assert since is not None
    assert [(one.new, one.mended) for one in since.arrays] == [((), ())]


def test_what_an_audit_did_not_look_for_is_not_mended(out: Path, tmp_path: Path) -> None:
    (out.with_name("s.zarr") / "t/c/4").write_bytes(b"")
    parchunk.update(out, regions=[0])
    (out.with_name("s.zarr") / "t/c/8").write_bytes(b"nothing that any codec knows")
    path = tmp_path / "then.json"
    then = parchunk.audit(out, against_source=True, decode=1000)
    kinds = {one.kind for one in then.findings} - {"missing-chunks"}
    assert kinds == {"zero-sized", "changed-chunks", "undecodable"}
    path.write_text(json.dumps(then.to_json()))

    def told(**how: Any) -> tuple[set[str], set[str]]:
        since = parchunk.audit(out, since=path, **how).since
        assert since is not None
        said = [line for word, line in since.lines() if word == "not looked at"]
        assert len(said) == len(since.unjudged)
        return {one.kind for one in since.mended}, {one.kind for one in since.unjudged}

    assert told() == (set(), {"changed-chunks", "undecodable"})
    # What is drawn may be the one that was undecodable, which then is found again.
    for of_one in (told(decode=1) for _ in range(2)):
        assert of_one[0] == set()
        assert of_one[1] | {"undecodable"} == {"changed-chunks", "undecodable"}
    assert told(against_source=True, decode=1000) == (set(), set())
    (out / "t/refs.0.parq").unlink()
    assert told(against_source=True) == (set(), {"undecodable"})
    (out / ".parchunk/receipts/t/0.json").unlink()
    assert told() == (set(), {"zero-sized", "changed-chunks", "undecodable"})
    write(tmp_path / "s.zarr", 10)
    parchunk.update(out, regions=[0, 1])
    mended = told(against_source=True, decode=1000)
    assert mended == ({"zero-sized", "changed-chunks", "undecodable"}, set())


def test_what_is_of_an_array_that_is_left_out_is_not_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, path = tmp_path / "s.zarr", tmp_path / "then.json"
    write(store, 6)
    (store / "t/c/4").write_bytes(b"")
    path.write_text(json.dumps(audited(store, capsys)))
    since = audited(store, capsys, "--since", str(path), "--exclude", "t")["since"]
    assert (since["mended"], [one["kind"] for one in since["unjudged"]]) == ([], ["zero-sized"])


def test_what_is_of_more_chunks_than_before_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, path = tmp_path / "s.zarr", tmp_path / "then.json"
    root = zarr.open_group(store, mode="w", zarr_format=3)
    array = root.create_array("t", shape=(9,), chunks=(1,), dtype="i4", compressors=None)
    array[...] = np.arange(1, 10)
    (store / "t/c/4").write_bytes(b"x")

    def new(**written: bytes) -> list[tuple[str, int]]:
        path.write_text(json.dumps(audited(store, capsys)))
        for name, data in written.items():
            (store / "t/c" / name.removeprefix("at")).write_bytes(data)
        since = audited(store, capsys, "--since", str(path))["since"]
        assert since["mended"] == []
        assert since["unchanged"] == 1 - len(since["new"])
        return [(one["kind"], one["count"]) for one in since["new"]]

    assert new(at7=b"x") == [("impossible-size", 2)]
    assert new() == []
    assert new(at4=b"good", at1=b"x") == [("impossible-size", 2)]


def test_damage_that_was_mended(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (out / "t/refs.0.parq").unlink()
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(audited(out, capsys)))
    parchunk.update(out, repair=parchunk.audit(out).damaged)
    report = parchunk.audit(out, since=path, allow_missing="*")
    assert report.since is not None
    assert [one.kind for one in report.since.mended] == ["missing-file"]
    assert report.since.new == ()


def test_of_a_store_the_temporary_references_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "s.zarr", 6, (1,))
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(audited(tmp_path / "s.zarr", capsys)))
    (tmp_path / "s.zarr/t/c/4").write_bytes(b"")
    found = audited(tmp_path / "s.zarr", capsys, "--since", str(path))["since"]
    assert [one["kind"] for one in found["new"]] == ["zero-sized"]
    assert "OUT" not in found["new"][0]["remedy"]
    assert [one["chunks"] for one in found["arrays"][0]["new_gaps"]] == [[4, 4]]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"out": "a", "source": "b"}))
    assert run(["audit", str(tmp_path / "s.zarr"), "--since", str(path)]) == 2
    assert capsys.readouterr().err.endswith(f"an audit of {tmp_path / 's.zarr'}\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: None, "is not what parchunk audit --json prints of an audit"),
        (lambda document: "[" * 100_000, "is not what parchunk audit --json prints of an audit"),
        (lambda document: {"error": "no"}, "is not what parchunk audit --json prints of an audit"),
        (lambda document: document | {"out": "/a", "source": "/b"}, "is of /a, references of /b"),
        (lambda document: document | {"findings": [{"what": 1}]}, "not what this parchunk"),
        (lambda document: document | {"arrays": [{"array": "t"}]}, "not what this parchunk"),
        (lambda document: document | {"arrays": 3}, "not what this parchunk"),
    ],
)
def test_what_is_no_audit_of_the_same_is_refused(
    out: Path, earlier: str, change: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = change(json.loads(Path(earlier).read_text()))
    Path(earlier).write_text(changed if isinstance(changed, str) else json.dumps(changed))
    assert run(["audit", str(out), "--since", earlier]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "InputError" not in error
    assert error.count("\n") == 1


def test_very_many_arrays_that_are_alike_take_little(earlier: str, tmp_path: Path) -> None:
    audit = json.loads(Path(earlier).read_text())
    many = [{**audit["arrays"][0], "array": f"group/a{number}"} for number in range(1_000)]
    path = tmp_path / "many.json"
    path.write_text(json.dumps({**audit, "arrays": many}))
    del many
    tracemalloc.start()
    try:
        read = read_audit(str(path))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read["arrays"]) == 1_000
    assert taken < 250 * 1_000


def test_findings_are_known_again_by_file_and_counted(out: Path, earlier: str) -> None:
    """One of three strays' findings is left; of two files of a partition another one is gone."""
    document = json.loads(Path(earlier).read_text())
    (out / "t/refs.0.parq").unlink()
    now = [found.to_json() for found in parchunk.audit(out).findings]
    (lost,) = [one for one in now if one["kind"] == "missing-file"]
    assert lost["key"] == "t/refs.0.parq"
    stray = lost | {"kind": "strays", "severity": "notice"}
    document["findings"] = [lost | {"key": "t/refs.9.parq"}, stray, stray]
    document["arrays"].append(document["arrays"][0] | {"array": "was here"})
    Path(earlier).write_text(json.dumps(document))
    since = parchunk.audit(out, since=earlier).since
    assert since is not None
    assert [one.key for one in since.new if one.kind == "missing-file"] == ["t/refs.0.parq"]
    assert [one.kind for one in since.mended] == ["missing-file", "strays", "strays"]
    (gone,) = [one for one in since.arrays if one.array == "was here"]
    assert (gone.now, gone.text) == (None, "was here: it is there no more")
    Path(earlier).write_text(json.dumps(parchunk.audit(out).to_json() | {"findings": [lost, lost]}))
    since = parchunk.audit(out, since=earlier).since
    assert since is not None
    assert ([one.kind for one in since.mended], since.unchanged) == (["missing-file"], 1)


def test_gaps_of_other_chunks_are_not_compared(out: Path, earlier: str) -> None:
    document = json.loads(Path(earlier).read_text())
    (t,) = [one for one in document["arrays"] if one["array"] == "t"]
    t["gaps"][0]["elements"] = [4, 8]
    Path(earlier).write_text(json.dumps(document))
    since = parchunk.audit(out, since=earlier).since
    assert since is not None
    (found,) = since.arrays
    assert (found.new, found.mended, found.all_gaps, since.is_nothing) == ((), (), False, False)
    assert list(since.lines()) == [
        ("changed", "t: counts are as they were (not all gaps were compared)")
    ]


@pytest.mark.parametrize("cut", ["then", "now"])
def test_what_one_of_the_two_does_not_list_is_neither_new_nor_mended(
    cut: str, out: Path, earlier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many gaps the largest are listed: here one of two, and a larger one came."""
    document = json.loads(Path(earlier).read_text())
    (t,) = [one for one in document["arrays"] if one["array"] == "t"]
    if cut == "then":
        t["gaps"] = t["gaps"][:1]  # chunks 2 and 3; 7 is another
        Path(earlier).write_text(json.dumps(document))
        write(tmp_path / "s.zarr", 10, (3, 7))
    else:
        monkeypatch.setattr("parchunk.auditing.array_state.GAPS_LISTED", 1)
        write(tmp_path / "s.zarr", 10, (3, 7, 8))
    parchunk.update(out, regions=[0, 1])
    since = parchunk.audit(out, since=earlier).since
    assert since is not None
    (found,) = since.arrays
    assert not found.all_gaps
    new, mended = ([(one.first, one.last) for one in some] for some in (found.new, found.mended))
    assert (new, mended) == (([], [(2, 2)]) if cut == "then" else ([(8, 8)], []))


ranges = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), max_size=5).map(
    lambda pairs: [(low, low + length) for low, length in pairs]
)


@settings(max_examples=examples(50))
@given(ranges, ranges)
def test_what_is_in_one_and_not_in_the_other(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    def inside(of: list[tuple[int, int]]) -> set[int]:
        return {at for low, high in of for at in range(low, high)}

    found = ranges_beyond(some, others)
    assert inside(found) == inside(some) - inside(others)
    assert all(before[1] < after[0] for before, after in pairwise(found))


def rendered(document: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(document)


@settings(max_examples=examples(50))
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_text_is_shown_as_it_is(said: str) -> None:
    shown = rendered(f"| a |\n| --- |\n| x{text(said)}x |\n")
    (cell,) = [line for line in shown.splitlines() if line.startswith("<td>")]
    plain = "".join(c if c.isprintable() else " " for c in said)
    assert html.unescape(cell.removeprefix("<td>").removesuffix("</td>")) == f"x{plain}x"


def test_what_begins_a_line_begins_nothing_else() -> None:
    for said in ("- a", "1. a", "2) a", "+ a", "---", "===", "# a", "> a", "2026-11-30", "1.5"):
        for before, around in (("- ", "<ul>\n<li>{}</li>\n</ul>\n"), ("## ", "<h2>{}</h2>\n")):
            assert rendered(f"{before}{text(said)}\n") == around.format(html.escape(said)), said
    plain = "air_temp: chunks 10-12 along time, i.e. 2024-01-11: all 3 missing (0.4 %)"
    assert text(plain) == plain, "who reads it in a mail reads it as it is"


def test_the_markdown_says_what_the_page_does(
    out: Path, earlier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "s.zarr", 14, (3, 7, 8, 12))
    parchunk.update(out, regions=[0, 1])
    path = tmp_path / "summary.md"
    options = ["--since", earlier, "--by", "month", "--markdown", str(path), "--json"]
    assert run(["audit", str(out), *options]) == 1
    capsys.readouterr()
    shown = rendered(path.read_text(encoding="utf-8"))
    assert "<h2>✗ Incomplete: 4 chunks are missing" in shown
    assert "t: chunk 3 along time, i.e. 2001-01-04: missing [missing-chunks]" in shown
    assert "<td>new</td>\n<td>t: chunk 8 along time, i.e. 2001-01-09: missing</td>" in shown
    assert "<h3>By month: along time 0 of 1 month are complete</h3>" in shown
    assert "<td>u|v</td>\n<td>14</td>\n<td>14</td>" in shown
    whole = parchunk.audit(out, allow_missing="t")
    assert markdown(whole).startswith("## ✓ Complete as far as the policy asks")


def test_markdown_is_short(tmp_path: Path) -> None:
    write(tmp_path / "s.zarr", 140, tuple(range(0, 140, 2)))
    parchunk.build(parchunk.plan(tmp_path / "s.zarr", split="time"), tmp_path / "refs")
    report = parchunk.audit(tmp_path / "refs", by="day")
    shown = rendered(markdown(report))
    assert "And 20 more: parchunk audit --json lists them all." in shown
    assert shown.count("<tr>") < 120
