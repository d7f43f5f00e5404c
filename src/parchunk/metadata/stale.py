"""What is said of nodes of which consolidated metadata says something else than the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from parchunk.metadata.choosing import some_of
from parchunk.metadata.names import ancestors
from parchunk.metadata.nodes import Node


def disagreements(names: Sequence[str], nodes: Mapping[str, Node]) -> Iterator[str]:
    """Yield lines on nodes whose own documents say something else."""
    for one, many, some in _by_kind(names, nodes):
        if len(some) == 1:
            who, whose = f"{one} {some[0]!r}", "its own, which counts"
        else:
            who, whose = f"{many} {some_of(some)}", "their own ones, which count"
        said = f"the consolidated metadata disagrees with {whose}"
        yield f"{who}: {said}: consolidate the store again"


def without_own(
    names: Sequence[str], nodes: Mapping[str, Node], absent: Collection[str]
) -> Iterator[str]:
    """Yield lines on nodes that have no documents of their own; ``absent`` arrays have no objects.

    Groups of nothing but those are not told: what is to be done about the arrays is about them.
    """
    used = [name for name in names if name not in absent]
    if absent:
        arrays = [name for name, node in nodes.items() if node.is_array and name not in absent]
        gone = set(ancestors(absent)) - set(ancestors(arrays))
        used = [name for name in used if name not in gone]
    for some, one, many in (
        (
            sorted(absent),
            ", and has no objects at all: consolidate the store again, or leave it out with "
            "--exclude",
            ", and have no objects at all: consolidate the store again, or leave them out with "
            "--exclude",
        ),
        (used, ": used as it is there", ": used as they are there"),
    ):
        for kind, kinds, told in _by_kind(some, nodes):
            if len(told) == 1:
                yield f"{kind} {told[0]!r} is in the consolidated metadata only{one}"
            else:
                yield f"{kinds} {some_of(told)} are in the consolidated metadata only{many}"


def _by_kind(
    names: Sequence[str], nodes: Mapping[str, Node]
) -> Iterator[tuple[str, str, list[str]]]:
    for kind, is_array in (("array", True), ("group", False)):
        some = [name for name in names if nodes[name].is_array is is_array]
        if some:
            yield kind, f"{kind}s", some
