"""Limits: how large jobs and their units may be, and by what terms jobs are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parchunk.cover.jobs import Job, Member, Pass, Unit
from parchunk.cover.memory import CHUNK_BYTES
from parchunk.cover.walks import Width
from parchunk.metadata.spec import ArraySpec


@dataclass(frozen=True)
class Limits:
    """Sizes that jobs are cut by. Output does not depend on them."""

    #: Chunks whose sizes are held at once, at most, however much memory there is.
    most_held: int = 1 << 62
    #: A job's chunks, at most: they are address space until they are met.
    job_chunks: int = 1 << 31
    #: Rows of a large partition that are tallied, written and given back together: few enough
    #: that writing goes on beside listing.
    unit_chunks: int = 200_000
    #: Units that a large job is cut in; then they are longer.
    units: int = 5_000
    #: Units of a job, at most: each is some Python objects.
    most_units: int = 50_000
    #: Inner chunks expanded together at most: more saves nothing.
    inner_rows: int = 4_000_000
    #: Bytes of one shard's index that are read at once, by a request of their own: whole entries.
    index_bytes: int = 4 << 20
    #: Bytes of shards' indexes that are kept until slices to come want them, at most.
    ahead_bytes: int = 1 << 30
    #: Chunks of a small array, at most: beyond, to begin a request of its own costs little.
    small: int = 5_000
    #: Arrays that one walk lists, at most.
    members: int = 1_000


#: What limits are unless a test has others.
USUAL = Limits()


@dataclass(frozen=True)
class Terms:
    """By what jobs are made: ``most_held`` chunks at once, ``workers`` that share them."""

    most_held: int
    width: Width
    record_size: int
    workers: int = 1
    limits: Limits = USUAL
    #: What each chunk costs while it is listed.
    chunk_bytes: int = CHUNK_BYTES
    _known: dict[tuple[Pass, ...], tuple[Pass, ...]] = field(default_factory=dict, repr=False)

    def passes(
        self, spec: ArraySpec, passes: Sequence[tuple[Unit, ...]], width: Width | None = None
    ) -> tuple[Pass, ...]:
        """Return passes over an array; those of arrays alike are the same, and so is their cover.

        There may be a hundred thousand arrays of one grid.
        """
        made = tuple(Pass(spec.grid, units, width or self.width) for units in passes)
        return self._known.setdefault(made, made)

    def job(self, member: Member) -> Job:
        """Return the job of one array."""
        return Job((member,), member.held, self.width)
