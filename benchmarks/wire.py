"""What listings cost: processor seconds for a million keys, by who lists, and rates side by side.

    python -m benchmarks.wire [--chunks N] [--latency SECONDS] [--streams 1,8,32,128,512]

A synthetic S3 server on loopback answers, in a process of its own; so does each measurement, after
a small one that imports. "fetch" asks for pages and throws them away; "drain" reads them; "build"
writes references: of S3 without credentials and with signatures, and of Google's stores, whose
pages are JSON off the wire and XML through obstore. Then all listings of a table's row run side by
side from one process, each over an equal share of the keys, at so many seconds a request:
``--pages`` pages each. "loop" follows them in one thread (`benchmarks.wire_loop`), "2 loops" in
two.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from instruments.measuring import in_process, measured
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.server import Server, serve
from instruments.synthetic.zarr_stores import zarr_store
from obstore.store import GCSStore, S3Store
from rich.console import Console
from rich.table import Table

import parchunk
from benchmarks.wire_loop import loops
from parchunk.listing.choosing import choose, pages_of
from parchunk.listing.pages import Enough, Spent
from parchunk.listing.walker import BATCH_ROWS, batch_rows
from parchunk.listing.wire.server import server_at
from parchunk.stores.throttle import Throttle

SMALL = 10_000
NEVER = threading.Event()
KINDS = ("fetch", "obstore drain", "wire drain", "obstore build", "wire build")
#: How listings are followed side by side: by threads, or in so many event loops off the wire.
BESIDE = ("obstore", "wire", "loop", "2 loops")
LOOPS = {"loop": 1, "2 loops": 2}
WHAT = ("keys/s", "cpu/M", "MiB")
KEYS: dict[str, dict[str, Any]] = {
    "anonymous": {"skip_signature": True},
    "signed": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "EXAMPLE"},
}
#: What is asked in the JSON of Google Cloud Storage, without credentials.
GOOGLE = "Google"
_COUNT = re.compile(rb"<KeyCount>(\d+)<")
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)<")


def store_of(chunks: int) -> FormulaStore:
    """Return a store of about ``chunks`` chunks."""
    return zarr_store(
        [("t", (max(chunks // 100, 1), 100, 10, 10), (1, 1, 10, 10), ("time", "z", "y", "x"))]
    )


def source_of(server: Server, way: str, asked: str = "anonymous") -> parchunk.Source:
    """Return the server's store as a source that is listed one way, and asked with those keys."""
    if asked == GOOGLE:
        bucket = GCSStore(
            server.bucket,
            base_url=server.endpoint,
            skip_signature=True,
            client_options={"allow_http": True},
        )
        return parchunk.Source(bucket, url=f"gs://{server.bucket}", listing=way)
    kwargs = {**server.store_kwargs()}
    del kwargs["skip_signature"]
    store = S3Store(server.bucket, **kwargs, **KEYS[asked])
    return parchunk.Source(store, url=f"s3://{server.bucket}", listing=way)


def fetch(server: Server) -> dict[str, Any]:
    """Ask for every page, and find where the next one is."""
    dialect = choose(source_of(server, "wire")).dialect
    assert dialect is not None
    asked, keys = server_at(dialect.origin, dialect.limits, 0), 0
    token: str | None = None
    while True:
        body = asked.get(dialect.target("t/", None, token), dict, Spent(), NEVER, Throttle()).body
        counted = _COUNT.search(body, 0, 2_000)
        keys += int(counted[1]) if counted else 0
        found = _TOKEN.search(body, 0, 2_000)
        if found is None:
            return {"keys": keys}
        token = found[1].decode()


def drain(server: Server, way: str, asked: str) -> dict[str, Any]:
    """Read every page."""
    pages = pages_of(source_of(server, way, asked), 1000, 60, NEVER)
    read = pages.pages("t", None, Spent(), Enough(BATCH_ROWS))
    return {"keys": sum(len(page.paths) for page in read)}


def build(server: Server, way: str, asked: str) -> dict[str, Any]:
    """Build references."""
    with tempfile.TemporaryDirectory() as folder:
        return {"keys": parchunk.build(source_of(server, way, asked), f"{folder}/refs").present}


def one(kind: str, chunks: int, asked: str) -> dict[str, Any]:
    """Measure one kind here."""
    way, _, what = kind.rpartition(" ")
    run: Callable[[Server], dict[str, Any]] = (
        fetch
        if what == "fetch"
        else partial(drain if what == "drain" else build, way=way, asked=asked)
    )
    with serve(store_of(SMALL)) as server:
        run(server)
    with serve(store_of(chunks)) as server:
        return measured(lambda: run(server))


def side_by_side(way: str, streams: int, latency: float, pages: int) -> dict[str, Any]:
    """Measure listings that run at the same time, each over a share of the keys."""
    store = store_of(streams * pages * 1000)
    array = store.array("t")
    each = array.total // streams
    with serve(store, latency=latency) as server:
        if threads := LOOPS.get(way):
            dialect = choose(source_of(server, "wire")).dialect
            assert dialect is not None
            offsets = [array.key(at * each - 1) if at else None for at in range(streams)]
            return measured(lambda: {"keys": loops(dialect, offsets, each, threads)})
        listing = pages_of(source_of(server, way), 1000, 60, NEVER)
        seen, enough = [0] * streams, Enough(batch_rows(streams))

        def walk(stream: int) -> None:
            offset = array.key(stream * each - 1) if stream else None
            found = listing.pages("t", offset, Spent(), enough)
            for page in found:
                seen[stream] += len(page.paths)
                if seen[stream] >= each:
                    break
            found.close()

        threads = [threading.Thread(target=walk, args=(stream,)) for stream in range(streams)]

        def run() -> dict[str, Any]:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return {"keys": sum(seen)}

        return measured(run)


def costs(chunks: int) -> Table:
    """Return the table of processor seconds."""
    table = Table(title="processor seconds for a million keys", box=None, title_justify="left")
    table.add_column("")
    for asked in (*KEYS, GOOGLE):
        table.add_column(asked, justify="right")
    for kind in KINDS:
        cells = []
        for asked in (*KEYS, GOOGLE):
            if kind == "fetch" and asked != "anonymous":
                continue
            found = in_process("benchmarks.wire", kind, "--chunks", chunks, "--asked", asked)
            cells.append(f"{found['cpu_seconds'] / found['keys'] * 1e6:.2f}")
        table.add_row(kind, *cells)
    return table


def rates(streams: list[int], latency: float, pages: int) -> Table:
    """Return the table of listings side by side."""
    table = Table(
        title=f"side by side, {latency * 1000:.0f} ms a request", box=None, title_justify="left"
    )
    for column in ("listings", *(f"{way} {what}" for what in WHAT for way in BESIDE)):
        table.add_column(column, justify="right")
    for count in streams:
        found = [
            in_process(
                "benchmarks.wire",
                f"{way} beside",
                *("--streams", count, "--latency", latency, "--pages", pages),
            )
            for way in BESIDE
        ]
        table.add_row(
            str(count),
            *(f"{each['keys'] / each['seconds']:,.0f}" for each in found),
            *(f"{each['cpu_seconds'] / each['keys'] * 1e6:.2f}" for each in found),
            *(f"{each['mib']:.0f}" for each in found),
        )
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--streams", default="1,8,32,128,512")
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--asked", default="anonymous", choices=(*KEYS, GOOGLE))
    parser.add_argument("--one", help="measure here, print JSON")
    given = parser.parse_args()
    streams = [int(count) for count in given.streams.split(",")]
    if given.one and given.one.endswith(" beside"):
        way = given.one.removesuffix(" beside")
        print(json.dumps(side_by_side(way, streams[0], given.latency, given.pages)))
    elif given.one:
        print(json.dumps(one(given.one, given.chunks, given.asked)))
    else:
        console = Console(width=160, highlight=False)
        console.print(costs(given.chunks))
        console.print(rates(streams, given.latency, given.pages))


if __name__ == "__main__":
    main()
