"""What zarr-python can read, asked once for arrays that are alike."""

import numcodecs
import numcodecs.registry
import pytest
from tests.metadata.odd_documents import PLAIN_V2, document

from parchunk.metadata import readable
from parchunk.metadata.refused import UnsupportedFeatureError


def test_documents_alike_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(readable, "read_document", read.append)
    for size in (1_234_567, 1_234_567, 1_234_568):
        readable.require_readable(document(PLAIN_V2, {"shape": [size]}))
    assert [one["shape"] for one in read] == [[1_234_567], [1_234_568]]  # type: ignore[index]
    large = {"attributes": {"history": "x" * 5_000}}
    for _ in range(2):  # more of them than memory should hold
        readable.require_readable(document(PLAIN_V2, large))
    assert len(read) == 4


def test_what_cannot_be_read_is_asked_again() -> None:
    """A codec may be registered in between."""
    odd = document(PLAIN_V2, {"compressor": {"id": "come-later"}})
    with pytest.raises(UnsupportedFeatureError, match="come-later"):
        readable.require_readable(odd)

    class ComeLater(numcodecs.Zlib):
        codec_id = "come-later"

    numcodecs.registry.register_codec(ComeLater)
    try:
        readable.require_readable(odd)
    finally:
        del numcodecs.registry.codec_registry["come-later"]
