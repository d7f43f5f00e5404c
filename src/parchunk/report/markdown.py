"""An audit as Markdown, for the summary of a CI job or a mail: the page's first part, in tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from parchunk.auditing.periods import PERIOD_COLUMNS, period_rows
from parchunk.auditing.result import AuditReport, percent
from parchunk.report.entries import entries_of
from parchunk.report.strips import worst_first
from parchunk.showing.columns import telling
from parchunk.wording import bytes_text

#: Rows of a table: job summaries have a limit, and readers, too.
_ROWS = 50
#: What Markdown takes for a sign wherever it stands: _ but within a word, : but before a space,
#: and what sites make links of. All else stays as it is, for those who read the file in a mail.
_SIGNS = re.compile(
    r"[\\`*\[\]<>|~&@#$!{}^]|(?<![^\W_])_|_(?![^\W_])|:(?=\S)|(?<=www)\.|(?<=gh)-",
    re.IGNORECASE,
)
#: And what it takes for one at the beginning of a line: of a list, or of a rule.
_FIRST = re.compile(r"^(\d*)([-+=.)])(?=[-+=.)\s]|$)")


def markdown(report: AuditReport) -> str:
    """Return the document: verdict, findings, what is new, periods, coverage by array."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: AuditReport) -> Iterator[str]:
    mark = "✓" if report.complete else "✗"
    yield f"## {mark} {text(report.verdict[:1].upper() + report.verdict[1:])}"
    what = report.url if report.of_store else f"{report.url}: references of {report.source}"
    share = percent(report.present / max(report.expected, 1))
    facts = [
        f"{report.present:,} of {report.expected:,} chunks ({share}), {bytes_text(report.bytes)}"
    ]
    if report.completeness is not None:
        facts.append(f"latest complete step along {report.completeness.dimension}: ")
        facts[-1] += report.latest_text
    yield "\n".join(f"- {text(line)}" for line in (what, *facts))
    entries = entries_of(report)
    rows = [(one.severity, f"{one.message} [{one.kind}]", one.remedy) for one in entries]
    yield from _table("Findings", ("", "found", "to do"), rows)
    if report.since is not None:
        yield from _table(
            report.since.title[:1].upper() + report.since.title[1:],
            ("", "what"),
            list(report.since.lines()) or [("", "nothing is new, nothing was mended")],
        )
    if report.periods is not None:
        found = report.periods
        head = f"By {found.unit}: along {found.dimension} {found.text}"
        yield from _table(head, (found.unit, *PERIOD_COLUMNS), period_rows(found.incomplete), True)
    arrays = [
        (one.array, one.expected, one.present, one.missing, one.excused, one.lacking, one.unread,
         bytes_text(one.bytes))
        for one in worst_first(report, list(report.arrays))
    ]  # fmt: skip
    columns = (
        "array", "expected", "present", "missing", "excused", "lacking", "unread", "bytes",
    )  # fmt: skip
    yield from _table("Coverage", *telling(columns, arrays, always=4))


def _table(
    head: str, columns: Sequence[str], rows: Sequence[Sequence[object]], headed: bool = False
) -> Iterator[str]:
    """Yield a table below its heading; nothing without rows, or the heading where it tells all."""
    if rows or headed:
        yield f"### {text(head)}"
    if rows:
        yield "\n".join([_row(columns), _row("---" for _ in columns), *map(_cells, rows[:_ROWS])])
    if len(rows) > _ROWS:
        yield f"And {len(rows) - _ROWS:,} more: parchunk audit --json lists them all."


def _cells(values: Iterable[object]) -> str:
    return _row(text(f"{one:,}" if isinstance(one, int) else str(one)) for one in values)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def text(said: str) -> str:
    """Return text as Markdown that shows it and does nothing else, on one line."""
    line = "".join(c if c.isprintable() else " " for c in said)
    return _FIRST.sub(r"\1\\\2", _SIGNS.sub(r"\\\g<0>", line))
