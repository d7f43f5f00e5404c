"""Arguments of the Python functions as people write them: paths, ``"1GiB"``, one glob, a client.

Each public function is `lenient`: by the names of its parameters, what is given becomes what the
function works with, or is refused in one line.
"""

from __future__ import annotations

import inspect
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from parchunk.arguments.sizes import parse_size
from parchunk.arguments.telling import at_prompt, let_go, note_place
from parchunk.errors import InputError, ParchunkError
from parchunk.showing.bars import bar_shown

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Classes of what may be given opened, in place of a path.
_OPENED = {
    "plan": {"Plan", "Source"},
    "source": {"Source"},
    "out": {"Output"},
    "repo": {"Repository"},
    "icechunk": {"Repository"},
}


def lenient(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function that takes its arguments as people write them."""
    signature = inspect.signature(function)
    parameters = signature.parameters
    taken = {name: _TAKEN[name] for name in parameters if name in _TAKEN}

    def taken_in(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        bound = signature.bind(*args, **kwargs)
        for name, take in taken.items():
            given = bound.arguments.get(name)
            if given is not None or (name in bound.arguments and parameters[name].default):
                bound.arguments[name] = take(name, given)
        for options, opened in _OPENED_BY.items():
            if bound.arguments.get(options) and opened in parameters:
                refuse_options(options, opened, bound.arguments.get(opened))
        if bound.arguments.get("progress") is not True:
            return function(*bound.args, **bound.kwargs)
        with bar_shown(_DOING.get(function.__name__, "at work")) as show:
            bound.arguments["progress"] = show
            return function(*bound.args, **bound.kwargs)

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        before = sys.exception()
        try:
            return taken_in(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            let_go(interrupt, before)
            raise
        except ParchunkError as error:
            note_place(error)
            let_go(error, before)
            if at_prompt():
                # The frames of threads and processes that lead there tell a person nothing;
                # ``__context__`` keeps what led to it.
                raise error.with_traceback(None) from None
            raise

    return call


def called(progress: Callable[_P, None] | bool | None) -> Callable[_P, None] | None:
    """Return what a `lenient` function calls with its progress: it is True no longer."""
    return None if isinstance(progress, bool) else progress


def _path(name: str, given: Any) -> Any:
    """Return a path or URL as text; what is opened already stays."""
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    kinds = {kind.__name__ for kind in type(given).__mro__}
    if kinds & _OPENED.get(name, set()) or (isinstance(given, str) and given.strip()):
        return given
    several = name == "plan" and isinstance(given, (list, tuple, Mapping))
    what = ", or of several stores what parchunk.plan(...) returns" if several else ""
    raise InputError(f"{name}={_shown(given)}: give a path or a URL{what}")


def _stores(name: str, given: Any) -> Any:
    """Return one store, or several: a list, or a mapping by the groups that they are put below."""
    if isinstance(given, Mapping):
        # Those of one group may be several; a mapping in a mapping means nothing.
        return {
            group: [_path(name, one) for one in some]
            if isinstance(some, list | tuple)
            else _path(name, some)
            for group, some in given.items()
        }
    if isinstance(given, list | tuple):
        return [_path(name, one) for one in given]
    return _path(name, given)


def _size(name: str, given: Any) -> int:
    if isinstance(given, str):
        try:
            return parse_size(given)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return _whole(name, given, "bytes, or text such as '512MiB'")


def _number(name: str, given: Any) -> int:
    return _whole(name, given, "a whole number")


def _region(name: str, given: Any) -> Any:
    """Return a length, or a period of the calendar, which planning knows."""
    if isinstance(given, str):
        text = given.strip()
        return int(text) if text.removeprefix("-").isdecimal() else text
    return _number(name, given)


def _whole(name: str, given: Any, what: str) -> int:
    try:
        if isinstance(given, bool):
            raise TypeError
        return operator.index(given)
    except TypeError:
        raise InputError(f"{name}={_shown(given)}: give {what}") from None


def _patterns(name: str, given: Any) -> tuple[str, ...]:
    """Return globs; one may stand alone, and text is never a list of letters."""
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, Iterable) or isinstance(found, bytes | Mapping):
        raise InputError(f"{name}={_shown(given)}: give a glob, or a list of them")
    found = tuple(found)
    wrong = [item for item in found if not isinstance(item, str)]
    if wrong:
        raise InputError(f"{name}: {_shown(wrong[0])} is no glob: give text")
    return found


def _files(name: str, given: Any) -> list[str]:
    """Return paths or URLs of files, one or several."""
    several = given if isinstance(given, list | tuple) else [given]
    return [_path("source", one) for one in several]


def _regions(name: str, given: Any) -> Any:
    if isinstance(given, str | bytes | Mapping):
        raise InputError(f"{name}={_shown(given)}: give region numbers, e.g. [0, 15] or range(10)")
    if not isinstance(given, Iterable):
        given = [given]
    return [_whole(name, item, "region numbers, e.g. [0, 15]") for item in given]


def _executor(name: str, given: Any) -> Executor:
    """Return an executor; that of a Dask client, whose tasks are no pure functions."""
    if isinstance(given, Executor):
        return given
    if callable(getattr(given, "get_executor", None)) and not isinstance(given, type):
        made: Executor = given.get_executor(pure=False)
        return made
    raise InputError(
        f"{name}={_shown(given)}: give a concurrent.futures.Executor or a Dask Client, opened"
    )


def _options(name: str, given: Any) -> Any:
    if isinstance(given, Mapping):
        return given
    # What was given may be a secret, and is not repeated.
    raise InputError(f"{name} is a {type(given).__name__}: give a dict, e.g. {{'region': 'NAME'}}")


def _progress(name: str, given: Any) -> Any:
    if callable(given) or given is True:
        return given
    if given is False:
        return None
    raise InputError(
        f"{name}={_shown(given)}: give True for a bar, or a function that is called with the "
        "progress"
    )


def _shown(given: Any) -> str:
    """Return a value as a message may show it: not at length, and no options."""
    if isinstance(given, str | int | float | bool) or given is None:
        text = repr(given)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"<{given.__name__ if isinstance(given, type) else type(given).__name__}>"


#: What parameters of these names take, in every function.
_TAKEN: dict[str, Callable[[str, Any], Any]] = {
    "out": _path,
    "policy": _path,
    "since": _path,
    "plan": _path,
    "repo": _path,
    "source": _stores,
    "inventory": _files,
    "icechunk": _path,
    "memory": _size,
    "inline_threshold": _size,
    "region": _region,
    "record_size": _number,
    "concurrency": _number,
    "workers": _number,
    "max_references": _number,
    "include": _patterns,
    "exclude": _patterns,
    "expect": _patterns,
    "allow_missing": _patterns,
    "arrays": _patterns,
    "regions": _regions,
    "executor": _executor,
    "store_options": _options,
    "output_options": _options,
    "repo_options": _options,
    "progress": _progress,
}

#: What a bar calls what functions do.
_DOING = {
    "build": "building", "build_part": "building", "run_task": "building", "update": "updating",
    "audit": "auditing", "to_icechunk": "importing",
}  # fmt: skip

#: Options, and the argument that is opened with them.
_OPENED_BY = {"store_options": "source", "output_options": "out", "repo_options": "repo"}
_CALLED = {"out": "an OUT", "repo": "a repository"}


def refuse_options(options: str, opened: str, given: Any) -> None:
    """Raise `InputError` for options beside what is opened already, which would be ignored."""
    some = list(given.values()) if isinstance(given, Mapping) else [given]
    flat = [one for many in some for one in (many if isinstance(many, list | tuple) else [many])]
    if any(one is not None and not isinstance(one, str) for one in flat):
        raise InputError(
            f"{options} are for {_CALLED.get(opened, f'a {opened}')} given as path or URL: this "
            "one is opened already, with options of its own"
        )
