"""Facts and tables: how the page sets out what is counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parchunk.report.markup import Markup, element


def fact_list(facts: Iterable[tuple[str, str]]) -> Markup:
    """Return names and values side by side."""
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in facts)
    )


def data_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Return a table that scrolls sideways by keyboard, and stacks on a phone."""
    numeric = [
        name == "bytes" or (bool(rows) and isinstance(rows[0][at], int))
        for at, name in enumerate(columns)
    ]
    head = [
        element("th", name, scope="col", class_="n" if number else None)
        for name, number in zip(columns, numeric, strict=True)
    ]
    body = []
    for row in rows:
        cells = [element("th", row[0], scope="row")]
        for name, value, number in zip(columns[1:], row[1:], numeric[1:], strict=True):
            shown = f"{value:,}" if isinstance(value, int) else value
            cells.append(element("td", shown, class_="n" if number else None, data_name=name))
        body.append(element("tr", *cells))
    table = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
        class_="stack",
    )
    return element("div", table, class_="wrap", tabindex="0", role="region", aria_label=caption)


def span_text(first: int, last: int) -> str:
    """Return a run of numbers in words, both ends included."""
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
