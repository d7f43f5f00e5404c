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
from parchunk.listing.wire.page import Glance, UnreadablePage, WirePage
from parchunk.listing.wire.stretches import Stretches
from parchunk.listing.wire.strict_reader import Document, read_strictly
from parchunk.listing.wire.template import CLOSE, OPEN, Template

_KEY = b"<Key>"


@dataclass(frozen=True)
class _Page:
    """A page whose objects, from ``first`` to ``stop``, are to be read by example.

    The example ends at ``second``; ``document`` has all but the others.
    """

    body: bytes
    document: Document
    first: int
    second: int
    stop: int
    token: str | None

    @property
    def example(self) -> bytes:
        """The first object."""
        return self.body[self.first : self.second]

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
        self._pages: list[_Page | WirePage] = []

    def add(self, body: bytes) -> Glance:
        """Take a page; see `parchunk.listing.wire.page.Reader`."""
        page = _at_a_glance(body)
        if page is None:
            self._pages.append(read_strictly(body, self._tagged))
            return Glance()
        self._pages.append(page)
        return Glance(page.token, page.last)

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
            read = page.document.page(listed) if listed else read_strictly(page.body, self._tagged)
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
            b"".join(regions), 0, list(accumulate(map(len, regions))), parts[0].example
        )
        if found is None:
            return None
        listed, counts = found
        try:
            for page, count in zip(parts, counts, strict=True):
                page.document.check_count(count)
        except UnreadablePage:
            return None
        return WirePage(listed, *parts[-1].document.following())

    def _listed(self, page: _Page) -> Listed | None:
        """Return the objects of a page, None where one differs from the first."""
        found = self._by_stretches(page.body, page.first, [page.stop], page.example)
        if found is not None:
            return found[0]
        template = self._template
        if template is None:
            return None
        return read_by_brackets(template, page.body, page.first, page.stop)

    def _by_stretches(
        self, body: bytes, first: int, stops: list[int], example: bytes
    ) -> tuple[Listed, list[int]] | None:
        """Return what `Stretches.read` does, of objects like the last ones or like an example."""
        found = self._stretches.read(body, first, stops) if self._stretches else None
        if found is not None:
            return found
        template = Template.of(example, self._tagged)
        if template == self._template:
            return None
        self._template = template
        self._stretches = Stretches.of(template) if template else None
        return self._stretches.read(body, first, stops) if self._stretches else None


def _at_a_glance(body: bytes) -> _Page | None:
    """Return a page that can be read by the example of its first object, else None."""
    first = body.find(OPEN)
    second = body.find(CLOSE, first) + len(CLOSE)
    stop = body.rfind(CLOSE) + len(CLOSE)
    if first < 0 or second <= first:
        return None
    try:
        document = Document(body[:second] + body[stop:])
        document.check_root()
        token, _ = document.following()
    except UnreadablePage:
        return None
    if len(document.objects) != 1 or "EncodingType" in document.said:
        return None
    return _Page(body, document, first, second, stop, token)
