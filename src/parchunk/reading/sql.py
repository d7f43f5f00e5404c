"""DuckDB connections to OUT, locked to what lies in it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

from parchunk.arguments.lenient import lenient
from parchunk.errors import InputError
from parchunk.inventories.workspace import Workspace
from parchunk.out.labels import holds_labels
from parchunk.out.opening import open_output
from parchunk.out.output import OBJECTS, PREVIOUS, RECEIPTS, STRAYS, UPDATE, Output
from parchunk.out.plan_file import load_plan, published_plan
from parchunk.out.receipt_blocks import folder_of
from parchunk.out.receipt_files import arrays_in_blocks
from parchunk.planning.plan import Plan
from parchunk.reading.sql_text import glob_escaped, text
from parchunk.reading.views import Contents, view_statements

if TYPE_CHECKING:
    import duckdb

#: Times that views are created while an update replaces what they read.
_TRIES = 3


@lenient
def connect(
    out: str | PathLike[str] | Output,
    *,
    output_options: Mapping[str, str] | None = None,
    locked: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection (in memory) that has the views over the build in OUT.

    Parameters
    ----------
    out
        The folder that a build wrote, finished or not, local or remote.
    output_options
        Options to reach OUT, as `parchunk.build` takes them.
    locked
        Let queries reach OUT and nothing else, for good: other files, extensions and settings are
        refused. A COPY into OUT is not: DuckDB has no lock for that. `parchunk sql`, which locks
        its connection, looks for it in every statement.

    Raises
    ------
    InputError
        When OUT holds no build, or what DuckDB cannot read.
    """
    import duckdb

    output = open_output(out, output_options)
    _refuse_unmatched(output)
    spilled = Workspace("parchunk-sql-")
    # Nothing is ever fetched from an extension repository behind the caller's back.
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "temp_directory": str(spilled.path),
        }
    )
    # Not where the program happens to run; nobody else's to read; and gone with the connection.
    weakref.finalize(connection, _give_up, spilled)
    if not output.opens_by_path:
        from parchunk.reading.file_system import OutputFileSystem

        connection.register_filesystem(OutputFileSystem.of(output))
    try:
        _create_views(connection, output)
    except (duckdb.Error, UnicodeDecodeError) as error:
        connection.close()
        reason = message_of(error).strip().partition("\n")[0]
        raise InputError(
            f"{output.url} cannot be queried ({reason}): parchunk audit names what is damaged, and "
            "how to have it built again"
        ) from None
    except BaseException:
        connection.close()
        raise
    if locked:
        # Globs are checked as they are written, before they are matched.
        folders = dict.fromkeys([f"{output.url}/", f"{glob_escaped(output.url)}/"])
        connection.execute(f"SET allowed_directories = [{', '.join(map(text, folders))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
    return connection


def _give_up(spilled: Workspace) -> None:
    """Remove a folder; it was held until now."""
    spilled.close()


def message_of(error: Exception) -> str:
    """Return what DuckDB says; it may quote a damaged file, and then not be able to say so."""
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace")
    return str(error)


def contents(output: Output, plan: Plan) -> Contents:
    """Return what OUT holds of what the views read."""
    names = [array.spec.name for array in plan.arrays if array.spec.reference_total]
    if not output.costs_requests:
        arrays = [name for name in names if output.holds(name, ".parq")]
    else:
        # One for each of a hundred arrays would take longer than most queries.
        receipts = set(output.paths(RECEIPTS))
        done = {path[len(RECEIPTS) + 1 :].rpartition("/")[0] for path in receipts}
        done |= arrays_in_blocks(output)
        arrays = [name for name in names if name in done]
    blocks = folder_of(plan.fingerprint)
    kinds = (
        (RECEIPTS, ".json", f"{RECEIPTS}/**/*.json"),
        (blocks, ".jsonl", f"{blocks}/*.jsonl"),
    )
    return Contents(
        frozenset(arrays),
        receipts=[pattern for folder, suffix, pattern in kinds if output.holds(folder, suffix)],
        strays=output.holds(STRAYS, ".parquet"),
        labels=holds_labels(output),
        updating=any(output.get(path) is not None for path in (UPDATE, PREVIOUS)),
        objects=frozenset(_with_objects(output, plan, arrays)),
    )


def _with_objects(output: Output, plan: Plan, arrays: list[str]) -> list[str]:
    """Return the arrays of which something is kept of each object."""
    if plan.identity == "none":
        return []
    if not output.costs_requests:
        return [name for name in arrays if output.holds(f"{OBJECTS}/{name}", ".parq")]
    folders = {path[len(OBJECTS) + 1 :].rpartition("/")[0] for path in output.paths(OBJECTS)}
    return [name for name in arrays if name in folders]


def _create_views(connection: duckdb.DuckDBPyConnection, output: Output) -> None:
    """Create the views; again where what they read was replaced or deleted meanwhile."""
    import duckdb

    for attempt in range(1, _TRIES + 1):
        plan = viewed_plan(output)
        try:
            # A view reads the footer of a file of each layout of arrays.
            for statement in view_statements(plan, output.url, contents(output, plan)):
                connection.execute(statement)
            return
        except duckdb.Error:
            if attempt == _TRIES:
                raise


def viewed_plan(output: Output) -> Plan:
    """Return the plan that the views show: what is published, else what is being built."""
    return published_plan(output) or load_plan(output)


def _refuse_unmatched(output: Output) -> None:
    """Refuse the local paths that DuckDB takes for patterns even where they are escaped."""
    found = next((character for character in "*?[\\" if character in output.url), None)
    if output.opens_by_path and found is not None:
        raise InputError(
            f"{output.url} has {found!r} in its path, which DuckDB takes for a pattern: query it "
            "under another name, moved or copied there (other readers take this one)"
        )
