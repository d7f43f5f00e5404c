"""How commands are given: by a listing or inventories, whole or in parts, with globs."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.quiet.readers import Stock
from benchmarks.quiet.shapes import Joined, Shape, Single
from benchmarks.quiet.side_by_side import Merged, Series
from benchmarks.quiet.store import Store
from benchmarks.quiet.truth import Held

#: Globs that a command may be given.
GLOBS = ("rain", "f*", "*g", "cloud", "[f-m]*")


@dataclass
class Manner:
    """Makes command lines for a shape; ``endpoint`` serves OUT, which is in ``folder``, if any.

    ``listed``: commands list the source; else they get inventories; ``taken`` is what the
    dataset was when each was.
    """

    shape: Shape
    dice: random.Random
    folder: Path
    endpoint: str
    listed: bool
    parts: int
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    pattern: str = ""
    asked: list[str] = field(default_factory=list)
    taken: dict[Path, dict[str, Held]] = field(default_factory=dict)

    @classmethod
    def drawn(cls, shape: Shape, dice: random.Random, folder: Path, endpoint: str) -> Manner:
        """Return that of a history."""
        manner = cls(
            shape, dice, folder, endpoint,
            listed=dice.random() < 0.7,
            parts=dice.choice((0, 0, 2, 3)),
        )  # fmt: skip
        if dice.random() < 0.4:
            manner.choose_globs()
        if isinstance(shape, Joined) and dice.random() < 0.3:
            manner.pattern = "m*.zarr"
        manner.choose_options()
        return manner

    @property
    def out(self) -> str:
        """OUT, as commands name it."""
        return "s3://bucket/refs" if self.endpoint else str(self.out_folder)

    @property
    def out_folder(self) -> Path:
        """The folder that OUT is in."""
        return self.folder / "served/bucket/refs"

    @property
    def stock(self) -> Stock:
        """How stock readers open OUT."""
        if not self.endpoint:
            return Stock(self.out, {})
        options = {"anon": True, "endpoint_url": self.endpoint}
        if not self.is_remote:
            return Stock(self.out, options)
        return Stock(self.out, options, "s3", tuple(options.items()))

    @property
    def is_remote(self) -> bool:
        """Whether the source is served."""
        return (self.folder / "served") in self.shape.folder.parents

    def url(self, folder: Path) -> str:
        """Return what commands call a folder of the source."""
        if not self.is_remote:
            return str(folder)
        return f"s3://{folder.relative_to(self.folder / 'served').as_posix()}"

    def choose_options(self) -> None:
        """Draw options of builds."""
        more = (
            ["--inline-threshold", "30"], ["--identity", "etag"], ["--identity", "time"],
            ["--record-size", "2"], ["--no-inline-coordinates"],
        )  # fmt: skip
        self.asked = self.shape.options()
        if self.dice.random() < 0.5:
            self.asked += self.dice.choice(more)

    def choose_globs(self) -> None:
        """Draw globs."""
        self.include = self.exclude = ()
        if isinstance(self.shape, Merged | Series):  # each of their stores has one array
            return
        there = {name.rpartition("/")[2] for name in self.shape.truth()}
        globs = [glob for glob in GLOBS if any(fnmatchcase(name, glob) for name in there)][:2]
        if self.dice.random() < 0.6:
            self.exclude = tuple(globs)
        else:
            self.include = tuple(dict.fromkeys(("air", "time", *globs)))

    def chosen(self, truth: dict[str, Held]) -> dict[str, Held]:
        """Return the arrays that commands take: globs are for names that arrays have in stores."""
        return {name: held for name, held in truth.items() if self.takes(name.rpartition("/")[2])}

    def takes(self, name: str) -> bool:
        """Tell whether commands take arrays of a name."""
        is_included = not self.include or any(fnmatchcase(name, glob) for glob in self.include)
        return is_included and not any(fnmatchcase(name, glob) for glob in self.exclude)

    def known(self) -> list[Store]:
        """Return the stores that OUT is of."""
        if self.pattern or isinstance(self.shape, Single):
            return self.shape.stores
        plan = self.out_folder / ".parchunk/plan.json"
        text = plan.read_text() if plan.exists() else ""
        known = {one[0] for one in json.loads(text)["stores"]["stores"]} if text else set()
        return [store for store in self.shape.stores if self.url(store.folder) in known]

    # Command lines ----------------------------------------------------------------------------

    def sources(self) -> list[str]:
        """Return the stores as commands name them."""
        if self.pattern:
            return [f"{self.url(self.shape.home)}/{self.pattern}"]
        return [
            f"{group}={self.url(store.folder)}" if group else self.url(store.folder)
            for group, store in self.shape.named()
        ]

    def build(self, *more: str) -> list[str]:
        """Return the command that builds."""
        globs = [word for glob in self.include for word in ("--include", glob)]
        globs += [word for glob in self.exclude for word in ("--exclude", glob)]
        listing = self.inventory() if not self.listed else []
        return self.of("build", *self.sources(), self.out, *self.asked, *globs, *listing, *more)

    def update(self, *more: str, inventory: Path | None = None) -> list[str]:
        """Return the command that updates, with stores that came."""
        known = self.known()
        came = [] if self.pattern or isinstance(self.shape, Single) else [
            each
            for each, (_, store) in zip(self.sources(), self.shape.named(), strict=True)
            if store not in known
        ]  # fmt: skip
        listing = self.inventory(inventory) if not self.listed else []
        return self.of("update", self.out, *came, *listing, *more)

    def audit(self, *more: str) -> list[str]:
        """Return the command that audits, against the source."""
        listing = self.inventory() if not self.listed else []
        return self.of("audit", self.out, "--against-source", *listing, *more)

    def relocation(self) -> list[str]:
        """Return the command that relocates to where the stores are now."""
        single = isinstance(self.shape, Single)
        place = self.shape.stores[0].folder if single else self.shape.home
        return self.of("relocate", self.out, self.url(place))

    def relocation_of(self, before: Path, store: Store) -> list[str]:
        """Return the command that relocates one of many stores to where it is now."""
        to = self.url(store.folder)
        return self.of("relocate", self.out, to, "--store", self.url(before))

    def inventory(self, at: Path | None = None) -> list[str]:
        """Return the options that give an inventory: that at a path, or one taken now."""
        return ["--inventory", str(at or self.take_inventory()),
                "--inventory-root", self.url(self.shape.folder)]  # fmt: skip

    def take_inventory(self) -> Path:
        """Write down all files of the source, with their sizes and times."""
        path = self.folder / f"inventory{len(self.taken)}.csv"
        files = [file for file in self.shape.folder.rglob("*") if file.is_file()]
        with path.open("w", newline="") as text:
            rows = csv.writer(text)
            rows.writerow(("key", "size", "last_modified", "etag"))
            for file in sorted(files):
                told = file.stat()
                when = datetime.fromtimestamp(told.st_mtime, UTC).isoformat()
                digest = hashlib.md5(file.read_bytes()).hexdigest()
                rows.writerow((file.relative_to(self.shape.folder), told.st_size, when, digest))
        self.taken[path] = self.shape.truth()
        return path

    def of(self, *arguments: str) -> list[str]:
        """Return a command line with the options that reach OUT."""
        more: list[str] = []
        if self.endpoint:
            options = {
                "endpoint": self.endpoint,
                "region": "us-east-1",
                "skip_signature": "true",
            }
            given = [f"{key}={value}" for key, value in options.items()]
            more = [f"--output-option={each}" for each in given]
            if self.is_remote and arguments[0] != "to-icechunk":
                more += [f"--store-option={each}" for each in given]
        if arguments[0] in ("build", "update"):
            more += ["--attempts", "2", "--concurrency", "2", "--no-progress"]
        return [*arguments, *more, "--json"]
