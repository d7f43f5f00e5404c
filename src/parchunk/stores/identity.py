"""Identity: what tells one version of an object from another, as far as a listing says it.

``time`` is when it was last written, in microseconds since the epoch; ``etag`` is its entity tag,
without the quotes that it stands in on the wire.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from parchunk.errors import InputError, ListingError

#: What may be kept of each object.
IDENTITIES: Final = ("none", "time", "etag")
#: Bytes of an entity tag, at most: each chunk's is held in as many. MD5 in hexadecimal takes 32,
#: and a count of parts; the three numbers that stand for one of a local file no more than 48.
MOST_TAG: Final = 48
#: Bytes that a chunk's identity takes while it is listed.
HELD_BYTES: Final = {"none": 0, "time": 8, "etag": MOST_TAG}

Tags = NDArray[np.bytes_]

#: What to do where a store, or an inventory, does not say what is to be kept.
OTHERWISE: Final = "build with another --identity, or without (--overwrite, or another OUT)"


def check_identity(identity: str) -> None:
    """Refuse what is no kind of identity.

    Raises
    ------
    InputError
        Naming those that there are.
    """
    if identity not in IDENTITIES:
        raise InputError(f"--identity {identity}: give one of {', '.join(IDENTITIES)}")


def tags_of(tags: pa.StringArray, paths: pa.StringArray) -> Tags:
    """Return entity tags as a listing gives them, without their quotes, in `MOST_TAG` bytes each.

    Raises
    ------
    ListingError
        Naming the object that has none, or one that is too long.
    """
    if pc.all(pc.starts_with(tags, '"')).as_py():
        tags = pc.utf8_slice_codeunits(tags, 1, -1)
    else:
        tags = pc.replace_substring_regex(tags, '^"(.*)"$', r"\1")
    lengths = pc.fill_null(pc.binary_length(tags), 0)
    usable = pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, MOST_TAG))
    usable = pc.and_(usable, pc.fill_null(pc.string_is_ascii(tags), False))
    at = pc.index(usable, False).as_py()
    if at >= 0:
        length = lengths[at].as_py()
        what = f"an entity tag that cannot be kept ({length} bytes)" if length else "no entity tag"
        raise ListingError(f"{paths[at].as_py()} has {what}: {OTHERWISE}")
    padded = pc.utf8_rpad(tags, MOST_TAG, "\0")
    return np.frombuffer(padded.buffers()[2] or b"", f"S{MOST_TAG}", len(tags))
