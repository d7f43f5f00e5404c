"""The Icechunk repository of a history: what its branch holds, and what others do to it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import zarr

import parchunk
from benchmarks.history_readers import Place, Row
from parchunk.icechunk_import import adapter


@dataclass
class Repository:
    """A repository in the bucket, by its number: a new one where another is full of other arrays.

    ``states`` are what its branch has held whenever an import had ended.
    """

    options: dict[str, str]
    number: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"s3://bucket/repo/{self.number}"

    def opened(self) -> Any:
        """Return it, opened; None where there is none."""
        try:
            return parchunk.open_icechunk(self.url, repo_options=self.options)
        except parchunk.ParchunkError:  # it is not there
            return None

    def held(self) -> dict[str, dict[tuple[int, ...], Any]]:
        """Return the chunks that the branch holds of each array, and the place of each if told."""
        repository = self.opened()
        if repository is None:
            return {}
        session = repository.readonly_session("main")
        root = zarr.open_group(session.store, mode="r")
        found: dict[str, dict[tuple[int, ...], Any]] = {}
        for name, array in root.arrays():
            held = found[name] = {}
            for batch in adapter.held_chunks(session, f"/{name}", array.ndim):
                indices = [tuple(index) for index in batch.indices.tolist()]
                if batch.locations is None:
                    held |= dict.fromkeys(indices, "")
                    continue
                places = zip(batch.locations, batch.offsets, batch.lengths, strict=True)
                held |= {
                    index: (place, int(offset), int(length)) if place else ""
                    for index, (place, offset, length) in zip(indices, places, strict=True)
                }
        return found

    def differences(self, rows: dict[Place, Row]) -> list[str]:
        """Return where the branch is not what rows of references say."""
        held = self.held()
        wanted: dict[str, dict[tuple[int, ...], Row]] = {}
        for place, row in rows.items():
            of_array = wanted.setdefault(place.array, {})
            if row is not None:
                of_array[place.index] = row
        found = [f"{name} is there or not" for name in wanted.keys() ^ held.keys()]
        for name in wanted.keys() & held.keys():
            odd = wanted[name].keys() ^ held[name].keys()
            found += [f"{name} {index}: there or not" for index in odd]
            for index in wanted[name].keys() & held[name].keys():
                row, there = wanted[name][index], held[name][index]
                if there and row is not None and row[3] is None and tuple(row[:3]) != there:
                    found.append(f"{name} {index}: {there} for {row}")
        return found

    def values(self) -> dict[str, Any]:
        """Read all that the branch holds."""
        repository = self.opened()
        root = zarr.open_group(repository.readonly_session("main").store, mode="r")
        return {name: np.asarray(array[...]) for name, array in root.arrays()}

    def mend(self, code: str) -> None:
        """Do in Python what an import has said that is to be done."""
        exec(code, {"repo": self.opened()})

    def befall(self, dice: random.Random) -> str:
        """Let others do something to it."""
        repository = self.opened()
        if repository is None:
            return "nothing"
        commits = [commit.id for commit in repository.ancestry(branch="main")]
        what = dice.choice(("reset", "garbage", "expired"))
        if what == "reset":
            repository.reset_branch("main", dice.choice(commits[:4]))
        else:
            if what == "expired":
                repository.expire_snapshots(datetime.now(UTC))
            repository.garbage_collect(datetime.now(UTC))
        return what
