"""Which functions can be tasks: what a worker can import by name, and nothing else.

Every refusal names the place and the fix.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._errors import DeclarationError
from ._names import canonical_name, place_of
from ._options import NAME_SIGNS, is_name

if TYPE_CHECKING:
    from ._names import Place
    from ._task import BaseTask

__all__ = ["check_function", "check_names", "default_name", "is_async_function", "is_coroutine_function", "replaces"]

_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


def check_function(function: Any) -> None:
    """Raises `DeclarationError` if `function` cannot be a task."""
    problem = _problem(function)
    if problem is not None:
        what, fix = problem
        raise DeclarationError(f"{_described(function)} cannot be a task: {what}", hint=fix)


def default_name(function: Any) -> str:
    """`module.qualname`; raises `DeclarationError` if that is no name, as in a file called `my script.py`."""
    name = canonical_name(function)
    if is_name(name):
        return name
    signs = " ".join(NAME_SIGNS)
    raise DeclarationError(
        f"{_described(function)} cannot be a task: {name!r} is not a name of letters, digits and {signs}",
        hint='give it one, @app.task(name="..."), or rename its file',
    )


def is_coroutine_function(function: Any) -> bool:
    """Whether `function` was written with `async def`."""
    return bool(_flags(function) & _COROUTINE)


def is_async_function(function: Any) -> bool:
    """Whether what `function` wraps was written with `async def`, generators included."""
    return bool(_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def check_names(task: BaseTask[..., Any], declared: dict[str, BaseTask[..., Any]]) -> None:
    """Raises `DeclarationError` if another function has one of the names of `task`.

    The same place again (a reload, a second import, a cell that is run again) replaces silently.
    """
    for name in (task.name, *task.aliases):
        other = declared.get(name)
        if other is not None and not replaces(task.place, other.place):
            raise DeclarationError(
                f"two tasks are named {name!r}: {other.place} and {task.place}",
                hint='give one of them another name: @app.task(name="...")',
            )


def replaces(place: Place, other: Place) -> bool:
    """Whether what is declared at `place` takes the place of what was declared at `other` without a word."""
    return place == other or not os.path.exists(place.file)


def _problem(function: Any) -> tuple[str, str] | None:
    if isinstance(function, staticmethod | classmethod):
        return "it is a method", "move it out of the class and pass what it needs as arguments"
    if isinstance(function, type):
        return "it is a class", "declare a function that makes and uses it"
    if hasattr(function, "__self__") and hasattr(function, "__func__"):
        return "it is a method", "declare a function at the top level of a module and pass it the object's data"
    if isinstance(function, str):
        return "it is a text", f'options have names: @app.task(name="{function}")'
    if not hasattr(function, "__code__") and not hasattr(function, "__wrapped__"):
        return f"it is a {type(function).__name__}", "declare a function written with `def`"
    return _problem_of_name(function) or _problem_of_kind(function)


def _problem_of_name(function: Any) -> tuple[str, str] | None:
    qualname: str = getattr(function, "__qualname__", "")
    if qualname.split(".")[-1] == "<lambda>":
        return "a worker cannot import a lambda", "write it with `def` at the top level of its module"
    if "<locals>" in qualname:
        return (
            "a worker cannot import a nested function",
            "move it to the top level of its module; a decorator around it needs functools.wraps",
        )
    if "." in qualname:
        return "it is a method", "move it out of the class and pass what it needs as arguments"
    return None


def _problem_of_kind(function: Any) -> tuple[str, str] | None:
    if _flags(function) & (_GENERATOR | _ASYNC_GENERATOR):
        return "it is a generator", "return a list, or enqueue one job per item"
    return None


def _flags(function: Any) -> int:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    return 0 if code is None else int(code.co_flags)


def _described(function: Any) -> str:
    if isinstance(function, staticmethod | classmethod):
        function = function.__func__
    name = getattr(function, "__qualname__", None) or repr(function)
    try:
        return f"{name} ({place_of(function)})"
    except AttributeError:
        return str(name)
