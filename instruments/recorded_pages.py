"""Pages of listings as S3 and Azure spell them, of the files in a folder."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape


def tag(data: bytes) -> str:
    """Return an object's entity tag."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def modified_of(file: Path, given: float | None) -> float:
    """Return when an object was modified, in seconds: as its file was, or as is ``given``."""
    return file.stat().st_mtime if given is None else given


def listing(bucket: Path, query: dict[str, str], size: int, modified: float | None) -> bytes:
    """Return one page, of ``size`` keys at most, of what a list request asks for.

    Objects were ``modified`` then, in seconds, or when their files were.
    """
    prefix = query.get("prefix", "")
    after = max(query.get(name, "") for name in ("start-after", "continuation-token", "marker"))
    found, common, more = [], set(), ""
    below = bucket / prefix.rpartition("/")[0]
    for path in sorted(p.relative_to(bucket).as_posix() for p in below.rglob("*") if p.is_file()):
        if not path.startswith(prefix) or path <= after:
            continue
        head, slash, _ = path[len(prefix) :].partition("/")
        folder = f"{prefix}{head}/" if slash and query.get("delimiter") else ""
        if folder in common or (folder and folder <= after):
            continue
        if len(found) + len(common) == size:
            more = max([*common, *(last.path for last in found[-1:])])
            break
        if folder:
            common.add(folder)
        else:
            found.append(Entry.of(bucket / path, path, modified))
    write = azure_page if "comp" in query else s3_page
    return write(found, sorted(common), more).encode()


class Entry(NamedTuple):
    """An object in a listing; ``modified`` in seconds."""

    path: str
    size: int
    modified: float
    tag: str

    @classmethod
    def of(cls, file: Path, path: str, modified: float | None) -> Entry:
        """Return the entry of a file, ``modified`` then or when that was."""
        etag = '"1"' if modified is not None else tag(file.read_bytes())
        return cls(escape(path), file.stat().st_size, modified_of(file, modified), escape(etag))


def s3_page(found: list[Entry], common: list[str], more: str) -> str:
    """Return a page; ``more`` is the token of the next one, empty for the last."""
    page = "".join(
        f"<Contents><Key>{each.path}</Key><LastModified>"
        f"{datetime.fromtimestamp(each.modified, UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
        f"<ETag>{each.tag}</ETag><Size>{each.size}</Size></Contents>"
        for each in found
    )
    page += "".join(
        f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>" for prefix in common
    )
    if more:
        page += "<IsTruncated>true</IsTruncated>"
        page += f"<NextContinuationToken>{escape(more)}</NextContinuationToken>"
    return f"<ListBucketResult>{page}</ListBucketResult>"


def azure_page(found: list[Entry], common: list[str], more: str) -> str:
    """Return a page; ``more`` is the marker of the next one, empty for the last."""
    blobs = "".join(
        f"<Blob><Name>{each.path}</Name><Properties>"
        f"<Last-Modified>{formatdate(each.modified, usegmt=True)}</Last-Modified>"
        f"<Content-Length>{each.size}</Content-Length><Content-Type>x</Content-Type>"
        f"<Etag>{each.tag}</Etag></Properties></Blob>"
        for each in found
    )
    blobs += "".join(f"<BlobPrefix><Name>{escape(p)}</Name></BlobPrefix>" for p in common)
    marker = f"<NextMarker>{escape(more)}</NextMarker>"
    return f"<EnumerationResults><Blobs>{blobs}</Blobs>{marker}</EnumerationResults>"
