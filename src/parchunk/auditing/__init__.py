"""The audit of references: is every chunk accounted for, every reference right, nothing changed?

`audit` reads each record file once. What it keeps does not grow with the number of chunks, but
for a count for every step along one axis of an array.
"""

from __future__ import annotations

from parchunk.auditing.findings import KINDS, Finding
from parchunk.auditing.policy import Policy
from parchunk.auditing.result import ArrayAudit, AuditReport, PartitionAudit
from parchunk.auditing.run import audit

__all__ = [
    "KINDS",
    "ArrayAudit",
    "AuditReport",
    "Finding",
    "PartitionAudit",
    "Policy",
    "audit",
]
