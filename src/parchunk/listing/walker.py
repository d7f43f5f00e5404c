"""Listings of the source: walks followed through the pages of a store.

`follow` turns one walk into checked Arrow columns. On stores that list in order it stops early,
resumes after the last delivered key, and trusts nothing: keys must rise, and lie after the offset.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from parchunk.cover.memory import ROOMY_LISTINGS
from parchunk.cover.walks import Walk
from parchunk.errors import ListingError
from parchunk.listing.choosing import pages_of
from parchunk.listing.listed_rows import Endless, Listed, Repeats, in_order, join, up_to
from parchunk.listing.obstore_pages import rows_of
from parchunk.listing.pages import EACH, PAGE_ROWS, Enough, PageError, Pages, Spent
from parchunk.listing.patience import Patience, Requests
from parchunk.listing.probing import Prober
from parchunk.listing.questions import asked
from parchunk.listing.waiting import Cancelled
from parchunk.listing.witness import Course, Witnesses
from parchunk.metadata.names import ancestors
from parchunk.stores.explaining import explain, is_final
from parchunk.stores.source import Source

#: Rows gathered before they are handed on: enough to make the kernels' fixed costs small.
BATCH_ROWS = 10_000

#: Why an answer that ends a listing is not taken for one.
_NO_WITNESS = (
    "the store ended it in an answer without a key that must be there (an error with status 200, "
    "or objects deleted meanwhile)"
)


def batch_rows(concurrency: int) -> int:
    """Return how many rows each of so many listings side by side gathers."""
    return max(BATCH_ROWS * ROOMY_LISTINGS // max(concurrency, ROOMY_LISTINGS), PAGE_ROWS)


class Refused(ListingError):
    """A listing that the store refuses: to try it again cannot help."""


@dataclass
class Listing:
    """How the walks of one array are followed: shared settings, no state but the counters.

    ``array`` may be a group, too: walks are relative to it. ``batch`` rows or more are handed on
    together.
    """

    source: Source
    array: str
    requests: Requests
    patience: Patience
    stop: threading.Event
    batch: int = BATCH_ROWS
    witnesses: Witnesses = field(default_factory=Witnesses, repr=False)

    def __post_init__(self) -> None:
        """Prepare to ask for each chunk, where nothing lists them."""
        self._prober: Prober | None = None
        if self.source.manner.probed:
            self._prober = Prober(self.source, self.array, self.requests, self.patience, self.stop)

    def of(self, array: str) -> Listing:
        """Return how the walks of an array are followed: this, where it is the same one."""
        if array == self.array:
            return self
        return replace(self, array=array, witnesses=Witnesses())

    @cached_property
    def _pages(self) -> Pages:
        """Who is asked for pages, chosen with the first: many small arrays are walked as one."""
        patience = self.patience
        return pages_of(
            self.source, self.page, patience.quiet, self.stop, patience.lists_per_second
        )

    @property
    def page(self) -> int:
        """Keys of one LIST request, at most."""
        return self.source.manner.page

    def path(self, tail: str) -> str:
        """Return the store path of a tail of the array."""
        return self.source.path("/".join(part for part in (self.array, tail) if part))

    def follow(self, walk: Walk) -> Generator[Listed, None, None]:
        """Yield what ``walk`` meets, in order, each key once however often the listing breaks.

        Raises
        ------
        Unordered
            When keys do not rise or do not lie after the offset: nothing can be concluded then.
        Refused, ListingError
            When the store refuses it, or it broke `Patience.attempts` times without getting any
            further.
        """
        if self._prober is not None:
            yield from self._prober.follow(walk)
            return
        base, root = (f"{path}/" if path else "" for path in (self.path(""), self.source.path("")))
        course = Course(walk, base, root, self.witnesses, self._first_page, PAGE_ROWS)
        attempt = 0
        while True:
            try:
                for listed, passed in self._stream(course.prefix, course.offset, course.last):
                    fresh = course.take(listed) if len(listed.paths) else listed
                    if len(fresh.paths):
                        attempt = 0
                        yield fresh
                    if passed:
                        return
            except _Broken as broken:
                attempt += 1
                if broken.listed is not None:
                    fresh = course.take(broken.listed)
                    if len(fresh.paths):
                        attempt = 1
                        yield fresh
                course.broke()
                self._again(attempt, broken, walk, course.reached)
                continue
            verdict = course.stopped() if self.source.manner.remote else "ended"
            if verdict == "ended":
                return
            if verdict == "fault":
                attempt += 1
                course.failed()
                self._again(attempt, _Broken(_NO_WITNESS, None, False), walk, course.reached)

    def _first_page(self, prefix: str, offset: str | None) -> list[str]:
        """Return up to a page of keys, rising."""
        attempt = 0
        while True:
            try:
                for listed, _ in replace(self, batch=1)._stream(prefix, offset, None):
                    keys: list[str] = listed.paths.to_pylist()
                    return keys
                return []
            except _Broken as broken:
                attempt += 1
                self._again(attempt, broken, None, None)

    def drain(self, directory: str) -> Iterator[Listed | None]:
        """Yield everything below ``directory`` in no order; None means: start afresh.

        A broken listing without order cannot be resumed, so what was yielded before a None must
        be forgotten (or be harmless when it comes again).
        """
        attempt = 0
        while True:
            try:
                for listed, _ in self._stream(self.path(directory), None, None, check=False):
                    yield listed
                return
            except _Broken as broken:
                attempt += 1
                self._again(attempt, broken, None, directory)
                yield None

    def directly_in(self, directory: str) -> tuple[Listed | None, list[str]]:
        """Return the objects that lie in a directory and not deeper, and the directories in it.

        The latter are relative to the array, as ``directory`` is. For stores where that costs no
        requests.

        Raises
        ------
        ListingError
            When it failed `Patience.attempts` times.
        """
        path, above = self.path(directory), f"{base}/" if (base := self.path("")) else ""
        if self._lies_in_object(directory):
            return None, []  # to list that is an error, and not as if there were none
        try:
            found = self._asked(
                lambda: self.source.store.list_with_delimiter(path, return_arrow=True)
            )
        except Cancelled:
            raise
        except Exception as error:
            raise ListingError(
                f"listing of {self.source.describe(f'{self.array}/{directory}')} failed: "
                f"{explain(error)}; run the same command again to resume"
            ) from None
        if found is None:
            return None, []
        objects = pa.table(found["objects"]).combine_chunks().to_batches()
        tagged = self.source.identity == "etag"
        listed = rows_of(objects[0], tagged) if objects else None
        return listed, [each[len(above) :] for each in found["common_prefixes"]]

    def _lies_in_object(self, directory: str) -> bool:
        """Whether an object stands where a directory above ``directory`` would."""
        return any(
            self.source.holds_object("/".join(filter(None, (self.array, above))))
            for above in ancestors([directory])
            if above
        )

    def has(self, tail: str) -> bool:
        """Whether an object with bytes is at ``tail`` of the array, asked of the object itself.

        Raises
        ------
        ListingError
            When the question failed `Patience.attempts` times, or must not be asked.
        """
        path, where = self.path(tail), self.source.describe(f"{self.array}/{tail}")
        try:
            found = self._asked(lambda: self.source.store.head(path))
        except Cancelled:
            raise
        except Exception as error:
            if is_final(error):
                raise ListingError(
                    f"{where} is not listed, and asking for it failed: {explain(error)}; a "
                    "store that does not list in order needs the right to read objects; "
                    "without it, build with --trust-listing, and audit without --against-source"
                ) from None
            raise ListingError(
                f"{where} is not listed, and asking for it failed at {self.patience.attempts} "
                f"attempts: {explain(error)}; run the same command again to resume"
            ) from None
        return found is not None and int(found["size"]) > 0

    def _asked(self, ask: Callable[[], Any]) -> Any:
        return asked(ask, self.source, self.patience, self.requests, self.stop)

    def _again(self, attempt: int, broken: _Broken, walk: Walk | None, after: str | None) -> None:
        self.requests.add(retries=1)
        if broken.final or attempt >= self.patience.attempts:
            where = f" after key {after}" if after and walk is not None else ""
            tries = f"{attempt} attempts" if attempt > 1 else "the first attempt"
            raise (Refused if broken.final else ListingError)(
                f"listing of {self.source.describe(self.array)}{where} failed at {tries}: "
                f"{broken.reason}; run the same command again to resume"
            ) from None
        self.patience.wait(attempt, self.stop)

    def _stream(
        self, prefix: str, offset: str | None, last: str | None, *, check: bool = True
    ) -> Iterator[tuple[Listed, bool]]:
        """Yield (rows, whether what follows is beyond ``last``); raise `_Broken` when it dies."""
        gathered: list[Listed] = []
        rows = 0
        previous = offset
        repeats = Repeats() if self.source.manner.remote and not check else None
        spent = Spent()
        # Without order, who repeats pages is told by each.
        enough = Enough(self.batch, last) if check else EACH
        stream = self._pages.pages(prefix, offset, spent, enough)
        try:
            while True:
                page = _next(stream, check)
                if self.stop.is_set():
                    raise Cancelled("cancelled")
                if page is not None:
                    if repeats is not None:
                        repeats.check(page.paths)
                    gathered.append(page)
                    rows += len(page.paths)
                done = page is None or (
                    last is not None and page.paths[-1].as_py().encode() >= last.encode()
                )
                if gathered and (done or rows >= self.batch):
                    listed = join(gathered)
                    gathered, rows = [], 0
                    if check:
                        listed = in_order(listed, previous)
                        if len(listed.paths):
                            previous = listed.paths[-1].as_py()
                    passed = page is not None and done
                    if passed and last is not None:
                        listed = up_to(listed, last)
                    if passed or len(listed.paths):
                        yield listed, passed
                if done:
                    return
        except Endless as endless:
            raise _Broken(str(endless), None, True) from None
        except PageError as error:
            kept = None
            if gathered and check:
                kept = in_order(join(gathered), previous)
                if last is not None:
                    kept = up_to(kept, last)
            raise _Broken(error.reason, kept, error.final) from None
        finally:
            stream.close()
            self.requests.add(
                lists=spent.lists, keys=spent.keys, retries=spent.retries, busy=spent.busy
            )


def _next(stream: Iterator[Listed], ordered: bool) -> Listed | None:
    """Return the next page, None at the end: a witness tells whether it is the end."""
    try:
        return next(stream, None)
    except PageError as error:
        if ordered and error.untold:
            return None
        raise


class _Broken(Exception):
    """A stream that died: why, what it delivered and nobody has yet, whether to try again."""

    def __init__(self, reason: str, listed: Listed | None, final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.listed = listed if listed is not None and len(listed.paths) else None
        self.final = final
