"""Print how fast the synthetic server and its twin are, so that a client's share can be told.

``python -m instruments.synthetic.rates``
"""

from __future__ import annotations

import http.client
import threading
import time

from obstore.store import S3Store

from instruments.synthetic.formula_array import FormulaArray
from instruments.synthetic.server import Server, serve
from instruments.synthetic.twin import FormulaListing
from instruments.synthetic.zarr_stores import zarr_store


def pages_without_a_client(server: Server, pages: int) -> float:
    """Return pages a second over one connection that reads bodies and parses nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    began = time.perf_counter()
    for page in range(pages):
        token = f"{page * 1000 + 2}.0."
        path = f"/{server.bucket}?list-type=2&prefix=air/&continuation-token={token}"
        connection.request("GET", path)
        connection.getresponse().read()
    seconds = time.perf_counter() - began
    connection.close()
    return pages / seconds


def keys_with_obstore(server: Server, array: FormulaArray, streams: int, each: int) -> float:
    """Return keys a second of so many streams side by side, ``each`` keys long or to the end."""
    store = S3Store(server.bucket, **server.store_kwargs())
    seen = [0] * streams

    def walk(stream: int) -> None:
        offset = array.key(stream * each - 1) if stream else None
        for batch in store.list(array.name, offset=offset, chunk_size=1000, return_arrow=True):
            seen[stream] += batch.num_rows
            if seen[stream] >= each:
                return

    threads = [threading.Thread(target=walk, args=(stream,)) for stream in range(streams)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(seen) / (time.perf_counter() - began)


def main() -> None:
    shape, dims = (87020, 127, 768, 1536), ("time", "pfull", "grid_yt", "grid_xt")
    store = zarr_store([("air", shape, (1, 1, 768, 1536), dims)])
    array = store.array("air")
    with serve(store) as server:
        print(f"server, nothing parsed: {pages_without_a_client(server, 1500):,.0f} pages/s")
        for streams in (1, 8):
            rate = keys_with_obstore(server, array, streams, 1_600_000 // streams)
            print(f"obstore, {streams} streams: {rate:,.0f} keys/s")
    with serve(store, latency=0.05) as server:
        for streams in (1, 32, 128):
            rate = keys_with_obstore(server, array, streams, 20_000)
            print(f"obstore, {streams} streams, 50 ms a request: {rate:,.0f} keys/s")
    for chunk_size in (1_000, 10_000, 65_536):
        twin = FormulaListing(store)
        began = time.perf_counter()
        for _ in twin.list("air", chunk_size=chunk_size):
            pass
        rate = twin.keys / (time.perf_counter() - began)
        print(f"twin, batches of {chunk_size:,}: {rate:,.0f} keys/s, {twin.requests:,} requests")


if __name__ == "__main__":
    main()
