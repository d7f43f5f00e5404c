"""Pages of S3 read with vector kernels, where they look as they do; strictly where they do not.

A page is a head, objects, and a tail. Head and tail are read by an XML parser, with one object
between them. The others are read by its example: where every object has the very same tags, between
them nothing that needs a parser, then vectors find all the same texts as a parser would.

Most of what kernels cost does not depend on how much they read. So the objects of several pages are
read as if they were of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from parchunk.listing.listed_rows import Listed
from parchunk.listing.wire.brackets import read_by_brackets
from parchunk.listing.wire.frame import Frame
from parchunk.listing.wire.page import Glance, UnreadablePage, WirePage
from parchunk.listing.wire.stretches import Stretches
from parchunk.listing.wire.strict_reader import Document, read_strictly
from parchunk.listing.wire.template import CLOSE, OPEN, Template

_KEY = b"<Key>"


@dataclass(frozen=True)
class _Page:
    """A page whose objects, from ``first`` to ``stop``, are to be read by example.

    The example ends at ``second``; ``document`` has all but the objects. Where it is that of the
    page before, around which the same stands, no parser has read the example ``yet``.
    """

    body: bytes
    document: Document
    first: int
    second: int
    stop: int
    token: str | None
    fault: str = ""
    unread: bool = False

    def example(self) -> bytes | None:
        """Return the first object, None where a parser finds something else."""
        if self.unread and _document(self.body, self.second, self.stop) is None:
            return None
        return self.body[self.first : self.second]

    def read(self, listed: Listed) -> WirePage:
        """Return it with its objects.

        Raises
        ------
        UnreadablePage
            When those are not as many as it says.
        """
        self.document.check_count(len(listed.paths))
        return WirePage(listed, self.token, self.fault)

    @property
    def last(self) -> bytes | None:
        """The last key, None where only a parser knows it."""
        at = self.body.rfind(_KEY, self.first, self.stop) + len(_KEY)
        key = self.body[at : self.body.find(b"<", at)].removeprefix(b"/").removesuffix(b"/")
        return None if b"&" in key else key or None


class PageReader:
    """Reads the pages of a listing; what the objects of one looked like is tried on the next."""

    def __init__(self, tagged: bool = False) -> None:
        """Begin; with ``tagged``, objects have their entity tags."""
        self._tagged = tagged
        self._template: Template | None = None
        self._stretches: Stretches | None = None
        self._frame: Frame | None = None
        self._pages: list[_Page | WirePage] = []

    def add(self, body: bytes) -> Glance:
        """Take a page; see `parchunk.listing.wire.page.Reader`."""
        page = self._at_a_glance(body)
        if page is None:
            self._pages.append(read_strictly(body, self._tagged))
            return Glance()
        self._pages.append(page)
        return Glance(page.token, page.last)

    def _at_a_glance(self, body: bytes) -> _Page | None:
        """Return a page that can be read by the example of its first object, else None."""
        first = body.find(OPEN)
        second = body.find(CLOSE, first) + len(CLOSE)
        stop = body.rfind(CLOSE) + len(CLOSE)
        if first < 0 or second <= first:
            return None
        around = body[: first + len(OPEN)] + body[stop:]
        token = self._frame.token(around) if self._frame else None
        if self._frame and token:
            return _Page(body, self._frame.document, first, second, stop, token, unread=True)
        document = _document(body, second, stop)
        if document is None:
            return None
        try:
            token, fault = document.following()
        except UnreadablePage:
            return None
        self._frame = Frame.of(around, document)
        return _Page(body, document, first, second, stop, token, fault)

    def read(self) -> Iterator[WirePage]:
        """Yield what was taken; see `parchunk.listing.wire.page.Reader`."""
        pages, self._pages = self._pages, []
        together = self._together(pages) if len(pages) > 1 else None
        if together is not None:
            yield together
            return
        for page in pages:
            if isinstance(page, WirePage):
                yield page
                continue
            listed = self._listed(page)
            read = page.read(listed) if listed else read_strictly(page.body, self._tagged)
            yield read
            if read.token != page.token:
                return

    def _together(self, pages: list[_Page | WirePage]) -> WirePage | None:
        """Return several pages as one; None where it takes more than stretches to read one."""
        parts = [page for page in pages if isinstance(page, _Page)]
        if len(parts) < len(pages):
            return None
        regions = [memoryview(page.body)[page.first : page.stop] for page in parts]
        found = self._by_stretches(
            b"".join(regions), 0, list(accumulate(map(len, regions))), parts[0]
        )
        if found is None:
            return None
        listed, counts = found
        try:
            for page, count in zip(parts, counts, strict=True):
                page.document.check_count(count)
        except UnreadablePage:
            return None
        return WirePage(listed, parts[-1].token, parts[-1].fault)

    def _listed(self, page: _Page) -> Listed | None:
        """Return the objects of a page, None where one differs from the first."""
        found = self._by_stretches(page.body, page.first, [page.stop], page)
        if found is not None:
            return found[0]
        template = self._template
        if template is None:
            return None
        return read_by_brackets(template, page.body, page.first, page.stop)

    def _by_stretches(
        self, body: bytes, first: int, stops: list[int], page: _Page
    ) -> tuple[Listed, list[int]] | None:
        """Return what `Stretches.read` does, of objects like the last ones, or a page's first."""
        found = self._stretches.read(body, first, stops) if self._stretches else None
        if found is not None:
            return found
        example = page.example()
        template = Template.of(example, self._tagged) if example else None
        if template == self._template:
            return None
        self._template = template
        self._stretches = Stretches.of(template) if template else None
        return self._stretches.read(body, first, stops) if self._stretches else None


def _document(body: bytes, second: int, stop: int) -> Document | None:
    """Return a page without the objects between two places; None where it is more than one."""
    try:
        document = Document(body[:second] + body[stop:])
        document.check_root()
    except UnreadablePage:
        return None
    return None if len(document.objects) != 1 or "EncodingType" in document.said else document
