"""What a notebook shows of plans, results, audits and statuses: a table, fold-outs, the picture.

All text in it is escaped, as names of arrays and objects may be anybody's.
"""

from __future__ import annotations

from parchunk.notebooks.fragments import register

__all__ = ["register"]
