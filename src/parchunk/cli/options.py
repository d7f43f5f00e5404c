"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from parchunk.arguments.sizes import parse_size
from parchunk.errors import InputError
from parchunk.metadata.consolidated import MODES
from parchunk.planning.inventory import MOST_PROBED
from parchunk.stores.identity import IDENTITIES
from parchunk.stores.opening import parse_options
from parchunk.stores.source import LISTINGS

_F = TypeVar("_F", bound=Callable[..., Any])


if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:
    _IntType = click.ParamType  # older ones are not generic


class Options:
    """Options that belong together, in the order in which the help of a command shows them."""

    def __init__(self, *options: Callable[[Any], Any]) -> None:
        self._options = options

    def __call__(self, function: _F) -> _F:
        """Add them to a command's function."""
        for option in reversed(self._options):
            function = option(function)
        return function


class Size(_IntType):
    """Bytes, as ``512MiB``, ``2GB`` or ``1000000``, and at least ``least`` of them."""

    name = "size"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        try:
            size = parse_size(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)
        if size < self.least:
            self.fail(f"is {size} bytes: give e.g. 512MiB", param, ctx)
        return size


def _mapping(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    return parse_options(value)


def _format(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else int(value[1:])


def _in_a_folder(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    # Said before the work is done that would be written.
    try:
        is_there = value is None or value.parent.is_dir()
    except OSError as error:
        raise InputError(f"cannot write {value}: {error.strerror}") from None
    if value is not None and not is_there:
        raise InputError(f"cannot write {value}: there is no folder {value.parent}: make it first")
    return value


def listing_option(function: _F) -> _F:
    """Add ``--listing``."""
    return click.option(
        "--listing",
        type=click.Choice(LISTINGS),
        help="Who lists SRC: obstore, or requests of our own whose pages are read off the wire, "
        "at a fraction of the cost. auto: the latter where it is proven to be the same.  "
        "[default: auto]",
    )(function)


def consolidated_option(text: str, **how: Any) -> Callable[[_F], _F]:
    """Return ``--consolidated``, explained by ``text``."""
    return click.option("--consolidated", type=click.Choice(MODES), help=text, **how)


def file_option(name: str, metavar: str, text: str) -> Callable[[_F], _F]:
    """Return an option that names a file to be written, in a folder that is there."""
    kind = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option(name, type=kind, metavar=metavar, help=text, callback=_in_a_folder)


def store_option(function: _F) -> _F:
    """Add ``--store-option``."""
    return click.option(
        "--store-option",
        "store_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_mapping,
        help="An obstore option for SRC: endpoint, region, skip_signature, timeout, ...",
    )(function)


def output_option(function: _F) -> _F:
    """Add ``--output-option``."""
    return click.option(
        "--output-option",
        "output_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_mapping,
        help="An obstore option for OUT, as --store-option is for SRC.",
    )(function)


def repo_option(function: _F) -> _F:
    """Add ``--repo-option``."""
    return click.option(
        "--repo-option",
        "repo_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_mapping,
        help="An option for REPO: endpoint, region, skip_signature, account_name, ...",
    )(function)


def memory_option(function: _F) -> _F:
    """Add the option that bounds memory."""
    return click.option(
        "--memory",
        type=Size(),
        default="512MiB",
        show_default=True,
        metavar="SIZE",
        help="Bound on the peak above the imports.",
    )(function)


def workers_option(text: str) -> Callable[[_F], _F]:
    """Return ``--workers``, explained by ``text``."""
    return click.option(
        "--workers",
        type=click.IntRange(1, 256),
        default=1,
        show_default=True,
        metavar="N",
        help=text,
    )


def rate_option(text: str) -> Callable[[_F], _F]:
    """Return ``--max-lists-per-second``, explained by ``text``."""
    return click.option(
        "--max-lists-per-second",
        type=click.FloatRange(0, min_open=True),
        default=math.inf,
        metavar="N",
        help=text,
    )


def parse_regions(text: str) -> list[int]:
    """Return the region numbers that ``0-9,15`` spells.

    Raises
    ------
    InputError
        When it spells none, or more than there can be.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--regions {text!r} is no list of regions: write e.g. 0-9,15")
        begin, end = int(first), int(last if dash else first)
        if end < begin or end - begin > 10_000_000:
            raise InputError(f"--regions {text!r}: {part.strip()} is no range; write e.g. 0-9,15")
        found.extend(range(begin, end + 1))
    return found


def json_option(function: _F) -> _F:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs, and no bar."
    )(function)


#: What chooses and reaches the source's arrays.
source_options = Options(
    listing_option,
    store_option,
    click.option("--group", default="", metavar="PATH", help="The Zarr group to take."),
    click.option("--include", multiple=True, metavar="GLOB", help="Only these arrays."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Not these arrays."),
    consolidated_option(
        "Where consolidated metadata names the arrays: find newer ones by listing each "
        "group, take only those named, or walk directories as though there were none.",
        default="auto",
        show_default=True,
    ),
)

#: What shapes a plan.
plan_options = Options(
    click.option(
        "--split",
        metavar="DIM",
        help="Dimension (or axis number) that regions cut. Default: the one that holds "
        "most of the chunks.",
    ),
    click.option(
        "--region",
        metavar="ELEMENTS|PERIOD",
        help="Region length, or year, month, day, or days such as 31D. Default: about a "
        "million references in the largest array.",
    ),
    click.option(
        "--record-size",
        type=int,
        metavar="N",
        help="Rows of a record file. Default: the largest divisor of all regions up to 100,000.",
    ),
    click.option(
        "--inline-threshold",
        type=Size(least=0),
        default=0,
        metavar="BYTES",
        help="Keep chunks of at most this size in the references, where --memory has "
        "room for those of a record file. Default: none.",
    ),
    click.option(
        "--shards",
        type=click.Choice(["expand", "whole"]),
        default="expand",
        show_default=True,
        help="Sharded arrays: one reference an inner chunk, or one a shard (then only "
        "zarr-python 3 opens the references).",
    ),
    click.option(
        "--identity",
        type=click.Choice(IDENTITIES),
        default="none",
        show_default=True,
        help="Keep beside the references when each object was written, or its entity tag: "
        "audits name what was written anew in the same size, Icechunk pins each reference.",
    ),
    click.option(
        "--format",
        "zarr_format",
        type=click.Choice(["v2", "v3"]),
        callback=_format,
        help="Zarr format of the references. v3 keeps what v2 cannot express, and only "
        "zarr-python 3 opens it. Default: v2.",
    ),
    click.option(
        "--skip-unsupported",
        is_flag=True,
        help="Leave out arrays that cannot be referenced or read, and say so.",
    ),
)

#: How a build runs.
run_options = Options(
    memory_option,
    click.option(
        "--concurrency",
        type=click.IntRange(1, 1024),
        default=8,
        show_default=True,
        metavar="N",
        help="Listings side by side.",
    ),
    workers_option("Processes, no more than --concurrency."),
)

#: How much is done to be sure of what a listing shows.
effort_options = Options(
    click.option("--trust-listing", is_flag=True, help="Do not list gaps a second time."),
    click.option(
        "--attempts",
        type=click.IntRange(1, 1000),
        default=5,
        show_default=True,
        metavar="N",
        help="Tries of a listing that gets no further, before giving up.",
    ),
    rate_option(
        "LIST requests for chunks that may begin a second, shared out among --workers; "
        "each part or task of several may send as many; none are sent for an inventory or "
        "with --probe. Default: as many as the store bears."
    ),
)

#: What stands for a listing.
inventory_options = Options(
    click.option(
        "--inventory",
        multiple=True,
        metavar="FILE",
        help="Do not list SRC: an inventory says what it holds (manifest.json of S3, Google or "
        "Azure; CSV, Parquet, ORC, JSON with keys and sizes). Several are parts of one.",
    ),
    click.option(
        "--inventory-root",
        metavar="URL",
        help="What the inventory's keys are relative to, where that cannot be told.",
    ),
    click.option(
        "--probe",
        is_flag=True,
        help="Do not list SRC: ask for each chunk by itself. For small stores that can neither "
        "be listed nor have an inventory; arrays are those of consolidated metadata.",
    ),
    click.option(
        "--probe-limit",
        type=click.IntRange(0),
        default=MOST_PROBED,
        show_default=True,
        metavar="N",
        help="Objects that --probe may ask for.",
    ),
)
