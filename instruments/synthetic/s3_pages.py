"""Pages of the synthetic server in the XML of S3."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

import numpy as np

from instruments.synthetic.answers import BUCKET, Answer
from instruments.synthetic.formula import FormulaStore
from instruments.synthetic.formula_array import Run
from instruments.synthetic.rules import HashedSizes

_HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
)
_BETWEEN = (
    f"</Key><LastModified>{FormulaStore.last_modified}</LastModified>"
    f"<ETag>{escape(FormulaStore.e_tag, {chr(34): '&quot;'})}</ETag><Size>"
).encode()
_AFTER = b"</Size></Contents>"
_END = b"</ListBucketResult>"


class S3Pages:
    """Writes pages; sizes that come again are spelled once."""

    def __init__(self) -> None:
        self._spelled: dict[HashedSizes, np.ndarray] = {}

    def contents(self, runs: list[Run], url: bool) -> list[bytes]:
        """Return three parts a key: ``<Contents>`` to the key's head, its tail, its size."""
        parts: list[bytes] = []
        for run in runs:
            count = len(run)
            triples: list[bytes] = [b""] * (3 * count)
            if run.array is None or url:
                keys = [(run.prefix + tail).decode() for tail in run.pick(run.table.tails)]
                spell = quote if url else escape
                triples[0::3] = [b"<Contents><Key>"] * count
                triples[1::3] = [spell(key).encode() + _BETWEEN for key in keys]
            else:
                prefix = escape(run.prefix.decode()).encode()
                triples[0::3] = [b"<Contents><Key>" + prefix] * count
                triples[1::3] = run.pick(run.table.closed_with(_BETWEEN))
            triples[2::3] = self._sizes(run)
            parts += triples
        return parts

    def _sizes(self, run: Run) -> list[bytes]:
        rule = run.array.size_rule if run.array is not None else None
        if not isinstance(rule, HashedSizes):
            return [b"%d" % size + _AFTER for size in run.sizes().tolist()]
        if rule not in self._spelled:
            spelled = [b"%d" % size + _AFTER for size in rule.values.tolist()]
            self._spelled[rule] = np.array(spelled, dtype=object)
        found: list[bytes] = self._spelled[rule][rule.codes(run.numbers())].tolist()
        return found


def page_of(
    parts: list[bytes], commons: list[bytes], prefix: str, limit: int, token: str | None
) -> Answer:
    """Return the page of three parts a key; the token of the next one is None on the last.

    An empty token is none, of a page that says nevertheless that more follows.
    """
    head = f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"
    head += f"<KeyCount>{len(parts) // 3 + len(commons)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
    head += f"<IsTruncated>{'false' if token is None else 'true'}</IsTruncated>"
    if token:
        head += f"<NextContinuationToken>{token}</NextContinuationToken>"
    tail = "".join(
        f"<CommonPrefixes><Prefix>{escape(common.decode())}</Prefix></CommonPrefixes>"
        for common in commons
    )
    return Answer(200, b"".join([_HEAD, head.encode(), *parts, tail.encode(), _END]))
