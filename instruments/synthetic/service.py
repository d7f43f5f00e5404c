"""What the synthetic server answers, and what it counts; nothing of connections."""

from __future__ import annotations

import collections
import itertools
import json
import math
import re
import time
from collections.abc import Iterable
from typing import Any

from instruments.synthetic import gcs_pages, s3_pages
from instruments.synthetic.answers import BUCKET, Answer, Request, error
from instruments.synthetic.faults import Fault
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import Run
from instruments.synthetic.s3_pages import S3Pages

#: What paths begin with by which the handle that started the server asks it.
CONTROL = "/-/"
_LAST_MODIFIED_HTTP = "Tue, 02 Jan 2024 03:04:05 GMT"


class Service:
    """Answers requests and counts them; knows nothing of connections."""

    def __init__(
        self,
        store: FormulaStore,
        page: int,
        faults: Iterable[Fault],
        keep: int,
        lists_per_second: float = math.inf,
    ) -> None:
        self.store = store
        #: How many LIST requests a second are answered; one above them gets a 503.
        self.rate = lists_per_second
        self._room, self._since = 1.0, time.monotonic()
        self.page = page
        self.faults = tuple(faults)
        self.keep = keep
        self.in_flight = 0
        self._pages = S3Pages()
        self._spans: dict[str, tuple[int, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Count from zero, and from the first request of every fault."""
        self.seen = [0] * len(self.faults)
        self.requests = dict.fromkeys(("LIST", "GET", "HEAD"), 0)
        self.befallen: collections.Counter[str] = collections.Counter()
        self.bytes = self.keys = 0
        self.max_in_flight = self.in_flight
        self.lists: collections.deque[dict[str, Any]] = collections.deque(maxlen=self.keep)

    def counts(self) -> dict[str, Any]:
        """Return everything counted since the last reset."""
        return {
            **self.requests,
            "bytes": self.bytes,
            "keys": self.keys,
            "max_in_flight": self.max_in_flight,
            "faults": dict(self.befallen),
        }

    def accept(self, request: Request) -> None:
        """Count a request as it comes in, and decide what befalls it."""
        kind = request.kind
        self.requests[kind] = self.requests.get(kind, 0) + 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        name = request.query.get("prefix", "") if kind == "LIST" else request.key
        token = "continuation-token" in request.query
        after = bool({"start-after", "start-at"} & request.query.keys())
        for place, fault in enumerate(self.faults):
            if fault.concerns(kind, name, token, after):
                number, self.seen[place] = self.seen[place], self.seen[place] + 1
                if request.fault is None and fault.befalls(number):
                    request.fault = fault
        if kind == "LIST" and request.fault is None and self._is_too_busy():
            request.fault = Fault("503")
        if request.fault:
            self.befallen[request.fault.kind] += 1
        if kind == "LIST":
            self.lists.append(
                {
                    "prefix": name,
                    "start_after": request.query.get("start-after")
                    or request.query.get("start-at"),
                    "token": request.query.get("continuation-token"),
                    "delimiter": request.query.get("delimiter"),
                    "max_keys": request.query.get("max-keys"),
                    "fault": request.fault.kind if request.fault else None,
                }
            )

    def _is_too_busy(self) -> bool:
        """Whether a LIST request more is one too many; up to a tenth of a second's may be saved."""
        if self.rate == math.inf:
            return False
        now = time.monotonic()
        saved = self._room + (now - self._since) * self.rate
        self._room, self._since = min(saved, max(self.rate / 10, 1.0)), now
        self._room -= (enough := self._room >= 1)
        return not enough

    def answer(self, request: Request) -> Answer:
        """Return the answer, with whatever is wrong in its content; to a HEAD without a body."""
        answer = self._answer(request)
        if request.method == "HEAD" and answer.body:
            answer = Answer(
                answer.status, b"", f"{answer.head}Content-Length: {len(answer.body)}\r\n"
            )
        return answer

    def _answer(self, request: Request) -> Answer:
        kind = request.fault.kind if request.fault else ""
        if kind.isdigit():
            return error(int(kind))
        if request.bucket != BUCKET:
            return error(404, "NoSuchBucket", "The specified bucket does not exist.")
        if request.kind == "LIST":
            return self._list(request.query, kind, request.json)
        if request.kind in ("GET", "HEAD") and request.key:
            return self._object(request)
        return error(405, "MethodNotAllowed", "The method is not allowed on this resource.")

    def _object(self, request: Request) -> Answer:
        size = self.store.head(request.key)
        if size is None:
            return error(404)
        common = (
            f"ETag: {self.store.e_tag}\r\nLast-Modified: {_LAST_MODIFIED_HTTP}\r\n"
            "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n"
        )
        if request.method == "HEAD":
            return Answer(200, b"", f"{common}Content-Length: {size}\r\n")
        if not request.range:
            return Answer(200, self.store.get(request.key), common)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range)
        if not asked or not (asked[1] or asked[2]):
            return error(400, "InvalidArgument", "The range cannot be read.")
        if asked[1]:
            start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else size, size)
        else:
            start, stop = max(0, size - int(asked[2])), size
        if start >= stop:
            return error(416, "InvalidRange", "The requested range is not satisfiable")
        content_range = f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n"
        return Answer(206, self.store.get(request.key, start, stop), common + content_range)

    def _list(self, query: dict[str, str], fault: str, in_json: bool = False) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = query.get("continuation-token")
        limit = min(int(query.get("max-keys", self.page)), self.page)
        if prefix not in self._spans:
            self._spans[prefix] = self.store.span(prefix)
        first, stop = self._spans[prefix]
        if fault == "error-body":
            return Answer(200, error(500).body)
        if fault == "expired-token" or (token and not re.fullmatch(r"\d+(\.(\d+|end)?){2}", token)):
            return error(400, "InvalidArgument", "The continuation token provided is incorrect")
        if delimiter not in ("", "/"):
            return error(501)

        runs, commons, follows = self._page(query, fault, (first, stop), limit)
        in_url = query.get("encoding-type") == "url"
        parts = gcs_pages.items(runs) if in_json else self._pages.contents(runs, in_url)
        if fault == "empty":
            parts, commons = [], []
        elif fault == "drop":
            parts = parts[: len(parts) // 6 * 3]
        elif fault == "reverse":
            triples = [parts[at : at + 3] for at in range(0, len(parts), 3)]
            parts = list(itertools.chain.from_iterable(reversed(triples)))
        self.keys += len(parts) // 3
        more = "" if fault == "no-token" else follows or None
        if in_json:
            return gcs_pages.page_of(parts, more)
        return s3_pages.page_of(parts, commons, prefix, limit, more)

    def _page(
        self, query: dict[str, str], fault: str, span: tuple[int, int], limit: int
    ) -> tuple[list[Run], list[bytes], str]:
        """Return a page's keys, its common prefixes, and the token of the page that follows."""
        first, stop = span
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = query.get("continuation-token")
        # a token is start.previous.then: where this page starts, where the one before it did,
        # and which slot comes after it if that is not simply the next
        start, previous, then = first, "", ""
        if token:
            at, previous, then = token.split(".")
            start = int(at)
        elif query.get("start-after") and fault != "ignore-start-after":
            start = max(start, self.store.slot_after(query["start-after"]))
        elif query.get("start-at") and fault != "ignore-start-after":
            start = max(start, self.store.span(query["start-at"])[0])
        if fault == "repeat-page" and previous:
            start = int(previous)

        commons: list[bytes] = []
        if delimiter:
            runs, commons, after = self.store.entries(start, stop, prefix, limit)
        else:
            runs, after = self.store.take(start, stop, limit)
        follows = "" if after is None else f"{after}.{start}."
        if then:
            follows = "" if then == "end" else f"{then}.{start}."
        if fault == "swap-pages" and after is not None and not delimiter:
            follows = f"{start}.{after}."
            runs, last = self.store.take(after, stop, limit)
            follows += "end" if last is None else str(last)
        elif fault == "repeat-token":
            follows = token or f"{start}.."
        elif fault in ("short", "empty"):
            follows = ""
        return runs, commons, follows

    def control(self, path: str) -> Answer:
        """Answer the handle that started the server: uncounted."""
        name = path.removeprefix(CONTROL)
        if name == "reset":
            self.reset()
        content: Any = list(self.lists) if name == "lists" else self.counts()
        return Answer(200, json.dumps(content).encode())
