"""The arrays that a repository holds, whoever wrote them: documents, and values of small ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parchunk.errors import InputError, MetadataError, UnsupportedError
from parchunk.icechunk_import import adapter
from parchunk.metadata.nodes import parse_array, read_v3_node
from parchunk.metadata.spec import ArraySpec, JSONObject


class HeldArrays:
    """What a read-only session of the repository at ``url`` has."""

    def __init__(self, session: Any, url: str) -> None:
        self.url = url
        self._session = session
        self._found: dict[str, bytes | None] = {}

    def _document(self, name: str) -> bytes | None:
        if name not in self._found:
            with adapter.reported(f"read {name} of {self.url}", "check the repository"):
                self._found[name] = adapter.get(self._session.store, f"{name}/zarr.json")
        return self._found[name]

    def document(self, name: str) -> JSONObject:
        """Return the document of an array that is there."""
        data = self._document(name)
        assert data is not None
        found: JSONObject = json.loads(data)
        return found

    def spec(self, name: str) -> ArraySpec | None:
        """Return an array as its document says, None where there is none.

        Raises
        ------
        InputError
            When it is no array that can be appended to.
        """
        data = self._document(name)
        if data is None:
            return None
        try:
            return parse_array(read_v3_node(name, data))
        except (MetadataError, UnsupportedError) as error:
            raise InputError(f"{self.url} cannot be appended to: {name}: {error}") from None

    def along(self, dimension: str, group: str) -> list[str]:
        """Return the names of the arrays right in a group that have a dimension."""
        with adapter.reported(f"list the arrays of {self.url}", "check the repository"):
            names = adapter.list_nodes(self._session.store, group)
        found = []
        for name in names:
            path = f"{group}/{name}" if group else name
            data = self._document(path)
            document = {} if data is None else json.loads(data)
            if dimension in (document.get("dimension_names") or ()):
                found.append(path)
        return sorted(found)

    def values(self, name: str) -> NDArray[Any]:
        """Return an array's values; missing chunks are its fill value.

        Raises
        ------
        InputError
            When they cannot be read, as virtual chunks without access to where they are.
        """
        import zarr

        try:
            return np.asarray(zarr.open_array(store=self._session.store, path=name, mode="r")[...])
        except Exception as error:  # of zarr, of icechunk, and of what is below both
            raise InputError(
                f"{self.url}: the values of {name} cannot be read ({adapter.one_line(error)}): "
                "if you trust it, give it opened, in Python: parchunk.to_icechunk(OUT, "
                "parchunk.open_icechunk(REPO), append=DIM)"
            ) from None
