"""One history of OUT and its source: what happens, and what may be at each moment of it."""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from instruments.recorder import Recorder, recorder

import parchunk
from benchmarks.history_commands import OUT, Commands
from benchmarks.history_readers import Place, Row, Watch, all_rows
from benchmarks.history_repository import Repository
from benchmarks.history_requests import KINDS, Trouble, child, let_time_pass
from benchmarks.history_source import Source
from instruments import forked
from parchunk.cli.main import run
from parchunk.out.opening import open_output

#: What a command ends with that Ctrl-C was meant for, or what has the histories end.
INTERRUPTED = 128 + signal.SIGINT
OPTIONS = {"region": "us-east-1", "skip_signature": "true"}


class Wrong(Exception):
    """Something that may not be."""


@dataclass(frozen=True)
class End:
    """How a command ended, and what it said of an error."""

    command: list[str]
    code: int
    error: str

    @property
    def is_whole(self) -> bool:
        """Whether it has built or updated all."""
        return self.code == 0 and self.command[0] in ("build", "update") and not self.is_part

    @property
    def is_part(self) -> bool:
        """Whether it was a part of a build."""
        return "--part" in self.command

    @property
    def fills_gaps(self) -> bool:
        """Whether it has looked for chunks that were missing."""
        given = {*self.command}
        return self.is_whole and self.command[0] == "update" and not given & {
            "--no-gaps", "--repair"
        }  # fmt: skip


class History:
    """One history, drawn by a seed; ``fresh`` are the rows of a build from the source now."""

    def __init__(
        self, seed: int, folder: Path, server: Recorder, imports: float, beside: float
    ) -> None:
        self.dice = dice = random.Random(seed)
        self._beside = beside
        self.folder, self.server = folder, server
        server.conditions = dice.choices(("honour", "ignore", "refuse"), (8, 1, 1))[0]
        server.page = dice.choice((1000, 1000, 7))
        self.options = {"endpoint": server.endpoint, **OPTIONS}
        self.source = Source.drawn(folder / "served/bucket/src", dice)
        self.repository = Repository(self.options)
        self.out = folder / "served/bucket/refs"
        imported = dice.random() < imports and server.conditions == "honour"
        self.commands = Commands.drawn_of(
            self.source, self.repository, self.options, self.out, imported, dice
        )
        self._askew = dice.choice((0.0, 0.0, 0.0, -100.0, 100.0, 5000.0))
        self.told: list[str] = []
        self.counts: Counter[str] = Counter()
        self._number = 0
        self.watch = Watch(self.out)
        server.changed = self._changed
        self.fresh, self.fresh_out = self.build_fresh()
        self.watch.came(self.fresh)

    def build_fresh(self, there: bool = False) -> tuple[dict[Place, Row], Path]:
        """Build from what the source is now, elsewhere; return what readers would see, and where.

        Its folder is listed, which is cheap; or what is served, ``there``.
        """
        out = self._next("fresh")
        local = [str(self.source.folder / name) for name in self.source.names]
        urls, options = (self.commands.urls, self.options) if there else (local, None)
        store = urls if self.source.joined else urls[0]
        try:
            plan = parchunk.plan(store, store_options=options, **self.commands.asked)
        except parchunk.InputError:  # as the grids are now, a build does not fit these any more
            self.commands.region = self.commands.record_size = None
            plan = parchunk.plan(store, store_options=options, **self.commands.asked)
        parchunk.build(plan, str(out))
        before = "" if there else str(self.source.folder)
        return all_rows(out, before), out

    # Steps ----------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let something happen to the source, and run a command, or two."""
        dice = self.dice
        for _ in range(dice.choice((0, 1, 1, 2))):
            if not self.commands.has_moved:
                self.change("source")
        if dice.random() < 0.1 and self._is_up_to_date():
            self.source.copy_elsewhere()
            self.look_at_source()
        if self.commands.imports and dice.random() < 0.15:
            self.tell("repository", self.repository.befall(dice))
        command = self.commands.drawn(dice)
        beside = [self.commands.drawn(dice)] if dice.random() < self._beside else []
        meanwhile = dice.random() < 0.1 and not self.commands.has_moved
        self.run([command, *beside], dice.choice(KINDS), meanwhile)

    def change(self, when: str, or_missing: bool = False) -> None:
        """Let one thing happen to the source."""
        self.source.change()
        self.tell(when, self.source.changes[-1])
        self.look_at_source(or_missing)

    def look_at_source(self, or_missing: bool = False) -> None:
        """Take note of what the source is now."""
        self.fresh, self.fresh_out = self.build_fresh()
        self.watch.came(self.fresh, or_missing)

    def run(
        self, commands: Sequence[list[str]], kind: str = "whole", meanwhile: bool = False
    ) -> End:
        """Run a command, or two, in the trouble that is drawn; return how the first one ended."""
        dice = self.dice
        was_calm = self.commands.is_calm
        if len(commands) > 1:
            kind += dice.choice((" delay", " stall"))
        trouble = Trouble(kind, int(2 ** dice.uniform(1.2, 6.3)), dice)
        hosts = [("one", 0.0), ("another", self._askew)]
        if dice.random() < 0.6:
            hosts = [("", 0.0)] * 2
        trouble.gate.set()
        self.server.fate = trouble.fate
        if "kill" in kind or len(commands) > 1 or meanwhile or hosts[0][0]:
            ends = self._in_processes(commands, trouble, hosts, meanwhile)
        else:
            ends = [self._here(commands[0])]
        self.server.fate = lambda *_: None
        for end in ends:
            killed_at = trouble.killed_at if end.code < 0 else ""
            words = " ".join(word for word in end.command if "=" not in word)
            self.tell(f"({kind})", words, f"-> {end.code} {killed_at}", end.error[-600:])
            self._judge(end)
        self._settle(ends, strictly=was_calm and not meanwhile and len(ends) == 1)
        if hosts[0][0] or "cut" in kind:
            self.let_time_pass()
        if dice.random() < 0.4:
            self._audit()
        return ends[0]

    def _here(self, command: list[str]) -> End:
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            code = run(command)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return End(command, code, said.getvalue().strip())

    def _in_processes(
        self,
        commands: Sequence[list[str]],
        trouble: Trouble,
        hosts: Sequence[tuple[str, float]],
        meanwhile: bool,
    ) -> list[End]:
        running: list[forked.Fork] = []
        trouble.kill = lambda: os.kill(running[0].process.pid, signal.SIGKILL)
        for command, host in zip(commands, hosts, strict=False):
            running.append(forked.start(self._next("run"), child, command, *host))
            while "stall" in trouble.kind and running[0].process.is_alive():
                if trouble.stalled.wait(0.02):
                    break
        if "stall" in trouble.kind:
            running[1].end()
            trouble.go_on.set()
        if meanwhile:
            time.sleep(self.dice.uniform(0.05, 0.4))
            trouble.gate.clear()
            self.change("meanwhile", or_missing=True)
            trouble.gate.set()
        ended = [one.end() for one in running]
        return [
            End(command, code, error.strip())
            for command, (code, _, error) in zip(commands, ended, strict=True)
        ]

    # What may be ----------------------------------------------------------------------------------

    def _judge(self, end: End) -> None:
        """Refuse ends that may not be, and what readers saw meanwhile."""
        self.counts[f"{end.command[0]} {end.code}"] += 1
        self.counts["cut short"] += end.code < 0 or "403" in end.error
        if end.code not in (0, 1, 2, -signal.SIGKILL):
            raise Wrong(f"exit code {end.code}: {end.error}")
        if "Traceback" in end.error or (end.code == 2 and "\n" in end.error):
            raise Wrong(f"not one line: {end.error}")
        if "please report" in end.error:
            raise Wrong(end.error)
        if self.watch.wrong:
            raise Wrong("\n".join(self.watch.wrong[:5]))

    def _settle(self, ends: Sequence[End], strictly: bool) -> None:
        """Check what commands came to that ended well, and go on from there.

        ``strictly``: nothing was cut short before, nothing happened meanwhile.
        """
        for end in ends:
            if end.command[0] == "relocate" and end.code == 0:
                self.commands.place = self.source.moved
            if end.command[0] == "to-icechunk":
                self._settle_import(end, len(ends) == 1)
        if not any(end.is_whole for end in ends) or not self.commands.is_published:
            return
        seen = all_rows(self.out)
        if strictly and ends[0].fills_gaps and not self.commands.has_moved:
            if {*seen} != {*self.fresh}:
                raise Wrong(f"{[*{*seen} ^ {*self.fresh}][:3]} are there or not")
            lost = [at for at, row in self.fresh.items() if row is not None and seen[at] is None]
            if lost:
                raise Wrong(f"{len(lost)} are missing after an update, the first is {lost[0]}")
        self.watch.settle(self.fresh)

    def _settle_import(self, end: End, alone: bool) -> None:
        """Check what an import came to; have another repository where this one is refused."""
        odd = self.repository.differences(all_rows(self.out)) if end.code == 0 and alone else []
        if odd:
            raise Wrong(f"{len(odd)} chunks are odd in the repository: {odd[:5]}")
        if end.code == 2 and "open it in Python as repo" in end.error:
            self.repository.mend(end.error.partition("as repo and run: ")[2])
        elif end.code == 2 and "another" in end.error:
            self.repository.number += 1

    def _audit(self) -> None:
        """Audit OUT as it is: what is wrong or unfinished is said, and gaps are counted."""
        if not self.commands.is_published:
            return
        try:
            report = parchunk.audit(open_output(OUT, self.options))
        except parchunk.InputError as error:
            if "is being" in str(error):  # replaced, just before its end
                return
            raise
        unfinished = any(finding.kind == "unfinished" for finding in report.findings)
        if not unfinished and not self.commands.is_calm:
            raise Wrong("the audit does not say that something is unfinished")
        damage = [found.message for found in report.findings if found.severity == "damage"]
        if damage:
            raise Wrong(f"the audit finds damage: {damage[:3]}")
        missing = sum(row is None for row in all_rows(self.out).values())
        if not unfinished and report.missing != missing:
            raise Wrong(f"the audit counts {report.missing} missing chunks, not {missing}")
        self.counts["audits"] += 1

    # Small things ---------------------------------------------------------------------------------

    def let_time_pass(self) -> None:
        """Let all leases and claims expire."""
        let_time_pass(self.out)

    def tell(self, *words: str) -> None:
        """Note what happened."""
        self.told.append("  ".join(words))

    def _is_up_to_date(self) -> bool:
        calm = self.commands.is_calm and not self.commands.has_moved
        return calm and all_rows(self.out) == self.fresh

    def _changed(self, path: str) -> None:
        if path.startswith("bucket/refs/"):
            self.watch.changed(path.removeprefix("bucket/refs/"))

    def _next(self, name: str) -> Path:
        self._number += 1
        return self.folder / f"{name}{self._number}"


@contextmanager
def history(
    seed: int, folder: Path, imports: float = 0.0, beside: float = 0.15
) -> Iterator[History]:
    """Begin the history of a seed in a folder.

    ``imports`` is how likely it is imported, and ``beside`` how many commands have one beside them.
    """
    (folder / "served/bucket").mkdir(parents=True)
    with recorder(folder / "served") as server:
        server.modified = None
        yield History(seed, folder, server, imports, beside)
