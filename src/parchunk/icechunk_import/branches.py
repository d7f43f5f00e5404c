"""Branches of a repository: their history, and publishing what was imported aside."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from parchunk.errors import InputError
from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.history import Entry, History, read_history

#: What to do after an import that could not go on.
AGAIN = "run the same import again to continue"


class Branch:
    """One branch of the repository at ``url``; made from the tip of ``main`` if there is none."""

    def __init__(self, repository: Any, url: str, name: str) -> None:
        self._repository = repository
        self.url = url
        self.name = name
        #: Branches that were made by this one, or for it, and where each began.
        self._made: dict[str, str] = {}
        with self._reported("find"):
            if name in repository.list_branches():
                return
            if name in repository.list_tags():
                raise InputError(
                    f"{name} is a tag of {url}, which stays at its snapshot: give another "
                    f"--branch; or, for a branch that is called as the tag is, open it in Python "
                    f"as repo and run: repo.create_branch({name!r}, repo.lookup_tag({name!r}))"
                )
            self._make(name, str(repository.lookup_branch("main")))

    def _make(self, name: str, snapshot: str) -> None:
        self._repository.create_branch(name, snapshot)
        self._made[name] = snapshot

    @contextmanager
    def without_traces(self) -> Iterator[None]:
        """Where what is done is refused, delete branches that were made for it and have nothing."""
        try:
            yield
        except InputError:
            with self._reported("clean up after"):
                for name, began in self._made.items():
                    if str(self._repository.lookup_branch(name)) == began:
                        self._repository.delete_branch(name)
            raise

    def _reported(self, doing: str) -> Any:
        return adapter.reported(f"{doing} branch {self.name} of {self.url}", AGAIN)

    def tip(self) -> str:
        """Return the snapshot that it ends with."""
        with self._reported("read"):
            return str(self._repository.lookup_branch(self.name))

    def history(self, origin: str | None = None) -> History:
        """Return what its commits say is in: see `read_history`."""
        with self._reported("read the history of"):
            return read_history(self._repository.ancestry(branch=self.name), origin)

    def has_imported(self, array: str) -> bool:
        """Whether it was an import that made an array, as it is there; False if nothing tells."""
        with self._reported("read the history of"):
            for commit in self._repository.ancestry(branch=self.name):
                entry = Entry.from_metadata(commit.metadata)
                if entry is not None and entry.kind == "region":
                    continue  # those make no arrays
                made = adapter.made_arrays(self._repository, commit)
                if made is None or array in made:
                    return made is not None and entry is not None
        return False

    def imported(self) -> Set[str]:
        """Return the arrays that imports made, unless others made them anew; of any source."""
        by: dict[str, bool] = {}
        known: set[str] = set()
        with self._reported("read the history of"):
            for commit in reversed([*self._repository.ancestry(branch=self.name)]):
                entry = Entry.from_metadata(commit.metadata)
                if entry is not None and (entry.kind == "region" or entry.arrays in known):
                    continue  # those make no arrays, or those that one before made
                made = adapter.made_arrays(self._repository, commit)
                if entry is None and made:
                    known.clear()  # imports may make those anew
                elif entry is not None and entry.arrays is not None and made is not None:
                    known.add(entry.arrays)
                by |= dict.fromkeys(made or (), entry is not None)
        return {array for array, was_import in by.items() if was_import}

    def made_by_others(self, arrays: Set[str]) -> Set[str]:
        """Return those of some arrays that commits of others made, and no import did.

        Whatever expired counts as an import's.
        """
        by: dict[bool, set[str]] = {True: set(), False: set()}
        with self._reported("read the history of"):
            for imports in (False, True):
                if imports and not by[False] & arrays:
                    break  # few branches have commits of others, and those make few arrays
                for commit in self._repository.ancestry(branch=self.name):
                    entry = Entry.from_metadata(commit.metadata)
                    if (entry is not None) is imports and (entry is None or entry.kind != "region"):
                        by[imports] |= adapter.made_arrays(self._repository, commit) or set()
        return (by[False] & arrays) - by[True]

    def at(self, snapshot: str) -> Any:
        """Return a session that reads one of its snapshots."""
        with self._reported("read"):
            return self._repository.readonly_session(snapshot_id=snapshot)

    def session(self) -> Any:
        """Return a session that writes on from its tip."""
        with self._reported("write to"):
            return self._repository.writable_session(self.name)

    @property
    def _side_name(self) -> str:
        return f"parchunk-import-{self.name}"

    def side(self) -> Branch:
        """Return the branch to import on, made from this one's tip or begun before.

        Raises
        ------
        InputError
            When this branch has moved since: publishing would lose what it got.
        """
        name, tip = self._side_name, self.tip()
        with self._reported("branch off"):
            if name not in self._repository.list_branches():
                self._make(name, tip)
        side = Branch(self._repository, self.url, name)
        self._check_behind(side, tip)
        return side

    def _check_behind(self, side: Branch, tip: str) -> None:
        with self._reported("read the history of"):
            known = any(commit.id == tip for commit in self._repository.ancestry(branch=side.name))
        if not known:
            raise InputError(
                f"branch {self.name} of {self.url} has got commits since the import on "
                f"{side.name} began, which publishing would lose: run "
                f"repo.delete_branch({side.name!r}), then the import again"
            )

    def begun_aside(self) -> Branch | None:
        """Return the branch beside this one on which an import was begun, if there is one.

        Raises
        ------
        InputError
            As for `side`.
        """
        with self._reported("find what lies beside"):
            there = self._side_name in self._repository.list_branches()
        return self.side() if there else None

    def after(self, snapshot: str) -> list[Any]:
        """Return its commits since a snapshot, newest first."""
        with self._reported("read the history of"):
            commits = self._repository.ancestry(branch=self.name)
            return list(takewhile(lambda commit: commit.id != snapshot, commits))

    def move_to(self, side: Branch) -> None:
        """Make this branch what the side branch is, and drop that one."""
        tip = self.tip()
        self._check_behind(side, tip)
        with self._reported("publish on"):
            self._repository.reset_branch(self.name, side.tip(), from_snapshot_id=tip)
        self.drop_side()

    def drop_side(self) -> None:
        """Delete the side branch of an import that is published."""
        with self._reported("clean up beside"):
            if self._side_name in self._repository.list_branches():
                self._repository.delete_branch(self._side_name)
