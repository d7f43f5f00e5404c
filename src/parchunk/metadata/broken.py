"""Broken metadata: all that is wrong in one error, or the arrays that have it refused by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from parchunk.errors import MetadataError
from parchunk.metadata.spec import Refusal

_REPAIR = "repair the store"


@dataclass
class Broken:
    """What is broken in one hierarchy, noted as it is met; ``refuse``: of arrays no error is made.

    ``refused`` are those arrays then. A group is never left out: arrays may lie below it.
    """

    refuse: bool
    refused: list[Refusal] = field(default_factory=list)
    _problems: list[tuple[str, str]] = field(default_factory=list)
    _groups: bool = False

    def array(self, name: str, where: str, reason: str) -> None:
        """Note an array, whose document is ``where``."""
        if self.refuse:
            self.refused.append(Refusal(name, f"{where}: {reason}", _REPAIR))
        else:
            self._problems.append((where, reason))

    def group(self, where: str, reason: str) -> None:
        """Note a group, whose document is ``where``."""
        self._problems.append((where, reason))
        self._groups = True

    def require_none(self) -> None:
        """Raise one `MetadataError` that names all that is broken and not refused, if any."""
        problems = self._problems
        if not problems:
            return
        how = "--exclude" if self._groups else "--exclude or --skip-unsupported"
        listed = "; ".join(f"{where}: {reason}" for where, reason in problems)
        if len(problems) == 1:
            raise MetadataError(f"{listed}: {_REPAIR}, or leave it out with {how}")
        raise MetadataError(
            f"{len(problems)} nodes cannot be read: {listed}: {_REPAIR}, or leave them out with "
            f"{how}"
        )
