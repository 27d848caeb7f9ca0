"""What the body of a decorator is given, and what it can ask for."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar

from .._options import duration

R = TypeVar("R")

BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
"""Kinds of parameters."""


class Pause:
    """What `yield call.pause(...)` asks for."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Invocation(Generic[R]):
    """One call of a decorated function, given to the body of a decorator.

    `function` is what is called, with `args` and `kwargs`: a body may put others there. `result` is what it gave, None
    before; what a body puts there is given in its place. `has_given` is whether a generator has given an item.
    """

    __module__ = "lineshaft"

    __slots__ = ("args", "function", "has_given", "kwargs", "result")

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: R | None
    has_given: bool

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.result, self.has_given = None, False

    @property
    def name(self) -> str:
        """The name of the function."""
        return name_of(self.function)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by parameter, with defaults. Raises TypeError if they do not fit the function."""
        bound = signature_of(self.function).bind(*self.args, **self.kwargs)
        bound.apply_defaults()
        return bound.arguments

    def pause(self, time: str | float | timedelta) -> Pause:
        """`yield call.pause("1s")` waits, and lets others run where the function is one of coroutines."""
        return Pause(duration("pause", time))

    def __repr__(self) -> str:
        return f"<call of {getattr(self.function, '__qualname__', self.name)}>"


def name_of(function: Any) -> str:
    """The name of a function, of whatever kind."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


_signatures: weakref.WeakKeyDictionary[Any, inspect.Signature] = weakref.WeakKeyDictionary()


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Its signature; found once, since that takes microseconds."""
    try:
        found = _signatures.get(function)
        if found is None:
            found = _signatures[function] = inspect.signature(function)
    except TypeError:
        # It cannot be hashed or referred to weakly; or it has no signature, which is said here.
        return inspect.signature(function)
    return found
