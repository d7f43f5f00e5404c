"""Choosing a plan: split dimension, region length and record size. Integer arithmetic, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, lcm, prod

from parchunk.errors import InputError
from parchunk.metadata.spec import ArraySpec, Hierarchy
from parchunk.planning.plan import MOST_CHUNKS, MOST_PARTITIONS, ArrayPlan, Plan, Split
from parchunk.stores.opening import Location

#: References aimed at in a region of the largest array.
REGION_REFERENCES = 1_000_000
#: Rows of a record file, at most: a first lookup then takes 23-48 ms (with 1 M rows 240-680).
RECORD_ROWS = 100_000
#: A split that leaves record files smaller than this is a bad one.
LEAST_ROWS = 1_000
#: Arrays so many times smaller than the largest one are written whole...
WHOLE_RATIO = 1_000
#: ...so is one of up to this many chunks that would leave larger ones tiny record files...
WHOLE_MOST = 10_000_000
#: ...and so is one with fewer chunks than this when it would spoil the record size.
SPOILER_CHUNKS = 100_000


def make_plan(
    hierarchy: Hierarchy,
    location: Location,
    *,
    group: str = "",
    split: str | int | None = None,
    region: int | None = None,
    record_size: int | None = None,
    inline_threshold: int = 0,
) -> Plan:
    """Return the plan for a hierarchy.

    Parameters
    ----------
    split
        Dimension name, or axis number for arrays that name none. Default: the dimension that
        holds most of the chunks, the leading one on a tie.
    region
        Region length in elements of the split dimension; a multiple of the chunk length of every
        large array. Default: about a million references in the largest array's region.
    record_size
        Rows of a record file. Default: the largest divisor of all regions up to 100,000.
    inline_threshold
        Chunks of at most this many bytes are kept in the references themselves.

    Raises
    ------
    InputError
        For an unknown dimension, or lengths and sizes that do not fit the chunks.
    """
    check_wishes(region, record_size, inline_threshold)
    if not hierarchy.arrays:
        raise InputError(f"{location.url} holds no arrays: nothing to reference")
    choice = None
    for candidate in _candidates(hierarchy.arrays, split):
        attempt = _Choice(hierarchy.arrays, candidate, region, record_size)
        if choice is None or attempt.rows >= LEAST_ROWS > choice.rows:
            choice = attempt
        if choice.rows >= LEAST_ROWS or region is not None:
            break
    if choice is not None and record_size is None and choice.is_spoilt:
        # The levels of an image pyramid have grids that share no divisor: the large ones are split.
        apart = _Choice(hierarchy.arrays, choice.split, region, None, spoilers_apart=True)
        choice = max(choice, apart, key=lambda one: one.record_size)
    for spec in hierarchy.arrays:
        if spec.reference_total > MOST_CHUNKS:
            raise InputError(
                f"{spec.name} has {spec.reference_total:,} chunks, more than a listing could show: "
                "repair its metadata, or leave it out with --exclude"
            )
    if choice is None:
        arrays = tuple(ArrayPlan(spec) for spec in hierarchy.arrays)
        return Plan(
            location,
            group,
            hierarchy,
            None,
            0,
            record_size or RECORD_ROWS,
            inline_threshold,
            arrays,
        )
    choice.check()
    count = sum(array.regions for array in map(choice.array_plan, hierarchy.arrays))
    if count > MOST_PARTITIONS:
        raise InputError(
            f"{count:,} partitions are more than the {MOST_PARTITIONS:,} that receipts are kept "
            "for: give a longer --region"
        )
    return Plan(
        location=location,
        group=group,
        hierarchy=hierarchy,
        split=choice.split,
        region_length=choice.region,
        record_size=choice.record_size,
        inline_threshold=inline_threshold,
        arrays=tuple(choice.array_plan(spec) for spec in hierarchy.arrays),
    )


def check_wishes(region: int | None, record_size: int | None, inline_threshold: int) -> None:
    """Refuse lengths and sizes that no plan could have, whatever the arrays.

    Raises
    ------
    InputError
        Naming the option.
    """
    if region is not None and region < 1:
        raise InputError(f"--region is {region}: give a length of 1 element or more")
    if record_size is not None and not 1 <= record_size <= 10_000_000:
        raise InputError(f"--record-size is {record_size}: give 1 to 10,000,000 rows")
    if inline_threshold < 0:
        raise InputError(f"--inline-threshold is {inline_threshold}: give 0 bytes or more")


def _candidates(specs: Sequence[ArraySpec], wanted: str | int | None) -> list[Split]:
    """Return the split dimensions to try, the best first."""
    dimensions: dict[str, int] = {}
    axes: dict[int, int] = {}
    # Leading axes of large arrays come first, and so win a tie in the stable sort below.
    for spec in sorted(specs, key=lambda spec: -spec.reference_total):
        for axis, (name, size) in enumerate(zip(spec.dimension_names, spec.grid, strict=True)):
            chunks = spec.reference_total if size > 1 else 0
            if name is None:
                axes[axis] = axes.get(axis, 0) + chunks
            else:
                dimensions[name] = dimensions.get(name, 0) + chunks
    if wanted is None:
        found = [(chunks, Split(name)) for name, chunks in dimensions.items() if chunks]
        found += [(chunks, Split(None, axis)) for axis, chunks in axes.items() if chunks]
        return [split for _, split in sorted(found, key=lambda pair: -pair[0])]
    text = str(wanted)
    if text in dimensions:
        return [Split(text)]
    if text.isdecimal():
        axis = int(text)
        if axis in axes:
            return [Split(None, axis)]
        having = [spec for spec in specs if axis < spec.rank]
        if having:
            return [Split(max(having, key=lambda spec: spec.reference_total).dimension_names[axis])]
        largest = max(specs, key=lambda spec: spec.rank)
        raise InputError(
            f"--split {axis}: no array has an axis {axis}; "
            f"{largest.name} has {largest.rank}, numbered from 0"
        )
    known = ", ".join(dimensions) or "none, so give an axis number"
    raise InputError(f"--split {text}: no array has that dimension; there are: {known}")


class _Choice:
    """Region length and record size for one split dimension."""

    def __init__(
        self,
        specs: Sequence[ArraySpec],
        split: Split,
        region: int | None,
        record_size: int | None,
        spoilers_apart: bool = False,
    ) -> None:
        self.split = split
        members = [(spec, axis) for spec in specs if (axis := split.axis_in(spec)) is not None]
        cut = [(spec, axis) for spec, axis in members if spec.grid[axis] > 1]
        large = [pair for pair in cut if not is_coordinate(*pair)] or cut
        most = max((spec.reference_total for spec, _ in large), default=0)
        large = [(s, axis) for s, axis in large if s.reference_total * WHOLE_RATIO >= most]
        large.sort(key=lambda pair: (-pair[0].reference_total, pair[0].name))
        if not large:  # nothing is cut along this dimension: every array has one region of it
            large = members[:1]
        self.leader, self.leader_axis = large[0]
        self.members: list[tuple[ArraySpec, int]] = []
        self.left_out: list[ArraySpec] = []
        base = 1
        for spec, axis in large:
            joint = lcm(base, spec.chunks[axis])
            longest = region if region is not None else self._longest(base)
            if (region is not None and region % joint) or (region is None and joint > longest):
                # Alignment with this array is not to be had; only a small one may give way.
                self.left_out.append(spec)
                continue
            base = joint
            self.members.append((spec, axis))
        if not self.members:
            self.members, base = [large[0]], large[0][0].chunks[large[0][1]]
        self.base = base
        self.region = region if region is not None else self._region(base, record_size)
        if spoilers_apart:
            self._set_spoilers_apart()
        self._axis_of = {spec.name: axis for spec, axis in self.members}
        self.record_size = record_size or self._record_size()

    def _set_spoilers_apart(self) -> None:
        """Make whole arrays of the members that leave the larger ones tiny record files."""
        members, self.members = self.members, self.members[:1]
        enough = min(self._record_size(), LEAST_ROWS)
        for member in members[1:]:
            self.members.append(member)
            if self._record_size() < enough and member[0].reference_total <= WHOLE_MOST:
                self.members.pop()

    @property
    def is_spoilt(self) -> bool:
        """Whether a large array would have record files that are much too small."""
        return self.record_size < LEAST_ROWS and self.leader.reference_total > SPOILER_CHUNKS

    @property
    def rows(self) -> int:
        """How good the choice is: rows that a record file can have without straddling regions."""
        return min(self._divisor() or RECORD_ROWS, RECORD_ROWS)

    def array_plan(self, spec: ArraySpec) -> ArrayPlan:
        """Return the plan of one array."""
        axis = self._axis_of.get(spec.name)
        if axis is None:
            return ArrayPlan(spec)
        return ArrayPlan(spec, axis, self.region // spec.reference_chunks[axis])

    def check(self) -> None:
        """Refuse lengths that do not fit, naming one that does."""
        leader, axis = self.leader, self.leader_axis
        length = leader.chunks[axis]
        if self.region % length:
            below = self.region // length * length
            fits = " or ".join(str(n) for n in (below, below + length) if n)
            raise InputError(
                f"--region {self.region} does not fall on chunk boundaries of {leader.name}, whose "
                f"chunks are {length} long along {self.split}: use {fits}"
            )
        for spec in self.left_out:
            if spec.reference_total >= SPOILER_CHUNKS:
                chunk = spec.chunks[_axis(self.split, spec)]
                raise InputError(
                    f"--split {self.split}: {spec.name} has chunks {chunk} long there, "
                    f"{leader.name} {length}: give --region as a multiple of "
                    f"{lcm(self.base, chunk)}, or build them apart with --include/--exclude"
                )
        divisor = self._divisor(later_only=True)
        if divisor and divisor % self.record_size:
            fits = ", ".join(str(d) for d in divisors(divisor, 10_000_000)[-6:])
            raise InputError(
                f"--record-size {self.record_size}: record files would straddle regions of "
                f"{self.split}; divisors that fit: {fits}"
            )
        if divisor and self.record_size < 100 and leader.reference_total > SPOILER_CHUNKS:
            raise InputError(
                f"--split {self.split}: regions of {self.region} leave record files of only "
                f"{self.record_size} rows in {leader.name}; split along a leading dimension, or "
                f"give a --region that shares more divisors with its "
                f"{leader.reference_grid[axis]} chunks along {self.split}"
            )

    def _longest(self, base: int) -> int:
        """Return the longest region worth having: twice what was aimed at, in elements."""
        per_chunk = _per_chunk(self.leader, self.leader_axis)
        wanted = max(2 * REGION_REFERENCES // max(per_chunk, 1), 1)
        return max(wanted * self.leader.chunks[self.leader_axis], base)

    def _region(self, base: int, record_size: int | None) -> int:
        """Return a region length of about REGION_REFERENCES references, with a good divisor."""
        spec, axis = self.leader, self.leader_axis
        extent = max(s.shape[a] for s, a in self.members)
        chunk_refs = max(_per_chunk(spec, axis) * base // spec.chunks[axis], 1)
        blocks = max(-(-extent // base), 1)  # blocks of `base` elements along the dimension
        aim = max(REGION_REFERENCES // chunk_refs, 1)
        if aim >= blocks:
            return self._lasting(blocks * base, base, record_size)
        if all(prod(s.reference_grid[:a]) == 1 for s, a in self.members):
            aim = _round_number(aim)
            shared = gcd(
                *(
                    prod(s.reference_grid[a + 1 :]) * (base // s.reference_chunks[a])
                    for s, a in self.members
                )
            )
            step = RECORD_ROWS // shared if shared <= RECORD_ROWS else 1
            if 1 < step < aim:
                aim = round(aim / step) * step
            return min(aim, blocks) * base
        # On a later axis only divisors of the grid make long record files.
        inner = min(
            prod(s.reference_grid[a + 1 :]) * (base // s.reference_chunks[a])
            for s, a in self.members
        )
        sizes = divisors(blocks, blocks)
        best = max(d for d in sizes if d <= 2 * aim or d == 1)
        if inner * best < LEAST_ROWS:
            best = next((d for d in sizes if d > best and inner * d >= LEAST_ROWS), best)
        return best * base

    def _lasting(self, region: int, base: int, record_size: int | None) -> int:
        """Return the length of the only region, perhaps beyond it so that others may follow.

        No record file of an expanded array may straddle two of them once the array has grown.
        """
        inners = [prod(s.reference_grid[1:]) for s, a in self.members if a == 0 and s.inner_chunks]
        chunks = [s.reference_chunks[0] for s, a in self.members if a == 0 and s.inner_chunks]
        if not inners or 0 in inners:
            return region
        rows = record_size or RECORD_ROWS
        whole = [c * (rows // gcd(rows, i)) for c, i in zip(chunks, inners, strict=True)]
        # Where that is too long, a region of about so many rows, which its record size divides.
        about = [c * max(rows // i, 1) for c, i in zip(chunks, inners, strict=True)]
        leader, axis = self.leader, self.leader_axis
        for units in (whole, about):
            unit = lcm(base, *units)
            longer = -(-region // unit) * unit
            count = _per_chunk(leader, axis) * (longer // leader.chunks[axis])
            if count <= 2 * REGION_REFERENCES:
                return longer
        return region

    def _divisor(self, later_only: bool = False, lasting: bool = False) -> int:
        """Return what the record size must divide for no file to straddle regions; 0: anything.

        ``later_only`` leaves out the members of which files may straddle regions. ``lasting``
        takes the only region of an expanded array for the first of several.
        """
        shared = 0
        for spec, axis in self.members:
            grid = spec.reference_grid
            inner, outer = prod(grid[axis + 1 :]), prod(grid[:axis])
            chunks = max(self.region // spec.reference_chunks[axis], 1)
            if chunks >= grid[axis] and not (lasting and axis == 0 and spec.inner_chunks):
                continue  # one region: nothing to straddle
            if outer == 1:
                # A shard is looked into for one region only, so no file may straddle two.
                if not later_only or spec.inner_chunks is not None:
                    shared = gcd(shared, inner * chunks)
            else:
                shared = gcd(shared, inner * gcd(chunks, grid[axis]))
        return shared

    def _record_size(self) -> int:
        size = self._straddling_none()
        lasting = self._divisor(lasting=True)
        best = divisors(lasting, RECORD_ROWS)[-1] if lasting else 0
        return best if 2 * best >= size else size

    def _straddling_none(self) -> int:
        """Return the largest record size for the arrays as long as they are."""
        divisor = self._divisor()
        if not divisor:
            return RECORD_ROWS
        best = divisors(divisor, RECORD_ROWS)[-1]
        if best >= LEAST_ROWS or best == divisor:
            return best
        # On axis 0 a file may straddle: it belongs to its first row's region.
        later = self._divisor(later_only=True)
        return divisors(later, RECORD_ROWS)[-1] if later else RECORD_ROWS


def _axis(split: Split, spec: ArraySpec) -> int:
    axis = split.axis_in(spec)
    assert axis is not None
    return axis


def _per_chunk(spec: ArraySpec, axis: int) -> int:
    """Return the references in one index of objects along ``axis``."""
    grid = spec.reference_grid
    along = spec.chunks[axis] // spec.reference_chunks[axis]
    others: int = prod((*grid[:axis], *grid[axis + 1 :])) * along
    return others


def is_coordinate(spec: ArraySpec, axis: int) -> bool:
    """Whether an array is the coordinate of the dimension it is split along."""
    return spec.rank == 1 and spec.name.rpartition("/")[2] == spec.dimension_names[axis]


def _round_number(value: int) -> int:
    """Return ``value`` with one significant digit: 7874 -> 8000."""
    scale: int = 10 ** (len(str(value)) - 1)
    return max(round(value / scale), 1) * scale


def divisors(number: int, at_most: int) -> list[int]:
    """Return the divisors of ``number`` up to ``at_most``, rising; 1 is always there."""
    found = set()
    for low in range(1, min(int(number**0.5) + 1, at_most + 1)):
        if number % low == 0:
            found.add(low)
            if number // low <= at_most:
                found.add(number // low)
    return sorted(found)
