"""The command lines of a history: what builds, updates, relocates and imports its OUT."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.history_repository import Repository
from benchmarks.history_source import Source

#: OUT, for commands.
OUT = "s3://bucket/refs"
#: Lengths of regions, and rows of record files, which may end amid a store.
_REGIONS, _SIZES = (4, 8, 16), (None, 3, 4, 4, 5)


@dataclass
class Commands:
    """Makes command lines; ``options`` reach the server, ``out`` is the folder that OUT is in.

    ``place`` is which copy of the source the references are to; ``imports``: whether they are
    imported into ``repository``.
    """

    source: Source
    repository: Repository
    options: dict[str, str]
    out: Path
    identity: str
    imports: bool
    region: int | None
    record_size: int | None
    place: int = 0

    @classmethod
    def drawn_of(
        cls,
        source: Source,
        repository: Repository,
        options: dict[str, str],
        out: Path,
        imports: bool,
        dice: random.Random,
    ) -> Commands:
        """Return those of a history, with options of its builds."""
        return cls(
            source, repository, options, out,
            identity=dice.choice(("none", "none", "time", "etag")),
            imports=imports,
            region=dice.choice(_REGIONS),
            record_size=dice.choice(_SIZES),
        )  # fmt: skip

    @property
    def asked(self) -> dict[str, Any]:
        """What builds are asked."""
        asked: dict[str, Any] = {"identity": self.identity}
        for name, value in (("region", self.region), ("record_size", self.record_size)):
            if value is not None:
                asked[name] = value
        if self.source.stacked:
            return {"stack": "run", "identity": self.identity}
        if self.source.joined:
            return {"concat": "time", **asked}
        return {"split": "time", **asked}

    @property
    def urls(self) -> list[str]:
        """The stores as a command names them."""
        return [f"s3://bucket/src/{name}" for name in self.source.names]

    @property
    def has_plan(self) -> bool:
        """Whether a build has begun."""
        return (self.out / ".parchunk/plan.json").exists()

    @property
    def is_published(self) -> bool:
        """Whether readers can open OUT."""
        return (self.out / ".zmetadata").exists()

    @property
    def is_calm(self) -> bool:
        """Whether readers can open OUT, and no update is under way or was cut short."""
        own = self.out / ".parchunk"
        busy = [own / "update.json", own / "previous.json", own / "next/.parchunk/plan.json"]
        asked = own / "next/.parchunk/asked.json"
        if asked.exists():  # what is prepared is for the plan that is there, unless it is in place
            plans = [json.loads(path.read_text()) for path in (asked, own / "plan.json")]
            busy += [asked] if plans[0]["fingerprint"] == plans[1]["fingerprint"] else []
        return self.is_published and not any(path.exists() for path in busy)

    @property
    def has_moved(self) -> bool:
        """Whether the source is elsewhere than references say."""
        return self.place != self.source.moved

    def drawn(self, dice: random.Random) -> list[str]:
        """Return a command that goes with what OUT is."""
        if not self.has_plan or dice.random() < 0.05:
            of = dice.choice((0, 0, 0, 1, 2, 3))
            return self.build(*(("--part", f"{dice.randint(1, of)}/{of}") if of else ()))
        if self.imports and self.is_published and dice.random() < 0.4:
            return self.import_(*(["--publish"] if dice.random() < 0.4 else []))
        if self.has_moved and dice.random() < 0.7:
            return self.relocation()
        more = []
        for chance, words in (
            (0.85, ["--allow-shrink", "--allow-gone"]),
            (0.2, ["--regions", "0"]),
            (0.15, ["--arrays", "air"]),
            (0.1, ["--no-gaps"]),
            (0.1, ["--repair"]),
        ):
            more += words if dice.random() < chance else []
        return self.update(*more)

    def build(self, *more: str) -> list[str]:
        """Return the command that builds."""
        options = [
            word
            for key, value in self.asked.items()
            for word in (f"--{key.replace('_', '-')}", str(value))
        ]
        return self.of("build", *self.urls, OUT, *options, *more)

    def update(self, *more: str) -> list[str]:
        """Return the command that updates, with stores that came."""
        came = self.urls if self.source.joined and not self.has_moved else []
        if came and self.has_plan:
            known = (self.out / ".parchunk/plan.json").read_text()
            came = [url for url in came if url not in known]
        return self.of("update", OUT, *came, *more)

    def everything(self) -> list[str]:
        """Return the command that brings all up to date."""
        if not self.has_plan:
            return self.build()
        more = ["--allow-shrink", "--allow-gone"]
        for name in ("air", "rain", "cloud"):
            there = (self.source.folder / self.source.names[-1] / name).exists()
            more += ["--arrays", name] if there else []
        return self.update(*more)

    def relocation(self) -> list[str]:
        """Return the command that relocates to where the source is now."""
        at = f"s3://bucket/src/home{self.source.moved}"
        return self.of("relocate", OUT, at if self.source.joined else f"{at}/m00.zarr")

    def import_(self, *more: str) -> list[str]:
        """Return the command that imports."""
        return self.of("to-icechunk", OUT, self.repository.url, "--no-progress", *more)

    def audit_of_import(self) -> list[str]:
        """Return the command that compares with the repository."""
        return self.of("audit", OUT, "--icechunk", self.repository.url)

    def of(self, *arguments: str) -> list[str]:
        """Return a command line with all options that it needs."""
        given = [f"{key}={value}" for key, value in self.options.items()]
        more = [f"--output-option={each}" for each in given]
        if arguments[0] != "to-icechunk":
            more += [f"--store-option={each}" for each in given]
        if arguments[0] == "to-icechunk" or "--icechunk" in arguments:
            more += [f"--repo-option={each}" for each in given]
        if arguments[0] in ("build", "update"):
            more += ["--attempts", "2", "--concurrency", "2", "--no-progress"]
        return [*arguments, *more]
