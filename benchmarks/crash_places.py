"""Where OUT lies while builds are killed: a folder, or a prefix in S3, seen without parchunk."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from instruments.s3_server import S3Bucket


class Place(Protocol):
    """Where OUT lies: what is there, seen without parchunk."""

    @property
    def pause(self) -> float:
        """Seconds between two looks of a reader."""

    @property
    def out(self) -> str:
        """The argument of the command line."""

    def arguments(self) -> list[str]:
        """Return the options that the command line needs for it."""

    def files(self) -> dict[str, bytes]:
        """Return every file below OUT."""

    def holds_root(self) -> bool:
        """Return whether a reader finds a store there."""

    def lay(self, files: dict[str, bytes]) -> None:
        """Write files below OUT, which is empty."""

    def unfinished(self) -> list[str]:
        """Return what was begun and not ended: temporary files, uploads."""


@dataclass(frozen=True)
class Folder:
    """OUT is a local folder."""

    path: Path
    pause: float = 0.01

    @property
    def out(self) -> str:
        """The argument of the command line."""
        return str(self.path)

    def arguments(self) -> list[str]:
        """Return no options: none are needed."""
        return []

    def files(self) -> dict[str, bytes]:
        """Return every file below OUT; one that is gone meanwhile was temporary."""
        found = {}
        for folder, _, names in os.walk(self.path):  # which passes over folders that are gone
            for path in (Path(folder) / name for name in names):
                with contextlib.suppress(FileNotFoundError):
                    found[path.relative_to(self.path).as_posix()] = path.read_bytes()
        return found

    def holds_root(self) -> bool:
        """Return whether a reader finds a store there."""
        return (self.path / ".zmetadata").exists()

    def lay(self, files: dict[str, bytes]) -> None:
        """Write files below OUT, which is empty."""
        for key, data in files.items():
            (self.path / key).parent.mkdir(parents=True, exist_ok=True)
            (self.path / key).write_bytes(data)

    def unfinished(self) -> list[str]:
        """Return folders, too, that only a build under way has."""
        own = self.path / ".parchunk"
        return [p.name for p in own.iterdir() if p.name not in ("plan.json", "receipts", "strays")]


@dataclass(frozen=True)
class Prefix:
    """OUT is a prefix in a bucket of an S3 server."""

    bucket: S3Bucket
    prefix: str = "refs"
    pause: float = 0.1

    @property
    def out(self) -> str:
        """The argument of the command line."""
        return f"s3://{self.bucket.name}/{self.prefix}"

    def arguments(self) -> list[str]:
        """Return the output options of the bucket."""
        return [f"--output-option={key}={value}" for key, value in self.bucket.options.items()]

    def files(self) -> dict[str, bytes]:
        """Return every object below OUT; one that is gone meanwhile was a lease."""
        store, found = self.bucket.store(), {}
        for page in store.list(self.prefix):
            for entry in page:
                with contextlib.suppress(FileNotFoundError):
                    data = bytes(store.get(entry["path"]).bytes())
                    found[entry["path"][len(self.prefix) + 1 :]] = data
        return found

    def holds_root(self) -> bool:
        """Return whether a reader finds a store there."""
        try:
            self.bucket.store().head(f"{self.prefix}/.zmetadata")
        except FileNotFoundError:
            return False
        return True

    def lay(self, files: dict[str, bytes]) -> None:
        """Put objects below OUT, which is empty."""
        store = self.bucket.store()
        for key, data in files.items():
            store.put(f"{self.prefix}/{key}", data)

    def unfinished(self) -> list[str]:
        """Return uploads that were not completed, and objects that are not parchunk's contract."""
        asked = f"{self.bucket.endpoint}/{self.bucket.name}?uploads"
        with urllib.request.urlopen(asked, timeout=30) as answer:
            uploads = re.findall(r"<UploadId>[^<]*", answer.read().decode())
        own = [key for key in self.files() if key.startswith(".parchunk/")]
        kept = re.compile(r"\.parchunk/(plan\.json|receipts/.*\.json|strays/.*\.parquet)")
        return uploads + [key for key in own if not kept.fullmatch(key)]
