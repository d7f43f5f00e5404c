"""HTML that is escaped by construction: text becomes markup only through `element`."""

from __future__ import annotations

import html
from collections.abc import Iterable

from parchunk.showing.printable import printable


class Markup(str):
    """Text that is markup already; everything else is escaped when it is put into an element."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """Return a value as text of a page; markup stays as it is."""
    if isinstance(value, Markup):
        return value
    # Controls are no characters of HTML, and names of objects may hold any.
    text = printable(str(value))
    # A lone surrogate cannot be written as UTF-8.
    return Markup(html.escape(text.encode("utf-8", "backslashreplace").decode()))


def joined(parts: Iterable[object]) -> Markup:
    """Return parts one after another."""
    return Markup("".join(map(escaped, parts)))


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """Return an element; ``class_`` is class, and ``aria_label`` is aria-label.

    Attributes that are None or False are left out, True stands alone.
    """
    written = []
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = name.rstrip("_").replace("_", "-")
        written.append(f" {spelled}" if value is True else f' {spelled}="{escaped(str(value))}"')
    if tag in ("meta", "rect", "path", "line"):
        return Markup(f"<{tag}{''.join(written)}/>")
    return Markup(f"<{tag}{''.join(written)}>{joined(content)}</{tag}>")


def drawing(
    width: float, height: float, label: str, shapes: Iterable[Markup], style: str | None = None
) -> Markup:
    """Return shapes as an SVG picture that stretches to its place; ``label`` is read out."""
    return element(
        "svg",
        element("title", label),
        joined(shapes),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        preserveAspectRatio="none",
        style=style,
    )
