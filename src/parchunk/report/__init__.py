"""An audit on one page: self-contained HTML without scripts, for people who were not there."""

from __future__ import annotations

from parchunk.report.page import html_page

__all__ = ["html_page"]
