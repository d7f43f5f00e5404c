"""Pages of the synthetic server in the JSON of Google Cloud Storage, and requests for them."""

from __future__ import annotations

import json
import re

from instruments.synthetic.answers import Answer
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import Run

#: What begins an object, what is between its name and size, and what ends it.
_BETWEEN = f'","updated":"{FormulaStore.last_modified}","size":"'.encode()
_AFTER = b'"}'
PATH = re.compile(r"/storage/v1/b/([^/]+)/o")


def as_of_s3(query: dict[str, str]) -> dict[str, str]:
    """Return what a listing of Google's asks for, in the words of S3; its start is inclusive."""
    words = {
        "prefix": "prefix",
        "pageToken": "continuation-token",
        "maxResults": "max-keys",
        "startOffset": "start-at",
    }
    return {"list-type": "2"} | {words[key]: query[key] for key in words if key in query}


def items(runs: list[Run]) -> list[bytes]:
    """Return three parts an object, as of S3; each begins with a comma."""
    parts: list[bytes] = []
    for run in runs:
        for tail, size in zip(run.pick(run.table.tails), run.sizes().tolist(), strict=True):
            name = json.dumps((run.prefix + tail).decode())[:-1].encode()
            parts += [b',{"name":', name + _BETWEEN, b"%d" % size + _AFTER]
    return parts


def page_of(parts: list[bytes], token: str | None) -> Answer:
    """Return the page of three parts an object; the token of the next one is None on the last."""
    more = f',"nextPageToken":{json.dumps(token)}' if token else ""
    listed = b"".join(parts)[1:]
    head = "Content-Type: application/json\r\n"
    return Answer(200, b'{"items":[' + listed + f"]{more}}}".encode(), head)
