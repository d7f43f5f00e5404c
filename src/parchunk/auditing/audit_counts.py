"""Counts of chunks as an audit finds them."""

from __future__ import annotations

from dataclasses import dataclass

from parchunk.out.counts import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounts(Counts):
    """Counts of what record files hold.

    ``expected == present + missing + excused + lacking + unread``: ``missing`` chunks should be
    there, ``excused`` ones a policy does not expect, ``lacking`` ones are of an array that their
    store has not, and ``unread`` ones in partitions that are not built or in record files that
    cannot be read.
    """

    excused: int = 0
    lacking: int = 0
    unread: int = 0
