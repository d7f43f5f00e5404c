"""Very many nodes whose names are known, by their own documents alone.

Consolidated metadata does not count against these, and that of very many arrays is large: where
each node has a document of its own, it is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from parchunk.metadata.discovery import Discovery
from parchunk.metadata.names import ancestors, name_problem
from parchunk.metadata.nodes import Node
from parchunk.metadata.root_node import RootReader
from parchunk.stores.side_by_side import in_threads

#: Arrays from which on that is tried: what was asked for is in vain where one has no document.
MANY = 500


class _OtherThanKnownError(Exception):
    """A node has no document of its own, or is no array where one is known, or no group."""


def nodes_of_known(
    root_reader: RootReader, discovery: Callable[[Node], Discovery], names: Sequence[str]
) -> dict[str, Node] | None:
    """Return the nodes of arrays, of the groups above them and of the root (``""``) by name.

    None where their own documents do not say it all. ``discovery`` is that of a root.
    """
    if any(map(name_problem, names)):
        return None
    root = root_reader.own()
    if root is None:
        return None
    look, arrays = discovery(root), frozenset(names)

    def own(name: str) -> Node:
        node = look.visit(name)
        if node is None or node.is_array != (name in arrays):
            raise _OtherThanKnownError(name)
        return node

    # Groups first: where those have no documents, little is asked for in vain.
    nodes = [*(name for name in ancestors(names) if name), *names]
    try:
        found = in_threads(own, nodes)
    except _OtherThanKnownError:
        return None
    return {**dict(zip(nodes, found, strict=True)), "": root}
