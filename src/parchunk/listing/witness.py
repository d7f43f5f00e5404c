"""Witnesses: keys that show that an answer which ends a listing is an answer.

A 200 whose body is an error, or a page that says "more" without saying where, ends a listing as an
honest last page does, and no exception tells. So an end is believed only when the page that shows
it holds a key which is known to be there: the last one that was delivered, asked for again by
starting after the one before it, or any that sorts after all that is wanted (``zarr.json`` follows
an array's ``c/``). Where a walk has met nothing, an earlier key of its array is looked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from parchunk.cover.walks import Walk
from parchunk.listing.listed_rows import Listed, after

#: What is asked for a page: a prefix and an offset, paths both; its keys, rising, are returned.
Page = Callable[[str, str | None], Sequence[str]]


@dataclass(frozen=True)
class Witness:
    """A key that is there: a listing that starts after ``before`` holds ``key`` in its first page.

    ``before`` is None where ``key`` is the first one of its prefix.
    """

    before: str | None
    key: str


@dataclass
class Witnesses:
    """What is known of the prefixes that walks of one array list; shared by threads.

    ``last`` are keys that nothing follows in their prefix, which a page has shown. ``known`` are
    keys that were looked for where a walk had met nothing.
    """

    last: dict[str, Witness] = field(default_factory=dict)
    known: dict[str, Witness] = field(default_factory=dict)
    search: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def before(self, prefix: str, offset: str | None) -> Witness | None:
        """Return the last key known of a prefix where it is not after ``offset``, else None.

        Only objects that came since can follow it.
        """
        found = self.last.get(prefix)
        return found if found and offset and found.key.encode() <= offset.encode() else None

    def find(self, prefix: str, walk: Walk, base: str, page: Page, keys: int) -> Witness | None:
        """Return the last key of an array that is found before a walk; None where there is none.

        ``page`` returns up to ``keys`` keys, and ``base`` is what walks' keys are relative to.
        The array is halved until a page that is not full shows where it ends: all its keys may be
        in one page, or in a million. An answer that is a lie costs requests, and nothing else: the
        walk starts at what was found.
        """
        with self.search:
            offset = base + walk.offset if walk.offset else ""
            found = self.known.get(prefix) or self.last.get(prefix)
            if found is not None and found.key.encode() <= offset.encode():
                return found
            found, low, high = None, 0, max(walk.start, 1)
            middle = 0 if high <= keys else high // 2
            while low < high:
                start = walk.key(middle - 1) if middle else walk.origin
                since = None if start is None else base + start
                rows = [key for key in page(prefix, since) if key.encode() <= offset.encode()]
                if rows:
                    found = Witness(rows[-2] if len(rows) > 1 else since, rows[-1])
                    if len(rows) < keys:
                        break
                    low = middle + keys
                else:
                    high = middle
                middle = (low + high) // 2
            if found is not None:
                self.known[prefix] = found
            return found


#: What the end of a stream says: the walk has ended; ask again; nothing that must come has come.
Verdict = Literal["ended", "ask", "fault"]


class Course:
    """Where a walk stands: what to list next, what it has met, and whether its end is believed.

    A listing of ``prefix`` after ``offset``, up to ``last``, is what is to be asked for next.
    """

    def __init__(
        self, walk: Walk, base: str, root: str, witnesses: Witnesses, page: Page, keys: int
    ) -> None:
        """Begin; ``base`` is what the walk's keys are relative to, ``root`` the source's prefix.

        Both end with a slash or are empty. ``page`` lists up to ``keys`` keys.
        """

        def path(tail: str | None) -> str | None:
            return None if tail is None else base + tail

        self.prefix = (base + walk.prefix).strip("/")
        self._start = self.offset = self._floor = path(walk.offset)
        self.last = path(walk.last)
        self._walk, self._base, self._root = walk, base, root
        self._directory = self.prefix
        self._final = path(walk.final)
        self._witnesses, self._page, self._keys = witnesses, page, keys
        #: The last key met, and what a listing that is to hold it must start after.
        self._seen: Witness | None = None
        #: The key that the stream under way must show.
        self._sought = witnesses.before(self.prefix, self.offset)
        self._came = False
        self._asked: set[str] = set()
        self._failures = 0
        if self._sought is not None:
            self._seen, self.offset = self._sought, self._sought.before

    @property
    def reached(self) -> str | None:
        """The last key that was delivered, or what the walk starts after."""
        return self._floor

    def take(self, listed: Listed) -> Listed:
        """Note what a stream delivered; return what of it is new."""
        paths = listed.paths
        newest = paths[-1].as_py()
        before = paths[-2].as_py() if len(paths) > 1 else self.offset
        if self._seen is None or _less(self._seen.key, newest):
            if len(paths) == 1 and self._seen is not None:
                before = self._seen.key
            self._seen = Witness(before, newest)
        self._came = not _less(newest, self._seen.key)
        if self._floor is not None and not _less(self._floor, paths[0].as_py()):
            listed = after(listed, self._floor)
        if len(listed.paths):
            self._floor = newest
        return listed

    def broke(self) -> None:
        """Go on after the last key that came: the stream has died.

        One that was asked for its witness, and has not shown it, is asked again: else every second
        answer that breaks could be the witness's.
        """
        if self._sought is not None and not self._came:
            return
        self._sought, self._came = None, False
        if self._seen is not None:
            self.offset = self._seen.key

    def stopped(self) -> Verdict:
        """Say what it means that a stream has ended before the walk's last key."""
        came, self._came = self._came, False
        seen, sought = self._seen, self._sought
        if seen is not None and self._final is not None and not _less(seen.key, self._final):
            return "ended"
        if sought is not None:
            if not came:
                return "fault"
            if seen is not None and seen.key == sought.key:
                self._witnesses.last[self.prefix] = sought
                return "ended"
        elif came and seen is not None:
            last = self._witnesses.last.get(self.prefix)
            if last is not None and last.key == seen.key:
                return "ended"  # nothing has come after what nothing followed before
        if seen is not None:
            self._sought, self.offset = seen, seen.before
            return "ask"
        return self._elsewhere()

    def failed(self) -> None:
        """Begin anew where nothing was met: what was tried showed nothing, which tells nothing."""
        self._failures += 1
        if self._seen is None:
            self._asked.clear()
            self.prefix, self.offset = self._directory, self._start

    def _elsewhere(self) -> Verdict:
        """Look for a key that is there beside a walk that has met none."""
        inside = None
        if self._directory:
            inside = f"{self._directory}/"
            self.last = self.last or f"{self._directory}0"  # follows the slash
        array = self._base.strip("/")
        if array != self.prefix and "beyond" not in self._asked:
            # What stands beside ``c/`` is listed, too: ``zarr.json`` follows it.
            self._asked.add("beyond")
            self.prefix = array
            if inside is not None and (self._floor is None or _less(self._floor, inside)):
                self._floor = inside
            return "ask"
        if self._start is not None and "before" not in self._asked:
            self._asked.add("before")
            found = self._witnesses.find(array, self._walk, self._base, self._page, self._keys)
            if found is not None:
                self._seen = self._sought = found
                self.prefix, self.offset = array, found.before
                return "ask"
        root = self._root.strip("/")
        if inside is not None and "after" not in self._asked:
            # The next array's document follows this one's chunks, if there is one.
            self._asked.add("after")
            self.prefix = root
            # Clients take a slash from the end of an offset, and ``air-x`` follows ``air``.
            self.offset = self._start or f"{self._directory}.~"
            self._floor = self._floor or inside
            return "ask"
        if self._failures > 1 and "all" not in self._asked:
            # An array without any object, the last of its store: what comes before it is listed.
            self._asked.add("all")
            self.prefix, self.offset = root, None
            return "ask"
        return "fault"


def _less(one: str, other: str) -> bool:
    return one.encode() < other.encode()
