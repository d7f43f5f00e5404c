"""Manifests: what S3, Google Cloud Storage and Azure write beside the parts of an inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from parchunk.errors import InputError


@dataclass(frozen=True)
class ManifestPart:
    """A part of an inventory: where it lies in its bucket, and what is known of it."""

    name: str
    size: int | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    ``bucket`` is what keys are relative to, where it says so; ``header`` are the columns of parts
    of CSV, where these have no header. ``encoded``: keys are spelled as in a URL. ``rows`` is how
    many there are in all parts. ``beside``: the parts lie beside the manifest.
    """

    parts: tuple[ManifestPart, ...]
    taken: datetime
    bucket: str | None = None
    header: tuple[str, ...] | None = None
    encoded: bool = False
    rows: int | None = None
    beside: bool = False


def parse_manifest(document: Any, where: str) -> Manifest | None:
    """Return what a JSON document says if it is a manifest, else None.

    Raises
    ------
    InputError
        When it is the manifest of an inventory that is not whole.
    """
    if not isinstance(document, dict):
        return None
    try:
        if "fileSchema" in document and "files" in document:
            return _of_s3(document, where)
        if "report_shards_file_names" in document:
            return _of_google(document)
        if "inventoryStartTime" in document and "files" in document:
            return _of_azure(document, where)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{where} is no manifest of an inventory as its maker writes it "
            f"({type(error).__name__}: {error}"[:200]
            + "): give it as it was written"
        ) from None
    return None


def _of_s3(document: Mapping[str, Any], where: str) -> Manifest:
    kind = document["fileFormat"]
    if kind not in ("CSV", "Parquet", "ORC"):
        raise InputError(f"{where}: parts of format {kind!r} are not read: CSV, Parquet, ORC are")
    header = None
    if kind == "CSV":
        header = tuple(name.strip() for name in document["fileSchema"].split(","))
    return Manifest(
        tuple(
            ManifestPart(part["key"], int(part["size"]), part.get("MD5checksum"))
            for part in document["files"]
        ),
        datetime.fromtimestamp(int(document["creationTimestamp"]) / 1000, UTC),
        bucket=document["sourceBucket"],
        header=header,
        encoded=kind == "CSV",
    )


def _of_google(document: Mapping[str, Any]) -> Manifest:
    rows = document.get("records_processed")
    return Manifest(
        tuple(ManifestPart(name) for name in document["report_shards_file_names"]),
        _time(document["snapshot_time"]),
        rows=None if rows is None else int(rows),
        beside=True,
    )


def _of_azure(document: Mapping[str, Any], where: str) -> Manifest:
    if document.get("status", "Succeeded") != "Succeeded":
        raise InputError(
            f"{where} is of an inventory whose status is {document['status']!r}: give one that has "
            "succeeded"
        )
    rows = document.get("summary", {}).get("objectCount")
    return Manifest(
        tuple(ManifestPart(part["blob"], int(part["size"])) for part in document["files"]),
        _time(document["inventoryStartTime"]),
        rows=None if rows is None else int(rows),
        beside=True,
    )


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
