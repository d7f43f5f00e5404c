"""Arrays of earlier imports that the references do not have any more, and the branch still has.

An import deletes no array: others may read it, or it may be another OUT's. Who reads the branch
goes on seeing it, and where its dimensions are longer or shorter by now xarray cannot open the
group that it is in.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from parchunk.icechunk_import import adapter
from parchunk.icechunk_import.branches import Branch
from parchunk.icechunk_import.history import History


def left_behind(
    branch: Branch, history: History, built: Collection[str], arrays: str | None
) -> tuple[str, ...]:
    """Return those of them that are not among the ``built`` ones.

    ``arrays`` names those that are imported, as a hierarchy does: where all of a history are of
    the same ones, nothing is left of others.
    """
    if arrays is not None and history.array_digests <= {arrays}:
        return ()
    store = branch.at(branch.tip()).store
    return tuple(
        name
        for name in sorted(branch.imported() - set(built))
        if adapter.get(store, f"{name}/zarr.json") is not None
    )


def how_to_delete(name: str, branch: str) -> str:
    """Return the Python that deletes an array of a repository ``repo`` on a branch."""
    group = f"zarr.open_group(session.store)[{json.dumps(name, ensure_ascii=False)}]"
    return (
        f"import zarr; session = repo.writable_session({json.dumps(branch)}); del {group}; "
        f'session.commit("deleted what is gone")'
    )


def left_behind_notes(names: Collection[str], branch: str) -> list[str]:
    """Return what an import says of arrays that it leaves."""
    return [
        f"{name} is on branch {branch} from an earlier import, and not in OUT: it stays as it was "
        "then, which is right if it is another OUT's; where it is gone for good, open REPO in "
        f"Python as repo and run: {how_to_delete(name, branch)}"
        for name in names
    ]
