"""The course of a history: what happens to the source, which commands run, what is checked."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from instruments.recorder import Recorder

from benchmarks.history_readers import Place, Row, all_rows, layouts_of
from benchmarks.history_requests import Trouble, let_time_pass
from benchmarks.quiet import judging
from benchmarks.quiet.judging import Differences
from benchmarks.quiet.manners import GLOBS, Manner
from benchmarks.quiet.repository import BEFORE, Repository
from benchmarks.quiet.shapes import Joined, JoinedLater, Shape, Single, Stacked
from benchmarks.quiet.side_by_side import Grouped, Merged, Series, SeriesLater
from benchmarks.quiet.truth import Held
from parchunk.cli.main import run

#: Datasets that histories are of.
SHAPES: tuple[type[Shape], ...] = (
    Single, Joined, JoinedLater, Stacked, Merged, Grouped, Series, SeriesLater,
)  # fmt: skip


#: Folders that stores are in.
FOLDERS = ("stores", "stores", "st ores", "st%20ores", "sté#res", "s+t=o&r,es")


class Wrong(Exception):
    """Something that may not be."""


class Course:
    """One history, drawn by a seed, in a folder; ``server`` serves OUT, if one does."""

    def __init__(
        self, seed: int, folder: Path, server: Recorder | None, shape: type[Shape] | None = None
    ) -> None:
        self.dice = dice = random.Random(seed)
        self.folder, self.server = folder, server
        drawn = shape or dice.choice(SHAPES)
        imports = dice.random()
        remote = server is not None and dice.random() < 0.5
        place = "served/bucket/src" if remote else dice.choice(FOLDERS)
        self.shape = drawn(folder / place, dice, BEFORE if imports < 0.2 else 0)
        self.repository = None
        if imports < 0.4:
            self.repository = Repository.drawn(folder, dice, self.shape)
        endpoint = server.endpoint if server else ""
        self.manner = Manner.drawn(self.shape, dice, folder, endpoint)
        self.told: list[str] = [type(self.shape).__name__]
        self.counts: Counter[str] = Counter()
        #: What refusals said.
        self.refusals: list[str] = []
        #: What the source was when references were last all true, and at moments since.
        self.settled: dict[str, Held] = {}
        self.tries: list[dict[str, Held]] = []
        #: Whether a command was cut short since one ended well, and whether stores lie apart.
        self.cut_short = self.scattered = False

    @property
    def out(self) -> Path:
        """The folder that OUT is in."""
        return self.manner.out_folder

    @property
    def is_published(self) -> bool:
        """Whether readers can open OUT."""
        return (self.out / ".zmetadata").exists()

    def truth(self) -> dict[str, Held]:
        """Return what OUT should be of, now."""
        return self.manner.chosen(self.shape.truth())

    def rows(self) -> dict[Place, Row]:
        """Return the rows of OUT; none where there is no root."""
        return all_rows(self.out) if self.is_published else {}

    @property
    def agrees(self) -> bool:
        """Whether OUT is what the source is now."""
        if not self.is_published or self.cut_short or not self.settled:
            return False
        now = self.truth()
        if judging.differences(self.manner.stock.chunks(), now):
            return False
        told = [name for name, held in now.items() if held.chunks is None]
        return not any(judging.changed_since(self.settled, now, name) for name in told)

    def arrays(self) -> set[str]:
        """Return the names of the arrays in OUT."""
        root = self.out / ".zmetadata"
        return {*layouts_of(root.read_bytes())[1]} if root.exists() else set()

    # Steps ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let something happen, run a command, and look at what it came to."""
        dice = self.dice
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            self.told.append(f"source: {self.shape.change()}")
            if dice.random() < 0.2 and not self.manner.listed:
                self.manner.take_inventory()
        if not self.is_published:
            self.build()
        else:
            action = dice.choices(
                (self.update, self.audit, self.relocate, self.build_otherwise, self.leave_out),
                (6, 2, 1.5, 1, 0.7),
            )[0]
            action()

    def build(self) -> None:
        """Build, whole or in parts, which come in any order and twice."""
        self.tries.append(self.truth())
        of = self.manner.parts
        numbers = [*range(1, of + 1), *self.dice.choices(range(1, of + 1), k=2)] if of else [0]
        self.dice.shuffle(numbers)
        code = 0
        for number in numbers:
            part = [f"--part={number}/{of}"] if of else []
            if of and self.dice.random() < 0.1:
                self.told.append(f"source: {self.shape.change()}")
                self.tries.append(self.truth())
            code = max(code, self.run(self.manner.build(*part), troubled=True)[0])
        if code == 2 and not self.is_published and self.dice.random() < 0.7:
            code = self.run(self.manner.build("--overwrite"))[0]
        if code == 0 and self.is_published:
            self.settle("build")

    def update(self, *more: str) -> bool:
        """Update, with a newer inventory or an old one; return whether it was done."""
        before, was_calm, arrays = self.rows(), not self.cut_short, self.arrays()
        words = list(more) or [word for word in ("--allow-shrink", "--allow-gone")
                               if self.dice.random() < 0.9]  # fmt: skip
        old = None
        if not more and not self.manner.listed and self.manner.taken and self.dice.random() < 0.3:
            old = self.dice.choice([*self.manner.taken])
            self.tries.append(self.manner.taken[old])
        code, said = self.run(self.manner.update(*words, inventory=old), troubled=not more)
        if code:
            self._dates_are_true()
            if was_calm and not self.cut_short and self.rows() != before:
                raise Wrong("references changed in an update that was refused")
            return False
        if was_calm:
            odd = judging.odd_changes(said, before, self.rows(), (arrays, self.arrays()))
            if odd:
                raise Wrong(f"the update {odd}")
        self.settle("update", old is not None)
        return True

    def leave_out(self) -> None:
        """Update without arrays that a glob names: those that came; others are not given up."""
        manner, glob = self.manner, self.dice.choice(GLOBS)
        there = {name.rpartition("/")[2] for name in self.arrays()}
        before, manner.exclude = manner.exclude, (*manner.exclude, glob)
        done = self.update("--exclude", glob, "--allow-gone", "--allow-shrink")
        if done and any(fnmatchcase(name, glob) for name in there & {*self.shape.kinds}):
            raise Wrong(f"arrays that {glob} names were given up")
        if not done and not self.cut_short:
            manner.exclude = before

    def build_otherwise(self) -> None:
        """Build with other globs into what is there: it is refused, or replaces it."""
        before, globs = self.rows(), (self.manner.include, self.manner.exclude)
        arrays = self.arrays()
        self.manner.choose_globs()
        if self.dice.random() < 0.5:
            self.manner.choose_options()
            truth = self.truth()
            code, _ = self.run(self.manner.build("--overwrite"), troubled=True)
            if code == 0:
                self.settled, self.tries = {}, [truth]
                self.settle("build")
                return
            if not self.is_published:
                return
        else:
            code, _ = self.run(self.manner.build())
            if code == 0 and arrays != {*self.truth()}:
                raise Wrong("a build of other arrays was taken for the one that is there")
            if code and not self.cut_short and self.rows() != before:
                raise Wrong("references changed in a build that was refused")
        self.manner.include, self.manner.exclude = globs

    def relocate(self) -> None:
        """Copy the stores elsewhere, and relocate; what lay in the old place is gone then."""
        if self.scattered or (len(self.manner.known()) > 1 and self.dice.random() < 0.4):
            self.relocate_one()
            return
        before, rows = self.shape.home, self.rows()
        self.shape.move()
        code, _ = self.run(self.manner.relocation(), troubled=self.dice.random() < 0.3)
        if code and self.cut_short:
            code, _ = self.run(self.manner.relocation())
        if code:
            if not self.cut_short and self.rows() != rows:
                raise Wrong("references changed in a relocation that was refused")
            self.shape.stay(before)
            return
        self._relocated(before, rows)

    def relocate_one(self) -> None:
        """Copy one of many stores elsewhere, and relocate it alone."""
        store, rows = self.dice.choice(self.manner.known()), self.rows()
        before = store.folder
        to = self.shape.folder / f"elsewhere{len(self.told)}" / before.name
        self.shape.move_one(store, to)
        code, _ = self.run(self.manner.relocation_of(before, store))
        if code:
            if self.rows() != rows:
                raise Wrong("references changed in a relocation that was refused")
            shutil.rmtree(to)
            store.folder = before
            return
        self.scattered, self.manner.pattern = True, ""
        self._relocated(before, rows)

    def _relocated(self, before: Path, rows: dict[Place, Row]) -> None:
        shutil.rmtree(before)
        self.told.append("source: what lay in the old place is gone")
        after = self.rows()
        if {at for at, row in rows.items() if row} != {at for at, row in after.items() if row}:
            raise Wrong("a relocation has other chunks")
        self.look("relocation")

    def audit(self) -> None:
        """Audit against the source: it is clean exactly where OUT is what the source is."""
        self.look("audit")

    # What may be ------------------------------------------------------------------------------

    def settle(self, after: str, loosely: bool = False) -> None:
        """Check OUT after a command that took in all that it sees, and go on from there."""
        self.cut_short = False
        now = self.truth()
        seen = self.manner.stock.chunks()
        odd = judging.differences(seen, now)
        if odd.arrays and not loosely:
            raise Wrong(f"after the {after}: {judging.sample(odd)}")
        wrong = [
            chunk for chunk in odd.chunks
            if not judging.may_be_stale(chunk, now, self.settled, self.tries)
        ]  # fmt: skip
        if wrong:
            only = Differences({}, {chunk: odd.chunks[chunk] for chunk in wrong})
            raise Wrong(f"after the {after}: {judging.sample(only)}")
        self._compare_values(now, odd, after, loosely)
        self.look(after, odd)
        if odd or loosely:
            return
        self.settled, self.tries = now, []

    def _compare_values(
        self, now: dict[str, Held], odd: Differences, after: str, loosely: bool
    ) -> None:
        """Compare values of arrays all of whose chunks are what they should be."""
        stale = {name for name, _ in odd.chunks} | {*odd.arrays}
        thens = [self.settled, *self.tries]
        exact = []
        for name in now.keys() - stale:
            is_told = now[name].chunks is None and (loosely or not name.endswith("time"))
            changes = (judging.changed_since(then, now, name, loosely) for then in thens if then)
            if not (is_told and any(changes)):
                exact.append(name)
        values = self.manner.stock.values(exact)
        wrong = judging.odd_values(values, now, exact)
        if wrong:
            first = wrong[0]
            at = np.argwhere(values[first] != now[first].values)[:3].tolist()
            raise Wrong(f"after the {after}: other values of {wrong}, of the first at {at}")

    def _dates_are_true(self) -> None:
        """Check dates that OUT keeps while an update is cut short: none of them ever changed."""
        kept = "--no-inline-coordinates" not in self.manner.asked
        now = self.shape.truth()
        names = {name for name in self.arrays() & {*now} if name.rpartition("/")[2] == "time"}
        values = self.manner.stock.values(names) if kept else {}
        for name, dates in values.items():
            most = min(len(dates), len(now[name].values))
            if not np.array_equal(dates[:most], now[name].values[:most]):
                raise Wrong(f"readers take {dates} for the dates of {name}")

    def look(self, after: str, odd: Differences | None = None) -> None:
        """Have an audit against the source say what is so, after some command."""
        if odd is None:
            known = self.manner.chosen(self.shape.truth_of(self.manner.known()))
            odd = judging.differences(self.manner.stock.chunks(), known)
        code, said = self.run(self.manner.audit())
        if code == 2:
            if not (odd.arrays or self.cut_short):
                raise Wrong(f"after the {after} there is no audit: {said}")
            return
        wrong = judging.odd_audit(said, odd, self.rows())
        if self.cut_short and not wrong.startswith("is clean"):
            return
        if wrong:
            raise Wrong(f"after the {after} the audit {wrong}")
        self.counts["audits, clean" if not odd else "audits, of differences"] += 1

    # Commands ---------------------------------------------------------------------------------

    def run(self, command: list[str], troubled: bool = False) -> tuple[int, Any]:
        """Run a command, which may be cut short where a server stands between; return its JSON."""
        troubled = troubled and self.server is not None and self.dice.random() < 0.3
        kind = self.dice.choice(("cut", "cut after")) if troubled else ""
        if self.server is not None:
            trouble = Trouble(kind, int(2 ** self.dice.uniform(0.5, 6)), self.dice)
            trouble.gate.set()
            self.server.fate = trouble.fate
        said, error = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(error):
            code = run(command)
        if self.server is not None:
            self.server.fate = lambda *_: None
        text = said.getvalue().strip()
        document = json.loads(text) if text else {}
        words = " ".join(w.removeprefix(str(self.folder)) for w in command if "option=" not in w)
        self.told.append(f"{kind} {words} -> {code} {document.get('error', '')}")
        self.counts[f"{command[0]} {code}{' ' if kind else ''}{kind}"] += 1
        if code not in (0, 1, 2) or "Traceback" in error.getvalue() + text:
            raise Wrong(f"exit code {code}: {error.getvalue()}")
        if code == 2 and kind:
            self.cut_short = True
            let_time_pass(self.out)
        elif code == 2:
            self.refusals.append(re.sub(r"/\S+/(?=\S)", "", document["error"])[:300])
        return code, document
