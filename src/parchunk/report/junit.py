"""An audit as JUnit XML, which CI systems show: a test case an array, and one for the whole."""

from __future__ import annotations

from xml.etree import ElementTree

from parchunk.auditing.findings import Finding
from parchunk.auditing.result import AuditReport


def junit_xml(report: AuditReport) -> bytes:
    """Return the document: arrays with findings fail; notices are their output."""
    by_array: dict[str | None, list[Finding]] = {array.array: [] for array in report.arrays}
    by_array[None] = []
    for found in report.findings:
        by_array.setdefault(found.array, []).append(found)
    failed = sum(any(_counts(found) for found in some) for some in by_array.values())
    suite = ElementTree.Element(
        "testsuite",
        name="parchunk audit",
        tests=str(len(by_array)),
        failures=str(failed),
        errors="0",
        skipped="0",
        time=f"{report.seconds:.3f}",
    )
    for name, some in by_array.items():
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_text(report.url),
            name=_text(name or "the whole"),
            time="0",
        )
        against = [found for found in some if _counts(found)]
        if against:
            failure = ElementTree.SubElement(
                case, "failure", type=against[0].kind, message=_text(against[0].message)
            )
            failure.text = _text(
                "\n".join(f"{one.severity}: {one.message}\nto do: {one.remedy}" for one in against)
            )
        notices = [found.message for found in some if not _counts(found)]
        if notices:
            ElementTree.SubElement(case, "system-out").text = _text("\n".join(notices))
    document: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document


def _counts(found: Finding) -> bool:
    return found.severity != "notice"


def _text(text: str) -> str:
    """Return text that XML can hold: control characters, and halves of pairs, are spelled out."""
    shown = (
        c if c >= " " or c in "\n\t" else f"\\x{ord(c):02x}"
        for c in text.encode("utf-8", "backslashreplace").decode()
    )
    return "".join(shown).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
