"""One look first: strips with the calendar, the worst on top, and each fact said once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import parchunk
from parchunk.auditing.periods import fitting_unit
from parchunk.cli.audit_shown import print_report
from parchunk.planning.labels import Labels
from parchunk.report import html_page
from parchunk.report.arrays import array_sections
from parchunk.report.entries import entries_of
from parchunk.report.overview import overview
from parchunk.report.strips import BY_DESIGN, MISSING, THERE, strips_of
from parchunk.report.ticks import ticks_along

DAYS = 100


@pytest.fixture(scope="module")
def audit_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., parchunk.AuditReport]:
    """Audit five arrays from 2015-01-27: a week that four lack, and single days of the fifth."""
    folder = tmp_path_factory.mktemp("overview")
    root = zarr.open_group(folder / "s", mode="w", zarr_format=2)
    for name in ("a", "b", "c", "d", "scattered", "whole<&>"):
        array = root.create_array(
            name, shape=(DAYS,), chunks=(1,), dtype="i1", attributes={"_ARRAY_DIMENSIONS": ["time"]}
        )
        array[...] = 1
    time = root.create_array("time", shape=(DAYS,), chunks=(DAYS,), dtype="i4")
    time.attrs.update({"_ARRAY_DIMENSIONS": ["time"], "units": "days since 2015-01-27"})
    time[...] = np.arange(DAYS)
    for name in "abcd":
        for day in range(40, 47):
            (folder / "s" / name / str(day)).unlink()
    for day in (3, 20, 50, 77, 99):
        (folder / "s/scattered" / str(day)).unlink()
    parchunk.build(parchunk.plan(str(folder / "s"), split="time", region=25), str(folder / "out"))
    return lambda **options: parchunk.audit(str(folder / "out"), **options)


@pytest.fixture(scope="module")
def report(audit_of: Callable[..., parchunk.AuditReport]) -> parchunk.AuditReport:
    return audit_of(by="month")


def test_what_is_one_fact_is_said_once(report: parchunk.AuditReport) -> None:
    assert len(report.findings) == 9
    shared, scattered = entries_of(report)
    assert shared.message == (
        "4 arrays (a, b, c and 1 more): 2015-03-08 to 2015-03-14 along time: all 28 chunks missing"
    )
    assert shared.members == tuple(f"{name}: 7 of 7" for name in "abcd")
    assert scattered.message == "scattered: 5 single chunks missing, 2015-01-30 to 2015-05-06"
    assert scattered.members[:2] == ("2015-01-30 (chunk 3)", "2015-02-16 (chunk 20)")
    assert shared.count + scattered.count == report.missing


def test_the_worst_is_on_top_and_drawn_where_it_is(report: parchunk.AuditReport) -> None:
    found = strips_of(report)
    assert (found.name, found.extent) == ("time", DAYS)
    strips = found.of(found.arrays)
    names = [strip.array.array for strip in strips]
    assert names == ["a", "b", "c", "d", "scattered", "whole<&>"]
    expected = np.full(DAYS, THERE)
    expected[40:47] = MISSING
    assert strips[0].cells(DAYS).tolist() == expected.tolist()
    # Fewer cells than chunks: what is missing in any of them is never told as whole.
    assert np.flatnonzero(strips[4].cells(10) != THERE).tolist() == [0, 2, 5, 7, 9]


def test_what_is_not_expected_is_not_drawn_as_missing(
    audit_of: Callable[..., parchunk.AuditReport],
) -> None:
    report = audit_of(expect=["time=47:100"])
    found = strips_of(report)
    (strip,) = found.of([array for array in found.arrays if array.array == "a"])
    assert set(strip.cells(DAYS)[40:47].tolist()) == {BY_DESIGN}
    assert set(strip.cells(DAYS)[47:].tolist()) == {THERE}


def test_an_array_whose_picture_is_not_kept_is_drawn_by_its_counts(
    audit_of: Callable[..., parchunk.AuditReport],
) -> None:
    report = audit_of()
    found = strips_of(report)
    before = {strip.array.array: set(strip.states.tolist()) for strip in found.of(found.arrays)}
    for array in report.arrays:
        array.heat.drop()
        array.sizes.drop()
    for strip in found.of(strips_of(report).arrays):
        (state,) = strip.states.tolist()
        # Whole only where all of it is.
        assert (state == THERE) == (before[strip.array.array] == {THERE})
        assert strip.cells(20).tolist().count(state) > 0
    assert "Pictures are drawn for" in report.to_html()


def test_of_very_many_arrays_those_that_lack_most_are_on_the_page(
    report: parchunk.AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = array_sections(report, most=2)
    assert [f"<h3>{name}</h3>" in shown for name in ("a", "b", "c", "scattered")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert "And 5 more arrays" in shown
    assert "more arrays" not in array_sections(report)
    monkeypatch.setattr("parchunk.report.overview._DRAWN", 4)
    assert "And 2 more arrays, of which 1 lacks something." in overview(report)


def test_ticks_are_at_the_calendars_borders(report: parchunk.AuditReport) -> None:
    ticks = [(tick.element, tick.text) for tick in ticks_along(report.labels, DAYS)]
    assert ticks == [(5, "2015-02"), (33, "2015-03"), (64, "2015-04"), (94, "2015-05")]


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 24, 24 * 7, 24 * 365]), st.integers(1, 400))
def test_a_tick_begins_the_period_that_it_names(start: int, step: int, extent: int) -> None:
    hours = np.datetime64("1900-01-01T00") + (start % 10**6 + step * np.arange(extent))
    texts = [str(hour).replace("T", " ") + ":00" for hour in hours.astype("datetime64[h]")]
    ticks = ticks_along(Labels(pa.array(texts)), extent)
    assert len(ticks) <= 8
    assert [tick.element for tick in ticks] == sorted({tick.element for tick in ticks})
    for tick in ticks:
        key = tick.text.removesuffix(":00")
        assert key in texts[tick.element]
        assert tick.element == 0 or key not in texts[tick.element - 1]


def test_other_labels_are_marked_at_round_numbers() -> None:
    assert [t.text for t in ticks_along(Labels(), 1000)] == ["0", "200", "400", "600", "800"]
    labels = Labels(pa.array(["A", "B", None]))
    assert [t.text for t in ticks_along(labels, 3)] == ["A", "B", "2"]


@pytest.mark.parametrize(
    ("step", "unit"), [("D", "day"), ("M", "month"), ("Y", "year"), (None, None)]
)
def test_periods_fit_on_a_page(step: str | None, unit: str | None) -> None:
    texts = ["a", "b"] if step is None else [
        f"{moment}-01-01"[:10] for moment in np.arange("1990", 50, dtype=f"M8[{step}]").astype(str)
    ]  # fmt: skip
    assert fitting_unit("time", Labels(pa.array(texts))) == unit


def test_a_report_has_periods_without_being_asked(
    audit_of: Callable[..., parchunk.AuditReport],
) -> None:
    report = audit_of(by="fitting")
    assert report.periods is not None
    assert (report.periods.unit, len(report.periods.periods)) == ("month", 5)


def test_the_page_says_things_in_order(report: parchunk.AuditReport) -> None:
    page = html_page(report)
    places = [
        page.index(text)
        for text in ("Incomplete: 33", "Arrays along time", "chunks expected", "Findings (9)",
                     "4 arrays (a, b, c", "scattered: 5 single", "By month", "Chunks by array",
                     "<h2>Arrays</h2>")
    ]  # fmt: skip
    assert places == sorted(places)


@pytest.mark.parametrize("coloured", [False, True])
def test_a_terminal_of_80_columns_shows_it_in_the_same_order(
    report: parchunk.AuditReport, coloured: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "80"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    print_report(report)
    printed = capsys.readouterr().out
    assert ("\x1b[33m" in printed) == coloured
    lines = "".join(part.partition("m")[2] if at else part
                    for at, part in enumerate(printed.split("\x1b["))).splitlines()  # fmt: skip
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    places = [
        text.index(said)
        for said in ("incomplete: 33", "2015-02 ", "4 arrays (a, b, c", "scattered: 5", "to do:",
                     "along time: 0 of 5", "\narray ", "record files")
    ]  # fmt: skip
    assert places == sorted(places)
    assert "1 of 6 arrays along time are whole" in text


def test_what_is_to_be_done_beyond_what_is_printed_is_counted(
    report: parchunk.AuditReport, capsys: pytest.CaptureFixture[str]
) -> None:
    (one, *_), found = report.findings, []
    for number in range(11):
        damage = {"kind": "wrong-digest", "severity": "damage", "array": None}
        found.append(replace(one, **damage, message=f"m{number}", remedy=f"mend {number}"))
    print_report(replace(report, findings=tuple(found)))
    printed = capsys.readouterr().out
    assert printed.count("to do: mend") == 8
    assert "and 3 more things to do: --json lists them all" in printed
    print_report(replace(report, findings=tuple(found[:8])))
    assert "more things to do" not in capsys.readouterr().out
